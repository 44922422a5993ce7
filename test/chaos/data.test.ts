/** What must be right in the data when it comes together from several backfills, and while others write. */

import type { Rederive } from "rederive";
import { describe, expect, it } from "vitest";
import type { Tx } from "../../src/tx.ts";
import { eventually } from "../support/eventually.ts";
import { hasRedis } from "../support/redis.ts";
import { type Play, play } from "./harness.ts";
import { divergenceIn, examine } from "./invariants.ts";
import { expected } from "./oracle.ts";
import type { Stage } from "./stage.ts";

const reason = "chaos";

/** Everything of this catalog made live by a worker and a planner in this process. */
async function makeLive(stage: Stage, rederive: Rederive = stage.rederive): Promise<string> {
  const backfill = await rederive.as({ name: "chaos", role: "admin" }).plan({ reason });
  await backfill.start();
  await stage.reaches(backfill.id, "verified");
  await backfill.promote({ reason });
  return backfill.id;
}

/** A worker and a planner in this process; gives what stops them. */
async function working(rederive: Rederive): Promise<() => Promise<void>> {
  const worker = await rederive.startWorker({ concurrency: 4 });
  const planner = rederive.startPlanner();
  return async () => {
    await worker.stop();
    await planner.stop();
  };
}

async function divergences({ sql }: Stage, datasets = Object.keys(expected)): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const dataset of datasets) found[dataset] = await divergenceIn(sql, `public.${dataset}`, dataset);
  return found;
}

const nowhere = Object.fromEntries(Object.keys(expected).map((dataset) => [dataset, 0]));

async function one<Row>({ sql }: Stage, query: string): Promise<Row> {
  return (await sql.query<Row>(query))[0] as Row;
}

