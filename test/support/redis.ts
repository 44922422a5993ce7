/** Redis for tests: the run's shared server under a prefix of one's own, or a private server that may be flushed. */
import { randomBytes } from "node:crypto";
import { inject } from "vitest";
import { findRedisServer, startEmbeddedRedis } from "../../src/embedded/redis.ts";

export interface TestRedis {
  readonly url: string;
  readonly prefix: string;
}

/** False where neither REDIS_URL nor a server binary is to be had: such suites are skipped. */
export function hasRedis(): boolean {
  return inject("redisUrl") !== "";
}

/** Runs `callback` on the shared server, with a prefix that nobody else has. */
export async function withRedis<Result>(callback: (redis: TestRedis) => Promise<Result>): Promise<Result> {
  return callback({ url: inject("redisUrl"), prefix: aPrefix() });
}

/** Runs `callback` on a server of its own, for tests that flush, fill or end it. */
export async function withOwnRedis<Result>(callback: (redis: TestRedis) => Promise<Result>): Promise<Result> {
  const program = findRedisServer(process.env["PATH"] ?? "");
  if (program === undefined) throw new Error("this test ends or flushes its Redis and needs redis-server on the PATH");
  const server = await startEmbeddedRedis(program);
  try {
    return await callback({ url: server.url, prefix: aPrefix() });
  } finally {
    await server.stop();
  }
}

/** False where no private server can be started. */
export function canStartRedis(): boolean {
  return findRedisServer(process.env["PATH"] ?? "") !== undefined;
}

function aPrefix(): string {
  return `{t${randomBytes(5).toString("hex")}}`;
}
