/** What one client may not do to the others: the same request twice, wrong tokens without end, plans without end. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createToken, type NewToken } from "../../src/governance/tokens.ts";
import { FailedAttempts } from "../../src/server/attempts.ts";
import { eventually } from "../support/eventually.ts";
import { type Harness, startHarness } from "./support.ts";

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness();
});

afterAll(async () => {
  await harness.close();
});

beforeEach(() => {
  harness.rederive.calls.length = 0;
  harness.rederive.before = async () => {};
});

const plan = { changes: true, reason: "refunds were ignored" };

function post(key: string, body: unknown = plan, role: "operator" | "admin" = "operator"): Promise<Response> {
  return harness.request("/api/v1/backfills", { method: "POST", role, body, headers: { "idempotency-key": key } });
}

describe("a request with a key", () => {
  it("is carried out once, and answered alike", async () => {
    const [first, second] = [await post("k1"), await post("k1")];
    expect([first.status, second.status]).toEqual([201, 201]);
    expect([first.headers.get("idempotency-replayed"), second.headers.get("idempotency-replayed")]).toEqual([
      null,
      "true",
    ]);
    expect(second.headers.get("location")).toBe(first.headers.get("location"));
    expect(await second.text()).toBe(await first.text());
    expect(harness.rederive.calls.filter(({ act }) => act === "plan")).toHaveLength(1);
  });

  it("does not lend its key to another body or path", async () => {
    await post("k2");
    const other = await post("k2", { ...plan, reason: "something else" });
    expect([other.status, await other.json()]).toMatchObject([422, { code: "idempotency_mismatch" }]);
    const elsewhere = await harness.request("/api/v1/plans", {
      ...{ method: "POST", role: "operator", body: plan, headers: { "idempotency-key": "k2" } },
    });
    expect(elsewhere.status).toBe(422);
    expect(harness.rederive.calls.filter(({ act }) => act === "plan" || act === "preview")).toHaveLength(1);
  });

  it("shares its key with nobody else", async () => {
    await post("k3");
    await post("k3", { ...plan, reason: "mine" }, "admin");
    expect(harness.rederive.calls.filter(({ act }) => act === "plan")).toHaveLength(2);
  });

  it("is not answered to its person by a token with another role or other groups", async () => {
    const wish = (name: string, rights: Pick<NewToken, "role" | "groups">) =>
      createToken(harness.database, "test", { name, person: "grace", ...rights });
    const [all, both, same, fewer, higher] = await Promise.all([
      wish("all", { role: "operator" }),
      wish("both", { role: "operator", groups: ["sales", "finance"] }),
      wish("same", { role: "operator", groups: ["finance", "sales"] }),
      wish("fewer", { role: "operator", groups: ["finance"] }),
      wish("higher", { role: "approver", groups: ["sales", "finance"] }),
    ]);
    const by = async ({ token }: { readonly token: string }) => {
      const headers = { authorization: `Bearer ${token}`, "idempotency-key": "k8" };
      const response = await harness.request("/api/v1/backfills", { method: "POST", body: plan, headers });
      return [response.status, ((await response.json()) as { code?: string }).code];
    };
    expect([await by(both), await by(same)]).toEqual([
      [201, undefined],
      [201, undefined],
    ]);
    for (const other of [all, fewer, higher]) expect(await by(other)).toEqual([422, "idempotency_mismatch"]);
    expect(harness.rederive.calls.filter(({ act }) => act === "plan")).toHaveLength(1);
  });

  it("may come again where it was refused, and not where nobody knows how it ended", async () => {
    const { RederiveError } = await import("../../src/errors.ts");
    harness.rederive.failure = new RederiveError("overlapping_plan", "bf_other writes revenue");
    expect((await post("k4")).status).toBe(409);
    expect((await post("k4")).status).toBe(201);
    harness.rederive.failure = Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
    expect((await post("k5")).status).toBe(503);
    const again = await post("k5");
    expect([again.status, await again.json()]).toMatchObject([409, { code: "idempotency_unsettled" }]);
  });

  it("is carried out once where both come at the same time", async () => {
    const answers = await Promise.all(["a", "b", "c"].map(() => post("k6")));
    expect(harness.rederive.calls.filter(({ act }) => act === "plan")).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 201).length).toBeGreaterThan(0);
    expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true);
  });

  it.each(["", "two words", "x".repeat(201)])("refuses the key %j", async (key) => {
    expect((await post(key)).status).toBe(400);
  });

  it("is forgotten after a day", async () => {
    await post("k7");
    await harness.database.query("update rederive.keyed_request set at = at - interval '25 hours' where key = 'k7'");
    await post("k7", { ...plan, reason: "a day later" });
    expect(harness.rederive.calls.filter(({ act }) => act === "plan")).toHaveLength(2);
  });
});

describe("wrong tokens", () => {
  it("are answered 429 after ten in a minute, whoever they pretend to be, with when to come back", async () => {
    const own = await startHarness();
    try {
      const wrong = (secret: string) =>
        own.request("/api/v1/limits", { role: "nobody", headers: { authorization: `Bearer rdv_0000000${secret}` } });
      for (let attempt = 0; attempt < 10; attempt += 1) expect((await wrong(String(attempt))).status).toBe(401);
      const limited = await wrong("x");
      expect([limited.status, await limited.json()]).toMatchObject([429, { code: "too_many_requests" }]);
      expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
      expect((await own.request("/queues/", { role: "viewer" })).status).toBe(429);
      expect((await own.request("/healthz", { role: "nobody" })).status).toBe(200);
    } finally {
      await own.close();
    }
  });

  it("count by address, and for a minute", () => {
    let now = 0;
    const failures = new FailedAttempts(() => now);
    for (let attempt = 0; attempt < 10; attempt += 1) failures.note("10.0.0.1");
    expect([failures.waitOf("10.0.0.1"), failures.waitOf("10.0.0.2")]).toEqual([60, 0]);
    now = 59_001;
    expect(failures.waitOf("10.0.0.1")).toBe(1);
    now = 60_000;
    expect(failures.waitOf("10.0.0.1")).toBe(0);
  });

  it("fill no memory", () => {
    const failures = new FailedAttempts(() => 0);
    for (let attempt = 0; attempt < 10; attempt += 1) failures.note("first");
    for (let address = 0; address < 10_000; address += 1) failures.note(`address ${address}`);
    expect(failures.waitOf("first")).toBe(0);
  });
});

describe("plans of one person", () => {
  it("are made four at a time, and those of others at once", async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    harness.rederive.before = () => gate;
    const preview = (role: "operator" | "admin") =>
      harness.request("/api/v1/plans", { method: "POST", role, body: plan });
    const running = [1, 2, 3, 4].map(() => preview("operator"));
    await eventually(
      () => harness.rederive.calls.length,
      (calls) => calls === 4,
      { what: "four plans are being made" },
    );
    const fifth = await preview("operator");
    expect([fifth.status, fifth.headers.get("retry-after")]).toEqual([429, "1"]);
    const other = preview("admin");
    release();
    expect((await Promise.all([...running, other])).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    harness.rederive.before = async () => {};
    await eventually(
      async () => (await preview("operator")).status,
      (status) => status === 200,
      { what: "the fifth plan is made" },
    );
  });
});

describe("exports of one person", () => {
  const path = "/api/v1/backfills/bf_7k3m9x2q4d/evidence";

  it("keep their place until they are over, also where nobody waits for them any more", async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    harness.rederive.before = () => gate;
    const { calls } = harness.rederive;
    const signals = () => calls.map(({ args }) => args[1] as AbortSignal);
    const headers = { authorization: `Bearer ${harness.tokens.approver}` };
    for (const before of [0, 1]) {
      const leaving = new AbortController();
      const left = fetch(harness.url + path, { headers, signal: leaving.signal }).catch(() => undefined);
      await eventually(
        () => calls.length,
        (made) => made > before,
        { what: "the export has begun" },
      );
      leaving.abort();
      await left;
    }
    await eventually(
      () => signals().every(({ aborted }) => aborted),
      (all) => all,
      { what: "both exports know that nobody waits" },
    );
    const third = await harness.request(path, { role: "approver" });
    expect([third.status, third.headers.get("retry-after"), calls.length]).toEqual([429, "1", 2]);
    harness.rederive.before = async () => {};
    release();
    await eventually(
      async () => (await harness.request(path, { role: "approver" })).status,
      (status) => status === 200,
      { what: "both places are free again" },
    );
  });

  it("are not made for HEAD", async () => {
    const head = await harness.request(path, { method: "HEAD" });
    expect([head.status, head.headers.get("content-type"), head.headers.get("content-disposition")]).toEqual([
      200,
      "application/gzip",
      "attachment; filename=evidence-bf_7k3m9x2q4d.tar.gz",
    ]);
    const unknown = await harness.request("/api/v1/backfills/bf_other/evidence", { method: "HEAD" });
    expect([unknown.status, harness.rederive.calls.length]).toEqual([404, 0]);
  });
});
