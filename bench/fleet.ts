/**
 * Twenty thousand tasks of random size on a real fleet, while it is killed, frozen and robbed of its queue.
 *
 *   npm run build && npx tsx bench/fleet.ts --tasks 20000 --seed 1     the scenario
 *   npx tsx bench/fleet.ts --tasks 100000 --calm                        peak memory of Redis, no faults
 *   npx tsx bench/fleet.ts --stream                                     3,000,000 rows through one map task
 *
 * The processes are those of the Procfile, run by npm's foreman; Postgres and Redis are DATABASE_URL and REDIS_URL (the
 * database must be empty), else servers of its own. foreman ends every process when one dies, so the ones to be killed
 * or frozen are workers started beside it with the Procfile's own command, and replaced when they die, as a process
 * manager does. One JSON line at the end; exit code 1 where a task took effect twice or a row is wrong.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Redis } from "ioredis";
import { freePort, startEmbeddedPostgres } from "../src/embedded/postgres.ts";
import { findRedisServer, startEmbeddedRedis } from "../src/embedded/redis.ts";
import { freezeCopier, killHolder, randomOf } from "../test/chaos/fleet.ts";
import { examine } from "../test/chaos/invariants.ts";
import type { Shape } from "../test/chaos/oracle.ts";
import { type Stage, withStage } from "../test/chaos/stage.ts";
import { eventually } from "../test/support/eventually.ts";

const { values: options } = parseArgs({
  options: {
    tasks: { type: "string", default: "20000" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000)) },
    calm: { type: "boolean", default: false },
    stream: { type: "boolean", default: false },
  },
});
const seed = Number(options.seed);
const kills = 5;
/** Of each process; two of the three workers at a time are foreman's. */
const concurrency = 4;

interface Servers {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  stop(): Promise<void>;
}

