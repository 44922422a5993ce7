/** Servers that end in the middle of a backfill: Redis killed and started empty, Postgres restarted at once. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type EmbeddedPostgres, freePort, startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { findRedisServer } from "../../src/embedded/redis.ts";
import { eventually } from "../support/eventually.ts";
import { withDatabase } from "../support/postgres.ts";
import { canStartRedis } from "../support/redis.ts";
import { randomOf } from "./fleet.ts";
import { seedOf, survive, untilWithin } from "./harness.ts";
import { lossesIn } from "./invariants.ts";
import { withStage } from "./stage.ts";

describe.skipIf(!canStartRedis())("servers that end", { timeout: 150_000 }, () => {
  it("Redis killed and started again, empty", async () => {
    const seed = seedOf();
    const redis = await startRedis(await freePort());
    try {
      await withDatabase((databaseUrl) =>
        withStage(
          { databaseUrl, redisUrl: redis.url, prefix: "{chaos}", shape: { seed, ranges: 120, days: 40 } },
          (stage) =>
            survive({ ...stage, random: randomOf(seed) }, async (run) => {
              await untilWithin(run, 1 / 2);
              await redis.restart();
            }),
        ),
      );
    } finally {
      await redis.stop();
    }
  });

  it("Postgres restarted at once", async () => {
    const seed = seedOf();
    const directory = mkdtempSync(join(tmpdir(), "rederive-crash-"));
    const redis = await startRedis(await freePort());
    // A crash may not take what was acknowledged, so this cluster is durable.
    const cluster = { directory, port: await freePort() };
    let postgres: EmbeddedPostgres | undefined;
    try {
      const first = await startEmbeddedPostgres(cluster);
      postgres = first;
      await withStage(
        { databaseUrl: first.url, redisUrl: redis.url, prefix: "{chaos}", shape: { seed, ranges: 120, days: 40 } },
        (stage) =>
          survive({ ...stage, random: randomOf(seed) }, async (run) => {
            await untilWithin(run, 1 / 2);
            await immediately(first.pid);
            postgres = await startEmbeddedPostgres(cluster);
            await run.reaches(run.backfill.id, "verified");
            // The restart is nothing that a partition did.
            expect(await lossesIn(run)).toBe(0);
          }),
      );
    } finally {
      await redis.stop();
      await postgres?.stop();
      if (postgres) rmSync(postgres.directory, { recursive: true, force: true });
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

interface RestartableRedis {
  readonly url: string;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A server that comes back on its port with nothing in it. */
async function startRedis(port: number): Promise<RestartableRedis> {
  const program = findRedisServer(process.env["PATH"] ?? "") as string;
  const open = async () => {
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", tmpdir(), "--save", "", "--appendonly", "no"];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    for await (const chunk of child.stdout) if (String(chunk).includes("Ready to accept connections")) break;
    return child;
  };
  let server = await open();
  const stop = async () => {
    const ended = once(server, "exit");
    server.kill("SIGKILL");
    await ended;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    stop,
    restart: async () => {
      await stop();
      server = await open();
    },
  };
}

/** SIGQUIT: Postgres ends without a checkpoint and recovers when it starts. */
async function immediately(pid: number): Promise<void> {
  process.kill(pid, "SIGQUIT");
  await eventually(
    () => isAlive(pid),
    (alive) => !alive,
    { what: `process ${pid} has ended` },
  );
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
