import { describe, expect, it } from "vitest";
import { safeguardsOf } from "../src/safeguards.ts";

const local = {
  databaseUrl: "postgres://app@127.0.0.1/app",
  redisUrl: "redis://localhost:6379",
  allowPlaintext: false,
};
const remote = {
  ...{ databaseUrl: "postgres://app:x@db.internal/app", redisUrl: "redis://:x@redis.internal:6379" },
  allowPlaintext: false,
};
const production = "production" as const;

describe("production", () => {
  it.each([
    local,
    { ...local, databaseUrl: "postgres://app@[::1]/app" },
    { ...local, databaseUrl: "postgres:///app?host=/var/run/postgresql" },
    { ...remote, databaseUrl: `${remote.databaseUrl}?sslmode=verify-full`, redisUrl: "rediss://:x@redis.internal" },
  ])("starts with %j", (settings) => {
    expect(safeguardsOf({ ...settings, environment: production })).toEqual({ faults: [], warnings: [] });
  });

  it.each([
    [{ ...local, redisUrl: undefined }, ["needs REDIS_URL"]],
    [
      remote,
      ["DATABASE_URL goes to db.internal without sslmode=require", "REDIS_URL goes to redis.internal without TLS"],
    ],
    [{ ...remote, databaseUrl: `${remote.databaseUrl}?sslmode=prefer` }, ["sslmode=require", "without TLS"]],
    [{ ...local, redisUrl: "rediss://redis.internal" }, ["names no password for redis.internal"]],
    [{ ...local, redisUrl: "redis://0.0.0.0:6379" }, ["names no password for 0.0.0.0", "without TLS"]],
    [{ ...local, databaseUrl: "postgres://app@127.0.0.1/app?host=db.internal" }, ["goes to db.internal"]],
    [{ ...local, databaseUrl: "postgres://app@localhost.evil.example/app" }, ["localhost.evil.example"]],
  ])("does not start with %j", (settings, faults) => {
    const found = safeguardsOf({ ...settings, environment: production }).faults;
    expect(found).toEqual(faults.map((fault) => expect.stringContaining(fault)));
    expect(found.join()).not.toContain(":x@");
  });

  it("starts on a network of one's own where somebody says so, and warns", () => {
    const { faults, warnings } = safeguardsOf({ ...remote, allowPlaintext: true, environment: production });
    expect([faults.length, warnings.length]).toEqual([0, 2]);
    const open = { ...remote, redisUrl: "redis://redis.internal", allowPlaintext: true, environment: production };
    expect(safeguardsOf(open).faults).toEqual([expect.stringContaining("names no password")]);
  });
});

it("elsewhere nothing of this is asked", () => {
  expect(safeguardsOf({ ...remote, redisUrl: undefined, environment: "development" }).faults).toEqual([]);
});
