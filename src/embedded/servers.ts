/**
 * The embedded servers of one project: Postgres, and Redis where a server binary is to be had. Whoever comes first
 * owns them and stops them; later processes attach. Without Redis the queues live in Postgres.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type EmbeddedPostgresOptions, isAlive, runningPostgres, startEmbeddedPostgres } from "./postgres.ts";
import { findRedisServer, startEmbeddedRedis } from "./redis.ts";

export interface EmbeddedServers {
  readonly databaseUrl: string;
  readonly redisUrl: string | undefined;
  readonly postgresPid: number;
  /** One line for people. */
  readonly description: string;
  /** Stops what this process started; leaves Postgres running where `keepPostgres` is set. */
  stop(options?: { keepPostgres?: boolean }): Promise<void>;
}

export interface EmbeddedServersOptions extends EmbeddedPostgresOptions {
  /** Where to look for redis-server or valkey-server; an empty text means that the queues shall live in Postgres. */
  readonly searchPath: string;
}

export async function openEmbeddedServers(options: EmbeddedServersOptions): Promise<EmbeddedServers> {
  const postgres = await startEmbeddedPostgres(options);
  const redis = await openRedis(resolve(options.directory), options.searchPath);
  return {
    databaseUrl: postgres.url,
    redisUrl: redis?.url,
    postgresPid: postgres.pid,
    description: redis
      ? `embedded Postgres 18 and a private Redis (${redis.program})`
      : "embedded Postgres 18, which carries the queues too (no redis-server or valkey-server on the PATH)",
    stop: async ({ keepPostgres = false } = {}) => {
      await redis?.stop();
      if (!keepPostgres) await postgres.stop();
    },
  };
}

/** The servers that another process of this project has running, or undefined. */
export function attachEmbeddedServers(
  directory: string,
): { databaseUrl: string; redisUrl: string | undefined } | undefined {
  const postgres = runningPostgres(resolve(directory));
  if (!postgres) return undefined;
  return { databaseUrl: postgres.url, redisUrl: recordedRedis(resolve(directory))?.url };
}

interface RedisRecord {
  readonly pid: number;
  readonly url: string;
  readonly program: string;
}

async function openRedis(
  directory: string,
  searchPath: string,
): Promise<(RedisRecord & { stop: () => Promise<void> }) | undefined> {
  const running = recordedRedis(directory);
  if (running) return { ...running, stop: async () => {} };
  const program = findRedisServer(searchPath);
  if (program === undefined) return undefined;
  const redis = await startEmbeddedRedis(program);
  const record: RedisRecord = { pid: redis.pid, url: redis.url, program };
  const path = recordPath(directory);
  mkdirSync(directory, { recursive: true });
  writeFileSync(path, JSON.stringify(record), { mode: 0o600 });
  return {
    ...record,
    stop: async () => {
      await redis.stop();
      rmSync(path, { force: true });
    },
  };
}

function recordedRedis(directory: string): RedisRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordPath(directory), "utf8")) as RedisRecord;
    return isAlive(record.pid) ? record : undefined;
  } catch {
    return undefined;
  }
}

function recordPath(directory: string): string {
  return join(directory, "redis.json");
}
