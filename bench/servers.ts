/** Throw-away servers for the bench: Postgres with the settings of a tuned machine, and Redis without persistence. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { findRedisServer, startEmbeddedRedis } from "../src/embedded/redis.ts";

export interface Servers extends AsyncDisposable {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** The processes whose CPU time, with that of their children, belongs to the bench. */
  readonly pids: readonly number[];
}

/** Commits are durable as in production; only what would disturb a measurement at random is moved out of the way. */
const postgresSettings = {
  shared_buffers: "1GB",
  work_mem: "64MB",
  max_wal_size: "8GB",
  checkpoint_timeout: "30min",
  max_parallel_workers_per_gather: "0",
  autovacuum: "off",
  jit: "off",
};

export async function startServers(searchPath: string): Promise<Servers> {
  const program = findRedisServer(searchPath);
  if (program === undefined) throw new Error("the bench needs redis-server or valkey-server on the PATH");
  const directory = await mkdtemp(join(tmpdir(), "rederive-bench-"));
  const postgres = await startEmbeddedPostgres({ directory, settings: postgresSettings });
  const redis = await startEmbeddedRedis(program);
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    pids: [postgres.pid, redis.pid],
    [Symbol.asyncDispose]: async () => {
      await redis.stop();
      await postgres.stop();
      await rm(postgres.directory, { recursive: true, force: true });
      await rm(directory, { recursive: true, force: true });
    },
  };
}
