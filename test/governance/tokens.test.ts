import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { authenticate, createToken, listTokens, revokeToken } from "../../src/governance/tokens.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { createTestDatabase } from "../support/postgres.ts";

let database: Database;
let drop: () => Promise<void>;

beforeAll(async () => {
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url, { max: 2 });
});

afterAll(async () => {
  await database.close();
  await drop();
});

describe("API tokens", () => {
  it("are given once and kept as a hash", async () => {
    const issued = await createToken(database, "ada", { name: "ci", role: "operator" });
    expect(issued.token).toMatch(/^rdv_[0-9a-f]{8}_[A-Za-z0-9_-]{43}$/);
    expect(issued).toMatchObject({ name: "ci", role: "operator", createdBy: "ada", expiresAt: null, revokedAt: null });
    const [row] = await database.query<{ hash: string; text: string }>(
      "select hash, api_token::text as text from rederive.api_token where id = $1::text::int8",
      [issued.id],
    );
    expect(row?.hash).toBe(createHash("sha256").update(issued.token).digest("hex"));
    expect(row?.text).not.toContain(issued.token.slice(13));
    expect(JSON.stringify(await listTokens(database))).not.toContain(row?.hash);
  });

  it("name the person behind it, and the groups that they speak for", async () => {
    const wish = { name: "grace laptop", role: "approver" as const, person: "grace", groups: ["finance"] };
    const { token, id } = await createToken(database, "ada", wish);
    expect(await authenticate(database, token)).toEqual({ ...wish, token: id });
  });

  it("name their actor", async () => {
    const { token } = await createToken(database, "ada", { name: "grace", role: "approver" });
    expect(await authenticate(database, token)).toEqual({
      name: "grace",
      role: "approver",
      person: "grace",
      token: expect.any(String),
    });
  });

  it("are refused with another secret under a known prefix", async () => {
    const { token } = await createToken(database, "ada", { name: "mallory", role: "admin" });
    const other = token.slice(0, -1) + (token.endsWith("A") ? "B" : "A");
    expect(await authenticate(database, other)).toBeUndefined();
    expect(await authenticate(database, `${token} `)).toBeUndefined();
    expect(await authenticate(database, "")).toBeUndefined();
  });

  it("end when they expire, by the clock of Postgres", async () => {
    const { token, id } = await createToken(database, "ada", {
      name: "short",
      role: "viewer",
      expiresAt: "2999-01-01T00:00:00Z",
    });
    expect(await authenticate(database, token)).toBeDefined();
    await database.query(
      "update rederive.api_token set expires_at = now() - interval '1 second' where id = $1::text::int8",
      [id],
    );
    expect(await authenticate(database, token)).toBeUndefined();
  });

  it("end when they are withdrawn, and stay so", async () => {
    const { token, id } = await createToken(database, "ada", { name: "gone", role: "viewer" });
    const first = await revokeToken(database, id);
    expect(await authenticate(database, token)).toBeUndefined();
    expect((await revokeToken(database, id)).revokedAt).toBe(first.revokedAt);
    await expect(revokeToken(database, "999999")).rejects.toMatchObject({ code: "not_found" });
    await expect(revokeToken(database, "1 or true")).rejects.toMatchObject({ code: "not_found" });
  });

  it("note their last use at most once a minute", async () => {
    const { token, id } = await createToken(database, "ada", { name: "busy", role: "viewer" });
    const writes = async () => {
      const rows = await database.query<{ version: string }>(
        "select xmin::text as version from rederive.api_token where id = $1::text::int8",
        [id],
      );
      return rows[0]?.version;
    };
    const made = await writes();
    await authenticate(database, token);
    const used = await writes();
    expect(used).not.toBe(made);
    await authenticate(database, token);
    expect(await writes()).toBe(used);
    await database.query(
      "update rederive.api_token set last_used_at = now() - interval '2 minutes' where id = $1::text::int8",
      [id],
    );
    const aged = await writes();
    await authenticate(database, token);
    expect(await writes()).not.toBe(aged);
  });

  it.each([
    { name: "", role: "viewer" as const },
    { name: "a\u0000b", role: "viewer" as const },
    { name: "x".repeat(101), role: "viewer" as const },
    { name: "ok", role: "root" as "admin" },
    { name: "ok", role: "viewer" as const, expiresAt: "tomorrow" },
  ])("refuse the wish %j", async (wish) => {
    await expect(createToken(database, "ada", wish)).rejects.toMatchObject({ code: "usage" });
  });
});
