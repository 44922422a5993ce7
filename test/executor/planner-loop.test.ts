import { describe, expect, it } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { PlannerLoop, type PlannerOptions } from "../../src/executor/planner-loop.ts";
import { moveBackfill } from "../../src/store/backfills.ts";
import {
  type Backend,
  diamonds,
  monthsOfDays,
  orderViolations,
  seedBackfill,
  type Stage,
  startIdleWorkers,
  statesOf,
  until,
  withStage,
} from "../support/delivery.ts";
import { hasRedis } from "../support/redis.ts";

const catalog = { datasets: new Map(), resources: {} } as unknown as Catalog;

function aPlanner(stage: Stage, options: Partial<PlannerOptions> = {}): PlannerLoop {
  return new PlannerLoop({
    delivery: stage,
    catalog,
    holder: `p_${Math.random()}`,
    verify: async (id) => void (await moveBackfill(stage.database, { id, to: "verified", reason: null })),
    activeMs: 50,
    idleMs: 100,
    sweepMs: 500,
    ...options,
  });
}

const stateOf = async (stage: Stage, id: string) => {
  const [row] = await stage.database.query<{ state: string; reason: string | null }>(
    "select state, state_reason as reason from rederive.backfill where id = $1::text",
    [id],
  );
  return row;
};

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
      await until(() => stateOf(stage, id), (row) => row?.state === "verified", { withinMs: 100_000 });
      console.log(`${backend} ${name}: ${graph.tasks.length} tasks, ${((performance.now() - from) / 1000).toFixed(1)} s`, Object.fromEntries(workers.outcomes));
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
