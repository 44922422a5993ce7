import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { RederiveError } from "../../src/errors.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { redactText } from "../../src/telemetry/redact.ts";

function capture(level?: string): { log: ReturnType<typeof createLog>; text: () => string } {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  return {
    log: createLog({ name: "test", destination, ...(level === undefined ? {} : { level }) }),
    text: () => lines.join(""),
  };
}

describe("logs", () => {
  const canary = `canary${randomBytes(8).toString("hex")}`;
  const token = `rdv_12345678_${canary.padEnd(43, "x")}`;

  it.each<[string, unknown]>([
    ["a URL in a message", new Error(`connect postgres://app:${canary}@db:5432/app failed`)],
    ["a URL with a password alone", { url: `redis://:${canary}@cache:6379` }],
    ["a URL with an @ in its password", { url: `postgres://app:a@${canary}@db/app` }],
    ["an Authorization header", { headers: { authorization: `Bearer ${canary}` } }],
    ["a Bearer value in a text", { text: `sent Bearer ${canary}` }],
    ["a cookie", { req: { headers: { cookie: `session=${canary}` } } }],
    ["a token", { text: `used ${token}` }],
    ["a named secret", { settings: { password: canary, databaseUrl: canary } }],
    ["a connection string", { text: `host=db user=app password=${canary} dbname=app` }],
    [
      "a driver's error",
      Object.assign(new Error("duplicate key"), {
        code: "23505",
        detail: `Key (email)=(${canary})`,
        parameters: [canary],
        query: canary,
      }),
    ],
    ["a cause", new RederiveError("unavailable", "away", { cause: new Error(`postgres://a:${canary}@b/c`) })],
  ])("do not show %s", (_name, value) => {
    const { log, text } = capture();
    log.error(value instanceof Error ? { err: value } : value, "failed");
    expect(text()).toContain("failed");
    expect(text()).not.toContain(canary);
    for (const line of text().trim().split("\n")) expect(() => JSON.parse(line)).not.toThrow();
  });

  it("keep what helps", () => {
    const { log, text } = capture();
    log.error(
      {
        err: new RederiveError("held", "a check failed", {
          cause: Object.assign(new Error("inner"), { code: "40001" }),
        }),
      },
      "task failed",
    );
    expect(JSON.parse(text())).toMatchObject({
      level: "error",
      msg: "task failed",
      err: {
        type: "RederiveError",
        code: "held",
        message: "a check failed",
        stack: expect.any(String),
        cause: { message: "inner", code: "40001" },
      },
    });
  });

  it("obey their level", () => {
    const { log, text } = capture("warn");
    log.info("quiet");
    expect(text()).toBe("");
  });
});

describe("redaction", () => {
  it("leaves ordinary text alone", () => {
    const text =
      "see https://example.org/a?b=c#d, user:name, basic facts at 12:30@noon, postgres://db/app, select a::text from b@c";
    expect(redactText(text)).toBe(text);
  });
});
