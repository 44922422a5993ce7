import { describe, expect, test } from "vitest";
import type { TaskRef } from "../../src/executor/outcome.ts";
import { jobIdOf, openQueues, type Queues, taskNode } from "../../src/executor/queues.ts";
import { openWorker, type WorkerOptions } from "../../src/executor/worker.ts";
import { codeLevel } from "../../src/store/migrate.ts";
import { cancelTasks } from "../../src/store/tasks.ts";
import { eventually } from "../support/eventually.ts";
import { withRedis } from "../support/redis.ts";
import { lacks } from "../support/require.ts";
import { backfill, type Fixture, type FixtureOptions, firstDay, january, withFixture } from "./fixture.ts";

const settings = { concurrency: 3, leaseMs: 3_000, drainMs: 10_000, maxLosses: 3 };
const slow = { total: "(select sum(amount)::bigint from pg_sleep(60))" };

interface Fleet {
  readonly fixture: Fixture;
  readonly queues: Queues;
  readonly options: WorkerOptions;
  readonly enqueue: (...tasks: TaskRef[]) => Promise<void>;
}

async function withFleet(options: FixtureOptions, callback: (fleet: Fleet) => Promise<void>): Promise<void> {
  await withFixture(options, async (fixture) => {
    await withRedis(async (redis) => {
      const queues = openQueues({
        backend: "redis",
        redisUrl: redis.url,
        databaseUrl: fixture.url,
        prefix: redis.prefix,
        leaseMs: 3_000,
      });
      const { catalog, database, url } = fixture;
      const enqueue = async (...tasks: TaskRef[]) => {
        await database.query("update rederive.task set released_at = now() - interval '1 minute'");
        for (const ref of tasks) {
          const node = taskNode({ backfill, id: ref.task, dataset: ref.dataset, queue: "backfill", traceparent: null });
          await queues.queueFor("backfill").add(node.name, node.data, node.opts);
        }
      };
      try {
        await callback({
          fixture,
          queues,
          enqueue,
          options: { settings, databaseUrl: url, catalog, database, queues },
        });
      } finally {
        await queues.queueFor("backfill").obliterate({ force: true });
        await queues.close();
      }
    });
  });
}

const countIn = async ({ database }: Fixture, state: string): Promise<number> => {
  const [row] = await database.query<{ count: number }>(
    "select count(*)::int as count from rederive.task where state = $1",
    [state],
  );
  return row?.count ?? 0;
};

async function untilDone(fixture: Fixture, tasks: number): Promise<void> {
  await eventually(
    () => countIn(fixture, "done"),
    (done) => done >= tasks,
    { what: `${tasks} tasks are done` },
  );
}