async function openServers(): Promise<Servers> {
  const given = { databaseUrl: process.env["DATABASE_URL"], redisUrl: process.env["REDIS_URL"] };
  if (given.databaseUrl !== undefined && given.redisUrl !== undefined) {
    return { databaseUrl: given.databaseUrl, redisUrl: given.redisUrl, stop: async () => {} };
  }
  const program = findRedisServer(process.env["PATH"] ?? "");
  if (program === undefined) throw new Error("set DATABASE_URL and REDIS_URL, or put a redis-server on the PATH");
  const directory = mkdtempSync(join(tmpdir(), "rederive-fleet-"));
  const postgres = await startEmbeddedPostgres({ directory });
  const redis = await startEmbeddedRedis(program);
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    stop: async () => {
      await redis.stop();
      await postgres.stop();
      rmSync(postgres.directory, { recursive: true, force: true });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Two tasks a range, one a tenth of a range, two a day, a month and the ranking: close to `tasks` in all. */
function shapeOf(tasks: number): Shape {
  const days = Math.max(30, Math.min(1_500, Math.floor(tasks / 20)));
  const ranges = Math.round((tasks - 2 * days - days / 30) / 2.1);
  // Where the freeze is looked for: spread over the whole run, because the one that is met first depends on chance.
  const slow = options.calm ? [] : Array.from({ length: 8 }, (_, index) => Math.floor((ranges * (index + 1)) / 10));
  return { seed, ranges, days, slow, slowRows: 20_000 };
}

/** `nf start`, without a worker of its own where this program starts them. */
async function startForeman(
  config: string,
  workers: number,
  fail: (why: string) => void,
): Promise<{ stop(): Promise<void> }> {
  const port = String(await freePort());
  const child = spawn("npx", ["nf", "start", "-p", port, `web=1,planner=1,worker=${workers}`], {
    env: { ...process.env, REDERIVE_CONFIG: config, LOG_LEVEL: "warn", NODE_ENV: "test" },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      log = (log + chunk.toString("utf8")).slice(-4_000);
    });
  }
  let stopping = false;
  child.once("exit", () => {
    if (!stopping) fail(`foreman has ended:\n${log}`);
  });
  return {
    stop: async () => {
      stopping = true;
      if (child.exitCode !== null || child.pid === undefined) return;
      const ended = once(child, "exit");
      // Its own process group: foreman passes the signal on, and so does the system.
      process.kill(-child.pid, "SIGTERM");
      await ended;
    },
  };
}

/** Asks Redis how much it holds, ten times a second, until it is stopped. */
function watchMemory(url: string): { stop(): number } {
  const redis = new Redis(url);
  let peak = 0;
  const timer = setInterval(() => {
    redis.info("memory").then(
      (info) => {
        peak = Math.max(peak, Number(/^used_memory:(\d+)/m.exec(info)?.[1] ?? 0));
      },
      () => undefined,
    );
  }, 100);
  return {
    stop: () => {
      clearInterval(timer);
      redis.disconnect();
      return peak;
    },
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Each act at a count of done tasks that the seed gives, in order; the freeze wherever a long COPY is met. */
async function makeTrouble(
  stage: Stage,
  id: string,
  total: number,
): Promise<{ kills: number; frozen: number; flushes: number }> {
  const random = randomOf(seed);
  const counts = Array.from({ length: kills + 1 }, () => Math.floor((0.05 + random() * 0.8) * total)).sort(
    (a, b) => a - b,
  );
  const flushAt = Math.floor(random() * counts.length);
  say(
    `seed ${seed}: ${kills} kills at ${counts.filter((_, index) => index !== flushAt).join(", ")} tasks done; flush at ${counts[flushAt]}`,
  );
  const frozen = freeze(stage);
  // Awaited at the end; until then a failure must not end the process before its children.
  frozen.catch(() => undefined);
  for (const [index, count] of counts.entries()) {
    await eventually(
      () => stage.countDone(id),
      (done) => done >= count,
      { withinMs: 900_000, everyMs: 20, what: `${count} tasks done`, doomed: () => stage.fleet.crashes[0] },
    );
    if (index === flushAt) {
      const redis = new Redis(stage.rederive.settings.redisUrl ?? "");
      await redis.flushall();
      redis.disconnect();
      say(`flushed Redis at ${count}`);
    } else {
      const killed = await killHolder(stage.sql, stage.fleet);
      say(`killed ${killed.workerPid}, which held task ${killed.task} of ${killed.dataset}, at ${count}`);
    }
  }
  return { kills, frozen: await frozen, flushes: 1 };
}

/** SIGSTOP inside a COPY until another worker has done the task, then SIGCONT. */
async function freeze(stage: Stage): Promise<number> {
  const frozen = await freezeCopier(stage.sql, stage.fleet);
  say(`froze ${frozen.workerPid} inside the COPY of task ${frozen.task}`);
  await eventually(
    () =>
      stage.sql.query<{ state: string; epoch: number }>("select state, epoch from rederive.task where id = $1::int8", [
        frozen.task,
      ]),
    ([task]) => task?.state === "done" && task.epoch > frozen.epoch,
    { withinMs: 300_000, what: "the frozen task was done by another worker" },
  );
  frozen.member.child.kill("SIGCONT");
  say(`${frozen.workerPid} goes on; task ${frozen.task} was done meanwhile`);
  return 1;
}

async function runScenario(servers: Servers): Promise<boolean> {
  const shape = shapeOf(Number(options.tasks));
  const settings = { leaseMs: 3_000, windowTasks: 2_000, concurrency };
  let good = false;
  await withStage(
    { ...servers, prefix: "{fleet}", shape, settings, fleet: { command: ["node", "dist/cli/main.js"] } },
    async (stage) => {
      const memory = watchMemory(servers.redisUrl);
      const backfill = await stage.acting.plan({ reason: "fleet under faults" });
      const { total } = await backfill.start();
      say(`${backfill.id}: ${total} tasks`);
      const foreman = await startForeman(stage.config, options.calm ? 3 : 1, (why) => stage.fleet.crashes.push(why));
      try {
        if (!options.calm) stage.fleet.startMany("worker", 2, { concurrency });
        const trouble = options.calm
          ? { kills: 0, frozen: 0, flushes: 0 }
          : await makeTrouble(stage, backfill.id, total);
        await stage.reaches(backfill.id, "verified", 3_600_000);
        const { seconds } = await backfill.status();
        const found = await examine(stage.sql, backfill.id);
        const divergence = Object.values(found.divergence).reduce((sum, count) => sum + count, 0);
        const result = {
          tasks: total,
          seconds,
          ...trouble,
          divergence,
          stamps: found.stamps,
          stampsPerTaskMax: found.effectsPerTaskMax,
          peakRedisBytes: memory.stop(),
          seed,
        };
        process.stdout.write(`${JSON.stringify(result)}\n`);
        good = divergence === 0 && found.stamps === total && found.effectsPerTaskMax === 1 && found.uncounted === 0;
        if (!good) say(JSON.stringify(found));
      } finally {
        await foreman.stop();
      }
    },
  );
  return good;
}

/** One partition of 3,000,000 rows, one worker; its peak resident memory as the kernel counted it. */
async function runStream(servers: Servers): Promise<boolean> {
  const rows = 3_000_000;
  let good = false;
  const shape = { seed, ranges: 1, days: 1 };
  await withStage(
    {
      ...servers,
      prefix: "{fleet}",
      shape,
      fleet: { command: ["node", "dist/cli/main.js"] },
      catalog: { width: rows },
    },
    async (stage) => {
      await stage.sql.query("truncate public.reading");
      await stage.sql.query(
        `insert into public.reading (id, day, site, value, label, flag)
       select i, '2001-01-01', i % 20, i * 7919 % 100003, 'label ' || (i % 97), 'plain' from generate_series(0, $1::int8 - 1) i`,
        [rows],
      );
      const backfill = await stage.acting.plan({ datasets: ["clean"], reason: "stream" });
      await backfill.start();
      stage.fleet.start("planner");
      const worker = stage.fleet.start("worker", { concurrency: 1, keep: false });
      await stage.reaches(backfill.id, "verified", 600_000);
      const status = readFileSync(`/proc/${worker.child.pid}/status`, "utf8");
      const peakRssBytes = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
      const { clean } = (await examine(stage.sql, backfill.id)).divergence;
      const { seconds } = await backfill.status();
      process.stdout.write(`${JSON.stringify({ rows, seconds, peakRssBytes, divergence: clean })}\n`);
      good = clean === 0;
    },
  );
  return good;
}

const servers = await openServers();
try {
  const good = options.stream ? await runStream(servers) : await runScenario(servers);
  if (!good) process.exitCode = 1;
} finally {
  await servers.stop();
}
