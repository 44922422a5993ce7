/**
 * Early cutoff in whole runs: who computes nothing, what is live afterwards, and what the next plan says. At the end
 * rewrites at random, whose outcome is compared with plain SQL over the events; CUTOFF_SEED repeats one.
 */
import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { dayOf, original, outcomes, type Shape, type Stage, withRewrites } from "./rewrites.ts";

const right = { cleaned: 0, by_day: 0, by_month: 0, trend: 0, board: 0 };

const onDay = (index: number, then: string, otherwise: string) =>
  `case when day = '${dayOf(index)}' then ${then} else ${otherwise} end`;

/** Prunable tasks that were computed though nothing that they read had changed, and unchanged ones though something had. */
async function misjudged({ database }: Stage, backfill: string): Promise<{ inVain: number; missed: number }> {
  const [row] = await database.query<{ inVain: number; missed: number }>(
    `with judged as (
       select t.state, t.prunable, exists (
         select from rederive.edge e join rederive.task p on p.id = e.producer and p.state = 'done'
         join rederive.stamp s on s.task = p.id
         left join rederive.live l on l.dataset = p.dataset and l.partition = p.partition
         where e.consumer = t.id and l.output_hash is distinct from s.output_hash) as touched
       from rederive.task t where t.backfill = $1::text)
     select count(*) filter (where state = 'done' and prunable and not touched)::int as "inVain",
       count(*) filter (where state = 'unchanged' and touched)::int as missed from judged`,
    [backfill],
  );
  return row as { inVain: number; missed: number };
}

async function tasksPlanned(stage: Stage, shape: Shape): Promise<number> {
  const plan = await (await stage.open(shape)).as(tester).preview({ reason: "test" });
  return plan.forecast.tasks;
}

describe("early cutoff", () => {
  it("ends a rewrite that changes nothing at the dataset that was rewritten", async () => {
    await withRewrites(async (stage) => {
      await stage.bootstrap();
      const shape = { ...original, total: "coalesce(sum(v) filter (where kind < 5), 0)" };
      const rederive = await stage.open(shape);
      const { backfill, status } = await stage.run(rederive);
      expect(status.state).toBe("verified");
      expect(outcomes(status)).toEqual({
        by_day: "12 done",
        by_month: "2 unchanged",
        trend: "12 unchanged",
        board: "1 unchanged",
      });
      const [{ stamps } = { stamps: -1 }] = await stage.database.query<{ stamps: number }>(
        "select count(*)::int as stamps from rederive.stamp where backfill = $1::text",
        [backfill.id],
      );
      expect(stamps).toBe(12);
      expect((await backfill.diff()).datasets.map(({ dataset, changed }) => [dataset, changed])).toEqual([
        ["by_day", 0],
        ["by_month", 0],
        ["trend", 0],
        ["board", 0],
      ]);
      await backfill.promote({ reason: "test" });
      expect(await stage.divergence(shape)).toEqual(right);
      expect(await tasksPlanned(stage, shape)).toBe(0);
    });
  });

  it("reads live rows of what is unchanged beside candidate rows of what is not, and the stamp says so", async () => {
    await withRewrites(async (stage) => {
      await stage.bootstrap();
      const shape = { ...original, value: onDay(3, "v + 1000", "v + 0") };
      const rederive = await stage.open(shape);
      const { backfill, status } = await stage.run(rederive);
      // The third day of January and the trends of it and the two days after it; February is as it was.
      expect(outcomes(status)).toEqual({
        cleaned: "12 done",
        by_day: "1 done, 11 unchanged",
        by_month: "1 done, 1 unchanged",
        trend: "3 done, 9 unchanged",
        board: "1 done",
      });
      const inputs = await stage.database.query<{ dataset: string; recomputed: number; live: number }>(
        `select s.dataset, sum((select count(*) from jsonb_array_elements(i -> 'recomputed')))::int as recomputed,
           sum((select count(*) from jsonb_array_elements(i -> 'live')))::int as live
         from rederive.stamp s cross join jsonb_array_elements(s.inputs) i
         where s.backfill = $1::text and s.dataset in ('by_month', 'board') group by 1 order by 1`,
        [backfill.id],
      );
      // Of the month one day is new, before and after it are live ones; of the board one month and a range of trends.
      expect(inputs).toEqual([
        { dataset: "board", recomputed: 2, live: 3 },
        { dataset: "by_month", recomputed: 1, live: 2 },
      ]);
      expect((await rederive.as(tester).check({ backfill: backfill.id })).failed).toBe(false);
      await backfill.promote({ reason: "test" });
      expect(await stage.divergence(shape)).toEqual(right);
      expect(await tasksPlanned(stage, shape)).toBe(0);
    });
  });

  it("brings back what was unchanged when an upstream is computed again and comes out otherwise", async () => {
    await withRewrites(async (stage) => {
      await stage.bootstrap();
      const shape = { ...original, value: "v + 0" };
      const rederive = await stage.open(shape);
      const { backfill } = await stage.run(rederive);
      // What a source has then is another matter than what it had when the task ran first.
      await stage.database.query("update public.events set v = v + 7 where day = $1::date and kind = 0", [dayOf(8)]);
      await backfill.retry({ dataset: "cleaned", partitions: [dayOf(8)], reason: "late rows" });
      const again = await runToEnd(rederive, backfill);
      expect(outcomes(again)).toEqual({
        cleaned: "12 done",
        by_day: "1 done, 11 unchanged",
        by_month: "1 done, 1 unchanged",
        trend: "3 done, 9 unchanged",
        board: "1 done",
      });
      await backfill.promote({ reason: "test" });
      expect(await stage.divergence(shape)).toEqual(right);
    });
  });
});