describe.skipIf(!hasRedis())("data", { timeout: 120_000 }, () => {
  it("a rollup over a half-recomputed month and a lookback at its edges read new days and live days", async () => {
    await play({ shape: { ranges: 90, days: 45 } }, async (stage: Play) => {
      const { sql, acting } = stage;
      await working(stage.rederive);
      await makeLive(stage);
      expect(await divergences(stage)).toEqual(nowhere);
      // The days of the window change, and one that nobody asked for.
      await sql.query("update public.reading set value = value + 1000 where day between '2001-01-10' and '2001-01-11'");
      await sql.query("update public.reading set value = value + 5 where day = '2001-01-20'");
      const backfill = await acting.plan({
        datasets: ["day_total"],
        window: { from: "2001-01-10", to: "2001-01-12" },
        reason,
      });
      await backfill.start();
      await stage.reaches(backfill.id, "verified");
      const tasks = await sql.query<{ dataset: string; count: number }>(
        "select dataset, count(*)::int4 as count from rederive.task where backfill = $1::text group by dataset order by dataset",
        [backfill.id],
      );
      // Two days, their month, and the trends of those days and the two after them.
      expect(tasks.map(({ dataset, count }) => `${dataset} ${count}`)).toEqual([
        "day_total 2",
        "month_total 1",
        "trend 4",
      ]);
      await backfill.promote({ reason });
      const wrongDays = await one<{ days: string[] | null }>(
        stage,
        `select array_agg(distinct coalesce(g.day, w.day)::text) as days from public.day_total g
         full join (${expected["day_total"]?.query.replace("group by day, site", "group by 1, 2")}) w (day, site, total)
           on w.day = g.day and w.site = g.site
         where w.total is distinct from g.total`,
      );
      // Its readings changed, so it is out of date; only those who asked were served.
      expect(wrongDays.days).toEqual(["2001-01-20"]);
      const { months, trends } = await one<{ months: number; trends: number }>(
        stage,
        `select (select count(*) from public.month_total m where total <>
             (select sum(total) from public.day_total d where d.site = m.site and date_trunc('month', d.day) = m.month))::int4 as months,
           (select count(*) from public.trend t where total <>
             (select sum(total) from public.day_total d where d.site = t.site and d.day between t.day - 2 and t.day))::int4 as trends`,
      );
      expect({ months, trends }).toEqual({ months: 0, trends: 0 });
    });
  });

  it("rows outside of their partition hold the backfill", async () => {
    await play({ catalog: { astray: true }, shape: { ranges: 40, days: 10 } }, async (stage) => {
      await working(stage.rederive);
      const backfill = await stage.acting.plan({ reason });
      await backfill.start();
      await stage.reaches(backfill.id, "held");
      const status = await backfill.status();
      expect(status.failedChecks.map(({ dataset, name }) => `${dataset} ${name}`)).toContain(
        "score row_outside_partition",
      );
      await expect(backfill.promote({ reason })).rejects.toThrow();
      expect((await one<{ rows: number }>(stage, "select count(*)::int4 as rows from public.score")).rows).toBe(0);
      expect(await examine(stage.sql, backfill.id, [])).toMatchObject({ effectsPerTaskMax: 1, uncounted: 0 });
    });
  });

  it("columns of the application survive, also those written while the promotion runs", async () => {
    await play({ shape: { ranges: 120, days: 40 } }, async (stage) => {
      const { sql, rederive } = stage;
      const stop = await working(rederive);
      await makeLive(stage);
      await stop();
      await sql.query("update public.score set note = 'kept ' || first_id where first_id % 3 = 0");
      const serials = await one<{ sum: string }>(
        stage,
        "select md5(string_agg(first_id || ':' || serial, ',' order by first_id)) as sum from public.score",
      );
      const next = await stage.open({ scoreVersion: 2 });
      await working(next);
      const backfill = await next.as({ name: "chaos", role: "admin" }).plan({ reason });
      await backfill.start();
      await stage.reaches(backfill.id, "verified");
      // An application writes rows that the promotion changes: each acknowledged note must be there afterwards.
      const ids = (
        await sql.query<{ id: string }>(
          "select first_id::text as id from public.score where first_id % 3 <> 0 order by first_id",
        )
      ).map(({ id }) => id);
      const promotion = { over: false };
      const write = (tx: Tx, id: string) =>
        tx.query("update public.score set note = 'written ' || first_id where first_id = $1::int8", [id]);
      const acknowledged = ids.slice(0, 1);
      // The first write is not committed before somebody waits for its row or its table.
      const holding = sql.transaction(async (tx) => {
        await write(tx, ids[0] as string);
        await eventually(
          () =>
            sql.query(
              "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            ),
          (waiting) => waiting.length > 0 || promotion.over,
          { everyMs: 2, withinMs: 20_000, what: "the promotion waits for the writer" },
        );
      });
      const writing = (async () => {
        for (const id of ids.slice(1)) {
          if (promotion.over) break;
          await write(sql, id);
          acknowledged.push(id);
        }
      })();
      const report = await backfill.promote({ reason });
      promotion.over = true;
      await Promise.all([holding, writing]);
      expect(report.datasets.find(({ dataset }) => dataset === "score")?.updated).toBeGreaterThan(ids.length);
      const lost = await sql.query(
        `select first_id from public.score
         where first_id = any($1::int8[]) and note is distinct from 'written ' || first_id
           or first_id % 3 = 0 and note is distinct from 'kept ' || first_id`,
        [acknowledged],
      );
      expect(lost).toEqual([]);
      const after = await one<{ sum: string }>(
        stage,
        "select md5(string_agg(first_id || ':' || serial, ',' order by first_id)) as sum from public.score",
      );
      expect(after).toEqual(serials);
      const wrong = await one<{ count: number }>(
        stage,
        `select count(*)::int4 as count from public.score s
         full join (${expected["score"]?.query}) w (first_id, site, readings, total) using (first_id)
         where s.total is distinct from w.total * 2`,
      );
      expect(wrong.count).toBe(0);
    });
  });
});
