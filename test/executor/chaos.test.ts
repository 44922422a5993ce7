/** Redis loses everything, or a random half, while workers are alive: time is lost, no task is, and no order. */
import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import type { PlannerOptions } from "../../src/executor/planner-loop.ts";
import { jobIdOf } from "../../src/executor/queues.ts";
import { releaseWindow } from "../../src/executor/release.ts";
import { runningBackfills, windowOf } from "../../src/store/release.ts";
import {
  diamonds,
  independent,
  monthsOfDays,
  orderViolations,
  type Stage,
  seedBackfill,
  startIdleWorkers,
  statesOf,
  withStage,
} from "../support/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { aPlanner, untilBackfill } from "../support/planner.ts";
import { lacks } from "../support/require.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** Sweeps soon, so that a test need not wait long for what was lost. */
const hasty: Partial<PlannerOptions> = {
  sweepMs: 300,
  sweeper: { graceMs: 500, childrenMs: 500, activeMs: 4_000 },
};

const doneOf = async (stage: Stage, id: string) => (await statesOf(stage.database, id))["done"] ?? 0;
const untilDone = (stage: Stage, id: string, tasks: number, everyMs = 25) =>
  eventually(
    () => doneOf(stage, id),
    (done) => done >= tasks,
    { what: `${tasks} tasks of ${id} are done`, withinMs: 60_000, everyMs },
  );

/** Runs `graph` with a fault in the middle; gives how often each outcome of a claim was seen. */
async function runThrough(stage: Stage, graph: ReturnType<typeof diamonds>, fault: (redis: Redis) => Promise<void>) {
  const id = await seedBackfill(stage.database, graph);
  const planner = aPlanner(stage, { ...hasty, release: { windowTasks: 200, chunkTasks: 100 } });
  const workers = await startIdleWorkers(stage, { taskMs: 5 });
  const redis = new Redis(stage.redis?.url ?? "");
  planner.start();
  await untilDone(stage, id, graph.tasks.length / 4);
  await fault(redis);
  await untilDone(stage, id, graph.tasks.length / 2);
  await fault(redis);
  await untilBackfill(stage, id, "verified", 60_000);
  await planner.stop();
  await workers.close();
  redis.disconnect();
  expect(await statesOf(stage.database, id)).toEqual({ done: graph.tasks.length });
  expect(await orderViolations(stage.database)).toBe(0);
  return workers.outcomes;
}

describe.skipIf(lacks("own-redis"))("a Redis that loses its keys", () => {
  it("FLUSHALL twice", { timeout: 150_000 }, async () => {
    await withStage(
      "redis",
      async (stage) => {
        const outcomes = await runThrough(stage, diamonds(150), async (redis) => void (await redis.flushall()));
        console.log("FLUSHALL", Object.fromEntries(outcomes));
      },
      { own: true, leaseMs: 2_000 },
    );
  });

  it("a random half of the keys twice, the sentinel sometimes among them", { timeout: 150_000 }, async () => {
    await withStage(
      "redis",
      async (stage) => {
        const outcomes = await runThrough(stage, monthsOfDays(10), async (redis) => {
          const keys = await redis.keys("*");
          const half = keys.filter(() => Math.random() < 0.5);
          if (half.length > 0) await redis.del(...half);
        });
        console.log("half of the keys", Object.fromEntries(outcomes));
      },
      { own: true, leaseMs: 2_000 },
    );
  });
});

describe.skipIf(lacks("redis"))("gates", () => {
  it("are what keeps consumers back: without them deliveries come early, and the claim refuses them", async () => {
    await withStage("redis", async (stage) => {
      const id = await seedBackfill(stage.database, diamonds(30));
      const [backfill] = await runningBackfills(stage.database);
      if (backfill === undefined) throw new Error("no backfill");
      await releaseWindow(stage, backfill, []);
      const gates = await stage.queues.gates.getJobs(["waiting"], 0, 500);
      expect(gates).toHaveLength(30);
      await Promise.all(gates.map((gate) => stage.queues.gates.remove(gate.id ?? "")));
      const workers = await startIdleWorkers(stage);
      await untilDone(stage, id, 120);
      await workers.close();
      expect(workers.outcomes.get("not_ready") ?? 0).toBeGreaterThan(0);
      expect(await orderViolations(stage.database)).toBe(0);
    });
  });

  it("show the flow tree of a running backfill", async () => {
    await withStage("redis", async (stage) => {
      const id = await seedBackfill(stage.database, monthsOfDays(1));
      const [backfill] = await runningBackfills(stage.database);
      if (backfill === undefined) throw new Error("no backfill");
      await releaseWindow(stage, backfill, []);
      const [month] = await stage.database.query<{ id: string }>(
        "select id::text as id from rederive.task where dataset = 'month'",
      );
      const tree = await stage.queues.flows.getFlow({
        id: jobIdOf(id, month?.id ?? ""),
        queueName: "backfill",
        maxChildren: 100,
      });
      // Each day is a child of its trend; the month stands behind its gate.
      expect(tree.children?.map((child) => child.job.queueName)).toContain("gate");
    });
  });
});

describe.skipIf(lacks("redis"))("the window", () => {
  it("is never exceeded, and blocked tasks take half of it at most", async () => {
    await withStage("redis", async (stage) => {
      const graph = independent(500);
      const id = await seedBackfill(stage.database, {
        tasks: [
          ...graph.tasks,
          ...independent(500, "consumer").tasks.map((task) => ({ ...task, rank: task.rank + 500 })),
        ],
        edges: graph.tasks.map((task) => ({ producer: 0, consumer: task.rank + 500 })),
      });
      const planner = aPlanner(stage, { ...hasty, release: { windowTasks: 100, chunkTasks: 30 } });
      // The producer of all consumers fails: they can only wait.
      await stage.database.query("update rederive.task set state = 'failed' where rank = 0 and backfill = $1::text", [
        id,
      ]);
      const workers = await startIdleWorkers(stage);
      let largest = 0;
      let waiting = 0;
      planner.start();
      await eventually(
        async () => {
          const window = await windowOf(stage.database, id);
          largest = Math.max(largest, window.waiting + window.moving);
          waiting = Math.max(waiting, window.waiting);
          return doneOf(stage, id);
        },
        (done) => done === 499,
        { what: "499 tasks are done", everyMs: 5 },
      );
      const held = await untilBackfill(stage, id, "held");
      await planner.stop();
      await workers.close();
      expect(largest).toBeLessThanOrEqual(100);
      expect(waiting).toBeLessThanOrEqual(50);
      expect(held?.reason).toBe("1 partition of plain failed; retry, resume or cancel");
    });
  });
});

describe.skipIf(lacks("redis"))("two planners", () => {
  it("lead one after the other when the first is silent", { timeout: 90_000 }, async () => {
    await withStage("redis", async (stage) => {
      const id = await seedBackfill(stage.database, diamonds(60));
      const options = { ...hasty, release: { windowTasks: 40, chunkTasks: 20 }, leadMs: 1_000 };
      const other = stage.open();
      const [first, second] = [aPlanner(stage, options), aPlanner(other, options)];
      expect((await first.runOnce()).leads).toBe(true);
      expect((await second.runOnce()).leads).toBe(false);
      // The first one is never heard of again, as if it had been killed.
      const workers = await startIdleWorkers(stage);
      second.start();
      cleanups.push(() => second.stop());
      await untilBackfill(stage, id, "verified");
      await second.stop();
      await workers.close();
      expect(await statesOf(stage.database, id)).toEqual({ done: 240 });
      expect(await orderViolations(stage.database)).toBe(0);
    });
  });
});
