/** Processes and servers die, freeze and come back in the middle of a backfill; each task takes effect exactly once. */
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { lacks } from "../support/require.ts";
import { end, freezeCopier, type Holder, killHolder } from "./fleet.ts";
import { type Cast, type PlayOptions, play, type Run, survive, untilDone, untilWithin } from "./harness.ts";
import { lossesIn } from "./invariants.ts";

interface Scenario {
  readonly title: string;
  readonly options?: PlayOptions;
  readonly cast?: Cast;
  readonly fault: (run: Run) => Promise<void>;
}

/** A few tasks are long enough to be caught inside their COPY. */
const slowRanges: PlayOptions = { shape: { ranges: 60, slow: [7, 23, 41] } };

const scenarios: readonly Scenario[] = [
  {
    title: "workers killed while they hold tasks",
    fault: async (run) => {
      let done = 0;
      for (let kill = 0; kill < 4; kill += 1) {
        done += Math.floor(run.random() * (run.total / 6));
        await untilDone(run, run.backfill.id, done);
        await killHolder(run.sql, run.fleet);
      }
    },
  },
  {
    title: "a worker frozen inside a COPY past its lease, then awake again",
    options: slowRanges,
    fault: async (run) => {
      const frozen = await freezeCopier(run.sql, run.fleet);
      await untilTask(
        run,
        frozen,
        ({ state, epoch }) => state === "done" && epoch > frozen.epoch,
        "another worker has done the frozen task",
      );
      frozen.member.child.kill("SIGCONT");
      await run.reaches(run.backfill.id, "verified");
      // Awake, it finds its lease run out and joins the fleet again.
      await eventually(
        () =>
          run.sql.query("select id from rederive.worker where pid = $1::int4 and lease_until > clock_timestamp()", [
            frozen.workerPid,
          ]),
        (rows) => rows.length === 1,
        { what: "the worker that was frozen is back in the fleet" },
      );
    },
  },
  {
    title: "a frozen worker whose connection nobody ended wakes up beside the attempt that replaced it",
    options: slowRanges,
    fault: async (run) => {
      const frozen = await freezeCopier(run.sql, run.fleet);
      // What a reclaim does, but for the end of the backend: as where a proxy hides which one it is.
      await run.sql.query(
        "update rederive.task set state = 'ready', worker = null, backend_pid = null where worker in (select id from rederive.worker where pid = $1::int4) and state = 'running'",
        [frozen.workerPid],
      );
      await untilTask(run, frozen, ({ epoch }) => epoch > frozen.epoch, "another worker has claimed the frozen task");
      frozen.member.child.kill("SIGCONT");
      await run.reaches(run.backfill.id, "verified");
      // Its transaction goes on or is cut; what counts is what is there when it has ended.
      await eventually(
        () =>
          run.sql.query("select pid from pg_stat_activity where pid = $1::int4 and xact_start is not null", [
            frozen.backendPid,
          ]),
        (open) => open.length === 0,
        { what: "the end of the late attempt" },
      );
    },
  },
  {
    title: "Redis flushed twice in the middle",
    options: { ownRedis: true },
    fault: async (run) => {
      const redis = new Redis(run.rederive.settings.redisUrl ?? "");
      try {
        for (const part of [0.1, 0.5]) {
          await untilDone(run, run.backfill.id, Math.floor(run.total * (part + run.random() * 0.3)));
          await redis.flushall();
        }
      } finally {
        redis.disconnect();
      }
    },
  },
  {
    title: "the leading planner killed, another one takes over",
    options: { shape: { ranges: 200 }, settings: { windowTasks: 60 } },
    cast: { mortal: "planner" },
    fault: async (run) => {
      await untilWithin(run, 1 / 3);
      run.fleet.start("planner");
      await end(run.planner, "SIGKILL");
    },
  },
  {
    title: "storms of terminated connections",
    fault: async (run) => {
      for (let storm = 1; storm <= 3; storm += 1) {
        await untilDone(run, run.backfill.id, Math.floor((run.total / 4) * (storm - run.random())));
        // Lanes, control pools, the planner's too: everything but this test.
        await run.sql.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and application_name like 'rederive%'`,
        );
      }
    },
  },
  {
    title: "a fleet told to stop drains, and the next one goes on",
    cast: { mortal: "worker" },
    fault: async (run) => {
      await untilWithin(run, 1 / 2);
      await Promise.all(run.workers.map((worker) => end(worker, "SIGTERM")));
      expect(run.workers.map(({ child }) => child.exitCode)).toEqual([0, 0]);
      run.fleet.crashes.length = 0;
      const [running] = await run.sql.query<{ count: number }>(
        "select count(*)::int4 as count from rederive.task where state = 'running'",
      );
      expect(running?.count).toBe(0);
      run.fleet.startMany("worker", 2);
      await run.reaches(run.backfill.id, "verified");
      expect(await lossesIn(run)).toBe(0);
    },
  },
];

describe.skipIf(lacks("own-redis"))("a fleet under faults", { timeout: 150_000 }, () => {
  for (const { title, options = {}, cast, fault } of scenarios) {
    it(title, () => play(options, (stage) => survive(stage, fault, cast)));
  }
});

interface TaskNow {
  readonly state: string;
  readonly epoch: number;
}

async function untilTask(run: Run, { task }: Holder, holds: (now: TaskNow) => boolean, what: string): Promise<void> {
  await eventually(
    () => run.sql.query<TaskNow>("select state, epoch from rederive.task where id = $1::int8", [task]),
    ([now]) => now !== undefined && holds(now),
    { what },
  );
}
