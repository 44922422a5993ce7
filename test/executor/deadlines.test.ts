/** Which backfill goes first, and the one warning of a deadline that will be missed. */
import { describe, expect, it } from "vitest";
import { runningBackfills } from "../../src/store/release.ts";
import type { Database } from "../../src/tx.ts";
import { independent, type Stage, seedBackfill, withStage } from "../support/delivery.ts";
import { aPlanner } from "../support/planner.ts";

/** Sets what the plan had forecast. */
async function forecast(database: Database, id: string, value: object): Promise<void> {
  await database.query("update rederive.backfill set forecast = $2::text::jsonb where id = $1::text", [
    id,
    JSON.stringify({ tasks: 1, prunable: 0, adopted: 0, datasets: [], warnings: [], ...value }),
  ]);
}

const deadline = (seconds: number) => ({
  deadline: { at: new Date(Date.now() + seconds * 1_000).toISOString(), verdict: "unknown" },
});

async function lateness({ database }: Stage, id: string) {
  const [row] = await database.query<{ late: { expected: string | null } | null; audits: number }>(
    `select forecast #> '{deadline,late}' as late,
       (select count(*)::int from rederive.audit a where a.backfill = b.id and a.act = 'backfill.late') as audits
     from rederive.backfill b where id = $1::text`,
    [id],
  );
  return row;
}

/** Settles tasks as if they had taken all the time since a start that many seconds ago. */
async function settle({ database }: Stage, id: string, settled: number, secondsAgo: number): Promise<void> {
  await database.query(
    "update rederive.backfill set started_at = clock_timestamp() - $2::int * interval '1 second' where id = $1::text",
    [id, secondsAgo],
  );
  await database.query(
    `update rederive.task set state = 'done', finished_at = clock_timestamp()
     where id in (select id from rederive.task where backfill = $1::text order by rank limit $2::int)`,
    [id, settled],
  );
}

describe("among running backfills", () => {
  it("criticality comes first, then the deadline, then age", async () => {
    await withStage("postgres", async ({ database }) => {
      const seed = async (criticality: number, seconds: number | undefined) => {
        const id = await seedBackfill(database, independent(1), { criticality });
        if (seconds !== undefined) await forecast(database, id, deadline(seconds));
        return id;
      };
      const old = await seed(1, undefined);
      const young = await seed(1, undefined);
      const later = await seed(1, 7_200);
      const soon = await seed(1, 3_600);
      const critical = await seed(4, undefined);
      const order = (await runningBackfills(database)).map(({ id }) => id);
      expect(order).toEqual([critical, soon, later, old, young]);
    });
  });

  it("the less urgent put little into the queue, and still something", async () => {
    await withStage("postgres", async (stage) => {
      const { database } = stage;
      const usual = await seedBackfill(database, independent(500));
      const urgent = await seedBackfill(database, independent(500));
      await forecast(database, urgent, deadline(3_600));
      const planner = aPlanner(stage, { release: { windowTasks: 200 } });
      await planner.runOnce();
      const released = await database.query(
        `select backfill, count(*)::int as tasks from rederive.task where released_at is not null group by backfill`,
      );
      expect(Object.fromEntries(released.map((row) => [row["backfill"], row["tasks"]]))).toEqual({
        [urgent]: 200,
        [usual]: 20,
      });
      await planner.stop();
    });
  });
});

describe("a deadline", () => {
  it("that the pace will miss is warned of once, before it has passed", async () => {
    await withStage("postgres", async (stage) => {
      const { database } = stage;
      const slow = await seedBackfill(database, independent(100));
      const quick = await seedBackfill(database, independent(100));
      for (const id of [slow, quick]) await forecast(database, id, deadline(600));
      // A tenth in ten minutes leaves ninety; nine tenths leave little more than one.
      await settle(stage, slow, 10, 600);
      await settle(stage, quick, 90, 600);
      const warnings: string[] = [];
      const planner = aPlanner(stage, { deadlinesMs: 0, onLate: (id, message) => warnings.push(`${id}: ${message}`) });
      await planner.runOnce();
      await planner.runOnce();
      await planner.stop();
      expect(warnings).toEqual([
        expect.stringMatching(new RegExp(`^${slow}: the deadline .* will be missed by 80 min`)),
      ]);
      expect(await lateness(stage, slow)).toEqual({
        late: { seenAt: expect.any(String), expected: expect.any(String) },
        audits: 1,
      });
      expect(await lateness(stage, quick)).toEqual({ late: null, audits: 0 });
      expect(stage.errors).toEqual([]);
    });
  });

  it("is judged by the pace since the run went on, not by the time that it stood still", async () => {
    await withStage("postgres", async (stage) => {
      const { database } = stage;
      const id = await seedBackfill(database, independent(100));
      await forecast(database, id, deadline(600));
      await settle(stage, id, 50, 86_400);
      await database.query(
        `insert into rederive.audit (at, actor, act, backfill)
         values (clock_timestamp() - interval '60 seconds', 'ada', 'backfill.resume', $1::text)`,
        [id],
      );
      const planner = aPlanner(stage, { deadlinesMs: 0 });
      await planner.runOnce();
      await planner.stop();
      expect(await lateness(stage, id)).toEqual({ late: null, audits: 0 });
    });
  });
});
