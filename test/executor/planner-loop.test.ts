import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { RederiveError } from "../../src/errors.ts";
import { codeLevel } from "../../src/store/migrate.ts";
import { registerWorker } from "../../src/store/workers.ts";
import {
  type Backend,
  diamonds,
  monthsOfDays,
  orderViolations,
  seedBackfill,
  startIdleWorkers,
  statesOf,
  withStage,
} from "../support/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { aPlanner, backfillState, untilBackfill } from "../support/planner.ts";
import { hasRedis } from "../support/redis.ts";
import { lacks } from "../support/require.ts";

const backends: Backend[] = hasRedis() ? ["redis", "postgres"] : ["postgres"];

describe.each(backends)("the delivery on %s", (backend) => {
  it.each([
    ["diamonds", diamonds(500)],
    ["months of days with a trend", monthsOfDays(33)],
  ])("finishes 2,000 tasks of %s in order", { timeout: 120_000 }, async (name, graph) => {
    await withStage(backend, async (stage) => {
      const id = await seedBackfill(stage.database, graph);
      const planner = aPlanner(stage);
      const workers = await startIdleWorkers(stage);
      const from = performance.now();
      planner.start();
      await untilBackfill(stage, id, "verified", 100_000);
      console.log(
        `${backend} ${name}: ${graph.tasks.length} tasks, ${((performance.now() - from) / 1000).toFixed(1)} s`,
        Object.fromEntries(workers.outcomes),
      );
      await planner.stop();
      await workers.close();
      expect(await statesOf(stage.database, id)).toEqual({ done: graph.tasks.length });
      expect(await orderViolations(stage.database)).toBe(0);
      // Gates and trees deliver nothing before its time, so the guard has nothing to refuse.
      expect(workers.outcomes.get("not_ready") ?? 0).toBe(0);
      expect(stage.errors).toEqual([]);
    });
  });
});

describe.skipIf(lacks("redis"))("a backfill of 100,000 tasks", () => {
  it("keeps Redis small", { timeout: 120_000 }, async () => {
    await withStage("redis", async (stage) => {
      await seedBackfill(stage.database, diamonds(25_000));
      const redis = new Redis(stage.redis?.url ?? "");
      const memory = async () => Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]);
      const before = await memory();
      const planner = aPlanner(stage);
      const turn = await planner.runOnce();
      const after = await planner.runOnce();
      const grown = (await memory()) - before;
      console.log(`window of ${turn.released} of 100,000 tasks: ${(grown / 1e6).toFixed(1)} MB`);
      await planner.stop();
      redis.disconnect();
      expect(turn.released).toBeLessThanOrEqual(2_000);
      expect(after.released).toBe(0);
      expect(grown).toBeLessThan(10_000_000);
    });
  });
});

describe("a planner that is older than the schema", () => {
  it("gives up the lead, and says why", async () => {
    await withStage("postgres", async (stage) => {
      // Looks every two seconds, when it renews the lead.
      const planner = aPlanner(stage, { leadMs: 6_000 });
      expect((await planner.runOnce()).leads).toBe(true);
      await stage.database.query("update rederive.meta set value = $1 where key = 'requires_code'", [
        String(codeLevel + 1),
      ]);
      const turn = await eventually(
        () => planner.runOnce().catch((error: unknown) => error),
        (seen) => seen instanceof RederiveError,
        { what: "the planner finds out" },
      );
      expect(turn).toMatchObject({ code: "schema_incompatible", message: /deploy the newer/ });
      const over = await stage.database.query("select lease_until <= clock_timestamp() as over from rederive.leader");
      expect(over).toEqual([{ over: true }]);
      await planner.stop();
    });
  });
});

describe("the end of a backfill", () => {
  it("is held with the reason when no worker has its code, and not merely because there is no worker", async () => {
    await withStage("postgres", async (stage) => {
      const id = await seedBackfill(stage.database, diamonds(1));
      const planner = aPlanner(stage, { codeDriftMs: 0, sweepMs: 0 });
      expect((await planner.runOnce()).held).toBe(0);
      await registerWorker(stage.database, {
        id: "w",
        kind: "worker",
        host: "h",
        pid: 1,
        concurrency: 1,
        definitions: { top: "other" },
        leaseMs: 60_000,
      });
      // The first look notes when it began, the second finds that it has lasted.
      const first = await planner.runOnce();
      const second = await planner.runOnce();
      expect(first.held + second.held).toBe(1);
      const row = await backfillState(stage, id);
      expect(row?.state).toBe("held");
      expect(row?.reason).toContain("code_drift");
      await planner.stop();
    });
  });
});
