/** Early cutoff while workers die and connections break: who was unchanged stays so, and nobody else is. */
import { describe, expect, it } from "vitest";
import { lacks } from "../support/require.ts";
import { killHolder } from "./fleet.ts";
import { play, untilDone } from "./harness.ts";
import { divergenceIn, examine } from "./invariants.ts";
import type { Stage } from "./stage.ts";

const reason = "chaos";
const rewritten = { rewritten: true };

async function makeLive(stage: Stage): Promise<void> {
  const [worker, planner] = [await stage.rederive.startWorker({ concurrency: 4 }), stage.rederive.startPlanner()];
  const backfill = await stage.acting.plan({ reason });
  await backfill.start();
  await stage.reaches(backfill.id, "verified");
  await backfill.promote({ reason });
  await worker.stop();
  await planner.stop();
}

describe.skipIf(lacks("own-redis"))("early cutoff under faults", { timeout: 240_000 }, () => {
  it("computes what two changed ranges reach, and nothing else, once", async () => {
    // A seed of its own: ranges 3 and 77 have rows, and so have the first and the last.
    const shape = { ranges: 120, days: 10, seed: 20_260_101 };
    await play({ shape, settings: { windowTasks: 40 }, ownRedis: true }, async (stage) => {
      const { sql, fleet } = stage;
      await makeLive(stage);
      const changed = await sql.query(
        "update public.reading set value = value + 1 where id / 50000 in (3, 77) returning id",
      );
      expect(changed.length).toBeGreaterThan(0);
      const rederive = await stage.open(rewritten);
      const backfill = await rederive.as({ name: "chaos", role: "admin" }).plan({ reason });
      // Twelve bands of ten scores each, and one ranking.
      expect(backfill.plan.forecast).toMatchObject({ tasks: 133, prunable: 13 });
      await backfill.start();
      const config = stage.configFor(rewritten);
      fleet.start("planner", { config });
      for (let worker = 1; worker <= 2; worker += 1) fleet.start("worker", { concurrency: 2, config });
      for (const part of [0.1, 0.3, 0.5, 0.8]) {
        await untilDone(stage, backfill.id, Math.floor(120 * part));
        if (part < 0.5) await killHolder(sql, fleet);
        else {
          await sql.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and application_name like 'rederive%'`,
          );
        }
      }
      await stage.reaches(backfill.id, "verified");
      expect(await examine(sql, backfill.id, ["score"])).toMatchObject({
        states: { done: 123, unchanged: 10 },
        stamps: 123,
        effectsPerTaskMax: 1,
        uncounted: 0,
        crookedEdges: 0,
        early: 0,
        running: 0,
        divergence: { score: 0 },
      });
      await backfill.promote({ reason });
      for (const dataset of ["score", "band", "ranking"]) {
        expect([dataset, await divergenceIn(sql, `public.${dataset}`, dataset)]).toEqual([dataset, 0]);
      }
    });
  });
});
