import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { createTestDatabase } from "rederive/testing";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Finding } from "../../src/report.ts";
import { withOwnRedis } from "../support/redis.ts";
import { lacks } from "../support/require.ts";
import { type Answer, openShop, runCommand, type Shop, startCommand } from "./command.ts";

const timeout = 120_000;

describe("doctor", () => {
  let shop: Shop;

  beforeAll(async () => {
    shop = await openShop();
  });
  afterAll(async () => {
    await shop?.close();
  });

  it("finds nothing wrong with a good set-up but the missing worker", { timeout }, async () => {
    const answer = await shop.run(["doctor", "--json"]);
    expect([answer.code, troubles(answer).map((finding) => finding.check)]).toEqual([
      0,
      inject("redisUrl") === "" ? ["redis", "fleet"] : ["fleet"],
    ]);
    expect((await shop.run(["doctor"])).stdout).toContain("ok    postgres: PostgreSQL ");
  });

  it("says that migrations are missing, and which command applies them", { timeout }, async () => {
    const empty = await createTestDatabase(inject("databaseUrl"), { migrated: false });
    try {
      const env = { ...shop.env, DATABASE_URL: empty.url };
      const answer = await runCommand(["doctor", "--json"], { env });
      expect(answer.code).toBe(2);
      expect(troubles(answer)).toContainEqual(
        expect.objectContaining({ check: "migrations", level: "error", remedy: "run: rederive migrate" }),
      );
      expect((await runCommand(["migrate"], { env })).stdout).toMatch(/applied \d+ of \d+ migrations/);
      expect((await runCommand(["migrate"], { env })).stdout).toContain("up to date");
    } finally {
      await empty.drop();
    }
  });

  it("says which index is missing", { timeout }, async () => {
    await shop.query("drop index public.orders_created_at");
    const answer = await shop.run(["doctor", "--json"]);
    await shop.query("create index orders_created_at on public.orders (created_at)");
    expect(answer.code).toBe(0);
    expect(troubles(answer)).toContainEqual(
      expect.objectContaining({
        check: "tables",
        level: "warn",
        remedy: expect.stringContaining("create index concurrently"),
      }),
    );
  });

  it("says which rights a role lacks, and how to grant them", { timeout }, async () => {
    const role = `reader_${randomBytes(4).toString("hex")}`;
    await shop.query(`create role ${role} login password 'secret'`);
    try {
      const url = new URL(shop.url);
      url.username = role;
      url.password = "secret";
      const answer = await shop.run(["doctor", "--json"], { DATABASE_URL: url.toString() });
      expect(answer.code).toBe(2);
      const lacking = troubles(answer).filter((finding) => finding.check === "permissions");
      expect(lacking.length).toBeGreaterThan(2);
      expect(lacking.every((finding) => finding.remedy?.includes("grant "))).toBe(true);
      expect(answer.stdout + answer.stderr).not.toContain("secret");
    } finally {
      await shop.query(`drop role ${role}`);
    }
  });

  it("says that Postgres is away", { timeout }, async () => {
    const answer = await shop.run(["doctor", "--json"], { DATABASE_URL: "postgres://localhost:1/nowhere" });
    expect([answer.code, troubles(answer)[0]]).toEqual([
      2,
      expect.objectContaining({ check: "postgres", level: "error" }),
    ]);
  });

  it.skipIf(lacks("own-redis"))("says that Redis may drop jobs", { timeout }, async () => {
    await withOwnRedis(async ({ url }) => {
      const redis = new Redis(url);
      await redis.config("SET", "maxmemory-policy", "allkeys-lru");
      redis.disconnect();
      const answer = await shop.run(["doctor", "--json"], { REDIS_URL: url });
      expect(troubles(answer)).toContainEqual(
        expect.objectContaining({ check: "redis", message: expect.stringContaining("allkeys-lru") }),
      );
      const env = { ...shop.env, REDIS_URL: url, NODE_ENV: "production" };
      const worker = await startCommand(["worker"], { env }).ended;
      expect([worker.code, worker.stderr]).toEqual([2, expect.stringContaining("noeviction")]);
    });
  });
});

function troubles(answer: Answer): Finding[] {
  return answer.json<{ findings: Finding[] }>().findings.filter((finding) => finding.level !== "ok");
}
