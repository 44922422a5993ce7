/** People, wrong code and poisonous data, on a real fleet. */

import { isRederiveError } from "rederive";
import { describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { hasRedis } from "../support/redis.ts";
import { expectExactlyOnce, play, runAll, startAll, untilDone, untilWithin } from "./harness.ts";
import { examine } from "./invariants.ts";
import type { Stage } from "./stage.ts";

const reason = "chaos";

async function untilIdle({ sql }: Stage): Promise<void> {
  await eventually(
    () => sql.query<{ count: number }>("select count(*)::int4 as count from rederive.task where state = 'running'"),
    ([row]) => row?.count === 0,
    { what: "no task is running" },
  );
}

describe.skipIf(!hasRedis())("a fleet and its people", { timeout: 150_000 }, () => {
  it("pause, resume and cancel reach every worker", async () => {
    await play({ shape: { ranges: 300 } }, async (stage) => {
      const run = await runAll(stage);
      const { backfill, total, sql } = run;
      await untilWithin(run, 1 / 4);
      await backfill.pause({ reason });
      const [paused] = await sql.query<{ at: string }>("select clock_timestamp()::text as at");
      await untilIdle(stage);
      const resting = await stage.countDone(backfill.id);
      expect(resting).toBeLessThan(total);
      await backfill.resume({ reason });
      await untilDone(stage, backfill.id, Math.min(total - 50, resting + 100));
      // Between the pause and the resumption nothing was claimed: the gap in the claims is where it rested.
      const [claims] = await sql.query<{ count: number }>(
        `select count(*)::int4 as count from rederive.task, rederive.audit a
         where a.backfill = $1::text and a.act = 'backfill.resume' and claimed_at > $2::text::timestamptz and claimed_at < a.at`,
        [backfill.id, paused?.at],
      );
      expect(claims?.count).toBe(0);
      await backfill.cancel({ reason });
      await untilIdle(stage);
      const found = await examine(sql, backfill.id, []);
      expect(Object.keys(found.states).sort()).toEqual(["cancelled", "done"]);
      expect(found).toMatchObject({ effectsPerTaskMax: 1, uncounted: 0, early: 0 });
      const [live] = await sql.query<{ rows: number }>("select count(*)::int4 as rows from public.score");
      expect(live?.rows).toBe(0);
    });
  });

  it("a partition that kills its worker each time is quarantined, its siblings finish, a retry completes it", async () => {
    await play({}, async (stage) => {
      const { sql } = stage;
      const [poison] = await sql.query<{ id: string }>(
        "update public.reading set flag = 'deadly' where id = (select id from public.reading order by id offset 100 limit 1) returning id::text as id",
      );
      // Each time three others go down with it, which must not be quarantined for that.
      const { backfill, total } = await runAll(stage, { concurrency: 4 });
      await stage.reaches(backfill.id, "held");
      const status = await backfill.status();
      expect(status.tasks).toMatchObject({ done: total - 1, quarantined: 1 });
      expect(status.troubles[0]).toMatchObject({
        dataset: "clean",
        state: "quarantined",
        error: { code: "worker_lost" },
      });
      await expect(backfill.promote({ reason })).rejects.toMatchObject({
        code: expect.stringMatching(/wrong_state|held/),
      });
      await sql.query("update public.reading set flag = 'plain' where id = $1::int8", [poison?.id]);
      await backfill.retry({ reason });
      await stage.reaches(backfill.id, "verified");
      await expectExactlyOnce(stage, backfill.id, total);
    });
  });

  it("a worker with other code takes nothing; the backfill is held until the right one comes", async () => {
    await play({}, async (stage) => {
      const { fleet, sql } = stage;
      const { backfill, total } = await startAll(stage);
      fleet.start("planner");
      const wrong = stage.configFor({ scoreVersion: 2 });
      fleet.start("worker", { config: wrong });
      await stage.reaches(backfill.id, "held");
      expect((await stage.stateOf(backfill.id)).reason).toMatch(/^code_drift: .* score/);
      const [scores] = await sql.query<{ count: number }>(
        "select count(*)::int4 as count from rederive.task where dataset = 'score' and epoch > 0",
      );
      expect(scores?.count).toBe(0);
      fleet.start("worker");
      await eventually(
        () => sql.query("select id from rederive.worker where kind = 'worker' and lease_until > clock_timestamp()"),
        (workers) => workers.length === 2,
        { what: "both workers are registered" },
      );
      await backfill.resume({ reason });
      await stage.reaches(backfill.id, "verified");
      await expectExactlyOnce(stage, backfill.id, total);
    });
  });

  it("of ten starts at the same moment one wins, of one plan and of ten that overlap", async () => {
    await play({ shape: { ranges: 40, days: 10 } }, async (stage) => {
      const instances = [stage.rederive, await stage.open(), await stage.open()];
      const acting = (index: number) =>
        (instances[index % 3] as (typeof instances)[0]).as({ name: `person ${index}`, role: "admin" });
      const ten = Array.from({ length: 10 }, (_, index) => index);
      const plans = await Promise.all(ten.map((index) => acting(index).plan({ reason: `plan ${index}` })));
      const starts = await Promise.allSettled(plans.map((plan) => plan.start()));
      const winners = plans.filter((_, index) => starts[index]?.status === "fulfilled");
      expect(winners).toHaveLength(1);
      for (const start of starts) if (start.status === "rejected") expect(isRederiveError(start.reason)).toBe(true);
      const winner = winners[0] as (typeof plans)[0];
      const [running] = await stage.sql.query<{ backfills: number; tasks: number }>(
        `select count(distinct backfill)::int4 as backfills, count(*)::int4 as tasks from rederive.task`,
      );
      const { total } = await winner.status();
      expect(running).toEqual({ backfills: 1, tasks: total });
      const again = await Promise.allSettled(
        ten.map(async (index) => (await acting(index).backfill(winner.id)).start()),
      );
      expect(again.filter(({ status }) => status === "fulfilled")).toHaveLength(0);
      stage.fleet.start("planner");
      stage.fleet.start("worker");
      await stage.reaches(winner.id, "verified");
      await expectExactlyOnce(stage, winner.id, total);
      // Promotion is a race too.
      const promotions = await Promise.allSettled(
        ten.map(async (index) => (await acting(index).backfill(winner.id)).promote({ reason })),
      );
      expect(promotions.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    });
  });
});