/** Rewrites of one dataset; `n` makes each another definition, also where it gives the same rows. */
const rewrites: readonly ((shape: Shape, day: number, n: number) => Shape)[] = [
  (shape, _, n) => ({ ...shape, value: `(${shape.value}) + 0 * ${n}` }),
  (shape, _, n) => ({ ...shape, total: `(${shape.total}) + 0 * ${n}` }),
  (shape, day, n) => ({ ...shape, value: onDay(day, `(${shape.value}) + ${n}`, shape.value) }),
  // Kinds that nobody reads: the day of `cleaned` is another one, and nothing below it.
  (shape, day, n) => ({
    ...shape,
    value: `case when kind >= 5 and day = '${dayOf(day)}' then ${n} else ${shape.value} end`,
  }),
  // What one kind loses another gains: the day's sum stays.
  (shape, day, n) => ({
    ...shape,
    value: `(${shape.value}) + case when day = '${dayOf(day)}' then (kind = 0)::int * ${n} - (kind = 1)::int * ${n} else 0 end`,
  }),
  (shape, day, n) => ({ ...shape, total: `(${shape.total}) + case when day = '${dayOf(day)}' then ${n} else 0 end` }),
];

function randomOf(seed: number): (below: number) => number {
  let state = seed % 2_147_483_647 || 1;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

describe("rewrites at random", () => {
  it("give what a computation of everything would give, and nothing is computed in vain", {
    timeout: 240_000,
  }, async () => {
    const seed = Number(process.env["CUTOFF_SEED"] ?? Math.floor(Math.random() * 1_000_000));
    console.log(`rewrites at random: seed ${seed}`);
    const random = randomOf(seed);
    await withRewrites(async (stage) => {
      await stage.bootstrap();
      let shape = original;
      const unchanged: number[] = [];
      for (let turn = 1; turn <= 6; turn += 1) {
        const rewrite = rewrites[random(rewrites.length)] as (typeof rewrites)[number];
        const rewritten = rewrite(shape, random(12), turn);
        const rederive = await stage.open(rewritten);
        const { backfill, status } = await stage.run(rederive);
        const told = { seed, turn, rewritten, outcomes: outcomes(status) };
        expect({ ...told, state: status.state, ...(await misjudged(stage, backfill.id)) }).toEqual({
          ...told,
          state: "verified",
          inVain: 0,
          missed: 0,
        });
        unchanged.push(status.tasks.unchanged);
        await backfill.promote({ reason: "test" });
        expect({ ...told, ...(await stage.divergence(rewritten)) }).toEqual({ ...told, ...right });
        expect({ ...told, tasks: await tasksPlanned(stage, rewritten) }).toEqual({ ...told, tasks: 0 });
        if (random(3) === 0) {
          await backfill.rollback({ reason: "test" });
          expect({ ...told, ...(await stage.divergence(shape)) }).toEqual({ ...told, ...right });
          const again = await rederive.as(tester).preview({ reason: "test" });
          expect({ ...told, plan: again.hash }).toEqual({ ...told, plan: backfill.plan.hash });
          await backfill.promote({ reason: "again" });
          expect({ ...told, ...(await stage.divergence(rewritten)) }).toEqual({ ...told, ...right });
        }
        shape = rewritten;
      }
      expect(Math.max(...unchanged)).toBeGreaterThan(0);
    });
  });
});