describe.skipIf(lacks("redis"))("a worker", () => {
  test("works through what is in the queue and releases consumers", async () => {
    await withFleet({}, async ({ fixture, options, enqueue, queues }) => {
      const worker = await openWorker(options);
      for (let day = firstDay; day < firstDay + 10; day += 1) {
        await enqueue(fixture.taskOf("daily_sales", day), fixture.taskOf("receipts", day));
      }
      await untilDone(fixture, 21);
      expect(await fixture.state(fixture.taskOf("monthly_sales", january))).toMatchObject({ state: "done", epoch: 1 });
      await eventually(
        () => queues.queueFor("backfill").getJobCounts("completed"),
        ({ completed }) => completed === 21,
        { what: "21 jobs are completed" },
      );
      await worker.stop();
      expect(await worker.ended).toBeUndefined();
      expect(await fixture.row("select count(*)::int as count from rederive.worker")).toEqual({ count: 0 });
    });
  });

  test("never runs more tasks at a time than it has lanes", async () => {
    let running = 0;
    let most = 0;
    await withFleet({}, async ({ fixture, options, enqueue }) => {
      for (let day = firstDay; day < firstDay + 10; day += 1) await enqueue(fixture.taskOf("daily_sales", day));
      const worker = await openWorker({
        ...options,
        at: (point) => {
          if (point === "claimed") running += 1;
          if (point === "afterCommit") running -= 1;
          most = Math.max(most, running);
        },
      });
      await untilDone(fixture, 10);
      await worker.stop();
      expect(most).toBeLessThanOrEqual(settings.concurrency);
      expect(most).toBeGreaterThan(1);
    });
  });

  test("lets running tasks finish when it is stopped, and takes no new ones", async () => {
    await withFleet(
      { total: "(select sum(amount)::bigint from pg_sleep(0.5))" },
      async ({ fixture, options, enqueue }) => {
        const one = { ...options, settings: { ...settings, concurrency: 1 } };
        const claimed = signal();
        const worker = await openWorker({ ...one, at: (point) => (point === "claimed" ? claimed.give() : undefined) });
        await enqueue(fixture.taskOf("daily_sales", firstDay), fixture.taskOf("daily_sales", firstDay + 1));
        await claimed.given;
        await worker.stop();
        expect(await countIn(fixture, "done")).toBe(1);
        expect(
          await fixture.row("select sum(losses)::int as losses, sum(attempts)::int as attempts from rederive.task"),
        ).toEqual({ losses: 0, attempts: 0 });
      },
    );
  });

  test.each([
    ["after the drain time", 200, 1],
    ["at the second stop", 60_000, 2],
  ])("ends running tasks %s and gives them back", async (_, drainMs, stops) => {
    await withFleet(slow, async ({ fixture, options, enqueue, queues }) => {
      const claimed = signal();
      const ref = fixture.taskOf("daily_sales", firstDay);
      const worker = await openWorker({
        ...options,
        settings: { ...settings, drainMs },
        at: (point) => (point === "claimed" ? claimed.give() : undefined),
      });
      await enqueue(ref);
      await claimed.given;
      await Promise.all(Array.from({ length: stops }, () => worker.stop()));
      expect(await fixture.state(ref)).toMatchObject({ state: "ready", attempts: 0, losses: 0 });
      const job = await queues.queueFor("backfill").getJob(jobIdOf(backfill, ref.task));
      expect(["delayed", "waiting"]).toContain(await job?.getState());
    });
  });

  test("drops a running task that is cancelled", async () => {
    await withFleet(slow, async ({ fixture, options, enqueue, queues }) => {
      const claimed = signal();
      const worker = await openWorker({
        ...options,
        at: (point) => (point === "claimed" ? claimed.give() : undefined),
      });
      await enqueue(fixture.taskOf("daily_sales", firstDay));
      await claimed.given;
      await cancelTasks(fixture.database, backfill);
      await eventually(
        () => queues.queueFor("backfill").getActiveCount(),
        (active) => active === 0,
        { what: "no job is active" },
      );
      await worker.stop();
    });
  });

  test("keeps the job of a failed task failed, so that its parent stays blocked", async () => {
    await withFleet({ total: "sum(amount)::bigint / 0" }, async ({ fixture, options, enqueue, queues }) => {
      const worker = await openWorker(options);
      const ref = fixture.taskOf("daily_sales", firstDay);
      await enqueue(ref);
      await eventually(
        () => queues.queueFor("backfill").getFailedCount(),
        (failed) => failed === 1,
        { what: "the job has failed" },
      );
      const job = await queues.queueFor("backfill").getJob(jobIdOf(backfill, ref.task));
      expect(job?.failedReason).toBe("division by zero");
      expect(await fixture.state(ref)).toMatchObject({ state: "failed", attempts: 2 });
      await worker.stop();
    });
  });

  test("stops with a message when the schema has moved past its code", async () => {
    await withFleet({}, async ({ fixture, options }) => {
      const worker = await openWorker(options);
      await fixture.database.query("update rederive.meta set value = $1 where key = 'requires_code'", [
        String(codeLevel + 1),
      ]);
      expect(await worker.ended).toMatchObject({ code: "schema_incompatible", message: /deploy the newer/ });
    });
  });
});

function signal(): { give: () => void; given: Promise<void> } {
  let give: () => void = () => undefined;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { give, given };
}
