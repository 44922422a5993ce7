/**
 * A backfill that continues an earlier one: what that had verified is taken over, and nothing of it is taken on trust.
 *
 * Day 2 and day 8 get other events after the earlier run. Rows that are taken over do not know of them; rows that are
 * computed do.
 */
import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Backfill } from "../../src/backfill.ts";
import { eventually } from "../support/eventually.ts";
import { dayOf, original, outcomes, type Stage, withRewrites } from "./rewrites.ts";

const shape = { ...original, value: "v * 2" };
const everything = { cleaned: "12 done", by_day: "12 done", by_month: "2 done", trend: "12 done", board: "1 done" };

/** An earlier run over everything; then events change; then a plan that continues it. */
async function continued(stage: Stage) {
  await stage.bootstrap();
  const rederive = await stage.open(shape);
  const earlier = (await stage.run(rederive)).backfill;
  await stage.database.query("update public.events set v = v + 100 where day::text = any($1::text[])", [
    [dayOf(2), dayOf(8)],
  ]);
  const backfill = await rederive.as(tester).plan({ continues: earlier.id, reason: "the rest" });
  return { rederive, earlier, backfill };
}

const candidateOf = (backfill: Backfill, dataset: string) => `rederive_candidate.${dataset}__${backfill.id}`;

/** Days on which the live rows are not what the events give now, by dataset. */
async function daysApart({ database }: Stage): Promise<Record<string, string[]>> {
  const wanted = {
    cleaned: "select day, sum(v * 2) as v from public.events group by 1",
    by_day: "select day, sum(v * 2) filter (where kind < 5) as v from public.events group by 1",
  };
  const found = { cleaned: "select day, sum(v) as v from public.cleaned group by 1", by_day: "table public.by_day" };
  const apart: Record<string, string[]> = {};
  for (const name of ["cleaned", "by_day"] as const) {
    const rows = await database.query<{ day: string }>(
      `select w.day::text as day from (${wanted[name]}) w left join (${found[name]}) f (day, v) using (day)
       where f.v is distinct from w.v order by 1`,
    );
    apart[name] = rows.map(({ day }) => day);
  }
  return apart;
}

describe("a backfill that continues another", () => {
  it("takes over what is verified, gives the other up, and lets its candidates go in the end", async () => {
    await withRewrites(async (stage) => {
      const { rederive, earlier, backfill } = await continued(stage);
      expect(backfill.plan.forecast).toMatchObject({ tasks: 39, adopted: 39, prunable: 0 });
      const status = await runToEnd(rederive, backfill);
      expect([status.state, outcomes(status)]).toEqual(["verified", everything]);
      const given = await (await rederive.as(tester).backfill(earlier.id)).status();
      expect([given.state, given.stateReason]).toEqual(["cancelled", `continued by ${backfill.id}`]);
      const hashes = await stage.database.query(
        `select e.dataset, e.partition from rederive.stamp e join rederive.stamp s using (dataset, partition)
         where e.backfill = $1::text and s.backfill = $2::text and e.output_hash = s.output_hash`,
        [earlier.id, backfill.id],
      );
      expect(hashes).toHaveLength(39);
      await backfill.promote({ reason: "test" });
      const { nodes } = await rederive.as(tester).lineage({ dataset: "cleaned", partition: dayOf(2), direction: "up" });
      const [read] = await stage.database.query<{ at: string; workers: string[] }>(
        `select to_char(max(finished_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at,
           array_agg(distinct worker) as workers from rederive.stamp
         where backfill = $1::text and dataset = 'cleaned' and partition = $2::date - date '1970-01-01'`,
        [earlier.id, dayOf(2)],
      );
      expect(nodes.find(({ dataset }) => dataset === "cleaned")?.computed).toMatchObject({
        ...{
          backfill: backfill.id,
          adoptedFrom: earlier.id,
          computedAt: read?.at,
          workers: read?.workers,
          live: "all",
        },
      });
      expect(await daysApart(stage)).toEqual({ cleaned: [dayOf(2), dayOf(8)], by_day: [dayOf(2), dayOf(8)] });
      const planner = rederive.startPlanner();
      await eventually(
        () => stage.database.query(`select to_regclass($1::text) as there`, [candidateOf(earlier, "cleaned")]),
        ([row]) => (row as { there: string | null }).there === null,
        { what: "the candidates of the earlier backfill are dropped" },
      );
      await planner.stop();
    });
  });

  it("computes what is not as it was measured, and what was computed from it", async () => {
    await withRewrites(async (stage) => {
      const { rederive, earlier, backfill } = await continued(stage);
      await stage.database.query(`update ${candidateOf(earlier, "cleaned")} set v = v + 1 where day = $1::date`, [
        dayOf(8),
      ]);
      const status = await runToEnd(rederive, backfill);
      expect([status.state, outcomes(status)]).toEqual(["verified", everything]);
      const anew = await stage.database.query(
        `select dataset, (date '1970-01-01' + partition::int4)::text as day from rederive.stamp
         where backfill = $1::text and adopted_from is null and dataset in ('cleaned', 'by_day') order by 1`,
        [backfill.id],
      );
      expect(anew).toEqual([
        { dataset: "by_day", day: dayOf(8) },
        { dataset: "cleaned", day: dayOf(8) },
      ]);
      await backfill.promote({ reason: "test" });
      expect(await daysApart(stage)).toEqual({ cleaned: [dayOf(2)], by_day: [dayOf(2)] });
      const [row] = await stage.database.query<{ months: string; days: string }>(
        `select (select sum(total) from public.by_month)::text as months, (select sum(total) from public.by_day)::text as days`,
      );
      expect(row?.months).toBe(row?.days);
    });
  });

  it("computes what is gone, and takes over the rest", async () => {
    await withRewrites(async (stage) => {
      const { rederive, earlier, backfill } = await continued(stage);
      await stage.database.query(`drop table ${candidateOf(earlier, "by_day")}`);
      const status = await runToEnd(rederive, backfill);
      expect([status.state, outcomes(status)]).toEqual(["verified", everything]);
      await backfill.promote({ reason: "test" });
      expect(await daysApart(stage)).toEqual({ cleaned: [dayOf(2), dayOf(8)], by_day: [dayOf(2), dayOf(8)] });
    });
  });

  it("takes over what an edited definition leaves as it is", async () => {
    await withRewrites(async (stage) => {
      await stage.bootstrap();
      const { backfill: earlier } = await stage.run(await stage.open(shape));
      const edited = { ...shape, total: "sum(v) filter (where kind < 4)" };
      const rederive = await stage.open(edited);
      const backfill = await rederive.as(tester).plan({ continues: earlier.id, reason: "the check was right" });
      expect(backfill.plan.forecast).toMatchObject({ tasks: 39, adopted: 12 });
      const status = await runToEnd(rederive, backfill);
      expect([status.state, outcomes(status)]).toEqual(["verified", everything]);
      await backfill.promote({ reason: "test" });
      expect(await stage.divergence(edited)).toEqual({ cleaned: 0, by_day: 0, by_month: 0, trend: 0, board: 0 });
      expect((await rederive.as(tester).preview({ reason: "after it" })).forecast.tasks).toBe(0);
    });
  });
});
