/**
 * What a suite needs of the machine. Where it is missing the suite is skipped with one line, unless REDERIVE_REQUIRE
 * names it (`redis,chromium,openssl`, as CI does): then the suite runs, and fails.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { inject } from "vitest";
import { canStartRedis, hasRedis } from "./redis.ts";
import { requirements } from "./requirements.ts";

export type Need = "redis" | "own-redis" | "chromium" | "openssl";

export const chromiumPath = "/usr/bin/chromium";

/** For `describe.skipIf(lacks("redis"))`. */
export function lacks(...needs: readonly Need[]): boolean {
  const missing = needs.filter((need) => !isThere(need) && !required(need));
  if (missing.length > 0) console.warn(`skipped: there is no ${missing.map((need) => advice[need]).join(" and no ")}`);
  return missing.length > 0;
}

/** REDIS_URL for child processes: empty where the queues shall live in Postgres. */
export function redisUrlIfAny(): string {
  return inject("redisUrl");
}

const advice: Readonly<Record<Need, string>> = {
  redis: "Redis (set REDIS_URL, or put redis-server or valkey-server on the PATH)",
  "own-redis": "redis-server or valkey-server on the PATH",
  chromium: `chromium at ${chromiumPath}`,
  openssl: "openssl on the PATH",
};

function isThere(need: Need): boolean {
  if (need === "redis") return hasRedis();
  if (need === "openssl") return spawnSync("openssl", ["version"]).status === 0;
  return need === "own-redis" ? canStartRedis() : existsSync(chromiumPath);
}

function required(need: Need): boolean {
  return requirements().includes(need === "own-redis" ? "redis" : need);
}
