/** What production does not start without, as processes. */
import { describe, expect, it } from "vitest";
import { lacks } from "../support/require.ts";
import { runCommand, withShop } from "./command.ts";

const timeout = 120_000;

it("a process of the fleet does not start with clear text on a network", { timeout }, async () => {
  const env = {
    ...{ NODE_ENV: "production", DATABASE_URL: "postgres://app:hush@db.invalid/app" },
    REDIS_URL: "redis://redis.invalid:6379",
  };
  const { code, stderr, stdout } = await runCommand(["worker"], { env });
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("names no password for redis.invalid");
  expect(stderr).toContain("DATABASE_URL goes to db.invalid without sslmode=require");
  expect(stderr).toContain("REDIS_URL goes to redis.invalid without TLS");
  expect(stderr).not.toContain("hush");
});

describe.skipIf(lacks("redis"))("with Redis", () => {
  it("the server does not listen beyond this machine without TLS", { timeout }, async () => {
    await withShop(async (shop) => {
      const args = ["server", "--host", "0.0.0.0", "--port", "0"];
      const { code, stderr } = await shop.run(args, { NODE_ENV: "production" });
      expect([code, stderr]).toEqual([2, expect.stringContaining("does not listen on 0.0.0.0 without TLS")]);
    });
  });
});

it("migrate --roles says which roles to grant, and may be run again", { timeout }, async () => {
  await withShop(async (shop) => {
    for (const _ of ["first", "again"]) {
      const { code, stdout } = await shop.run(["migrate", "--roles", "--json"]);
      expect([code, JSON.parse(stdout)]).toMatchObject([
        0,
        { applied: 0, roles: ["rederive_api", "rederive_worker", "rederive_audit"] },
      ]);
    }
    const [granted] = await shop.query<{ may: boolean }>(
      "select has_table_privilege('rederive_api', 'public.daily_revenue', 'insert') as may",
    );
    expect(granted?.may).toBe(true);
  });
});
