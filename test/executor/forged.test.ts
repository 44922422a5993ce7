/** Whoever can write to Redis can put jobs into the queues. None of them does anything in Postgres. */
import { afterEach, describe, expect, test } from "vitest";
import { jobIdOf, openQueues, type TaskQueue, taskNode } from "../../src/executor/queues.ts";
import { openWorker } from "../../src/executor/worker.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { startTelemetry, type Telemetry } from "../../src/telemetry/sdk.ts";
import { eventually } from "../support/eventually.ts";
import { withRedis } from "../support/redis.ts";
import { lacks } from "../support/require.ts";
import { backfill, firstDay, withFixture } from "./fixture.ts";

const settings = { concurrency: 2, leaseMs: 3_000, drainMs: 10_000, maxLosses: 3 };

let telemetry: Telemetry | undefined;

afterEach(async () => {
  await telemetry?.shutdown();
  telemetry = undefined;
});

describe.skipIf(lacks("redis"))("forged jobs", () => {
  test("are discarded, counted and logged, and the real one is done", async () => {
    telemetry = await startTelemetry({ serviceName: "rederive", role: "web", variables: {} });
    await withFixture({}, async (fixture) => {
      const { url, catalog, database } = fixture;
      await withRedis(async ({ url: redisUrl, prefix }) => {
        const queues = openQueues({ backend: "redis", redisUrl, databaseUrl: url, prefix, leaseMs: 3_000 });
        const lines: string[] = [];
        const log = createLog({ name: "worker", destination: { write: (line) => lines.push(line) } });
        await database.query("update rederive.task set released_at = now() - interval '1 minute'");
        const real = fixture.taskOf("daily_sales", firstDay);
        const waiting = fixture.taskOf("daily_sales", firstDay + 1);
        const queue = queues.queueFor("backfill");
        await forge(queue, [
          ["bf_other", waiting.task, "daily_sales"],
          [backfill, "999999", "daily_sales"],
          [backfill, waiting.task, "monthly_sales"],
          ["x'; drop table rederive.task; --", "1", "daily_sales"],
        ]);
        await queue.add("daily_sales", { t: "1" }, { jobId: "no task at all" });
        const node = taskNode({ ...real, id: real.task, queue: "backfill", traceparent: null });
        await queue.add(node.name, node.data, node.opts);
        const before = await fixture.row("select count(*)::int4 as audit from rederive.audit");
        const worker = await openWorker({ settings, databaseUrl: url, catalog, database, queues, log });
        try {
          await eventually(
            () => lines.filter((line) => line.includes('"queue.forged"')).length,
            (count) => count === 5,
            { what: "five jobs are discarded" },
          );
          await eventually(
            () => fixture.row<{ state: string }>(`select state from rederive.task where id = ${real.task}`),
            ({ state }) => state === "done",
            { what: "the real job's task is done" },
          );
        } finally {
          await worker.stop();
          await queue.obliterate({ force: true });
          await queues.close();
        }
        expect(await fixture.row(`select state, epoch from rederive.task where id = ${waiting.task}`)).toEqual({
          state: "ready",
          epoch: 0,
        });
        expect(await fixture.row("select count(*)::int4 as audit from rederive.audit")).toEqual(before);
        const metrics = (await telemetry?.prometheus?.()) ?? "";
        expect(metrics).toMatch(/rederive_queue_forged\S* 5\b/);
        expect(metrics).not.toContain("drop table");
      });
    });
  });
});

/** Jobs for these, with more in them than ours have. */
async function forge(queue: TaskQueue, jobs: readonly (readonly [string, string, string])[]): Promise<void> {
  for (const [of, task, dataset] of jobs) {
    const data = { t: task, sql: "drop table public.daily_sales", epoch: 99 };
    await queue.add(dataset, data, { jobId: jobIdOf(of, task) });
  }
}
