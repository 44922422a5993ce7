import { describe, expect, test } from "vitest";
import type { TaskOutcome, TaskRef } from "../../src/executor/outcome.ts";
import { runTasks } from "../../src/executor/task.ts";
import { terminateBackend } from "../../src/store/claims.ts";
import { openProxy } from "../support/proxy.ts";
import { backfill, type Fixture, firstDay, type RunOptions, withFixture } from "./fixture.ts";

const candidate = `"rederive_candidate"."daily_sales__${backfill}"`;

/** The first five days of sales; amounts grow by the day, so that a rule can break on one of them. */
const daysOf = (fixture: Fixture): TaskRef[] =>
  [0, 1, 2, 3, 4].map((day) => fixture.taskOf("daily_sales", firstDay + day));

async function runAll(fixture: Fixture, refs: readonly TaskRef[], options: RunOptions = {}): Promise<TaskOutcome[]> {
  const { context, dispose } = await fixture.worker(options);
  try {
    const outcomes = await runTasks(refs, context);
    return refs.map(({ task }) => outcomes.get(task) as TaskOutcome);
  } finally {
    await dispose();
  }
}

const kindsOf = (outcomes: readonly TaskOutcome[]) =>
  outcomes.map((outcome) => (outcome.kind === "later" ? outcome.why : outcome.kind));

async function cancelDay({ database }: Fixture, day: number): Promise<void> {
  await database.query(
    "update rederive.task set state = 'cancelled' where dataset = 'daily_sales' and partition = $1::int8",
    [firstDay + day],
  );
}

interface Effect {
  readonly state: string;
  readonly epoch: number;
  readonly attempts: number;
  readonly rows: number;
  /** The transaction that the stamp was written in. */
  readonly xmin: string | null;
}

/** What each task has left behind, in the order of the days. */
async function effects(fixture: Fixture): Promise<Effect[]> {
  return fixture.database.query<Effect>(
    `select t.state, t.epoch, t.attempts, s.xmin::text as xmin,
       (select count(*)::int from ${candidate} c
        where c.day = date '1970-01-01' + t.partition::int) as rows
     from rederive.task t left join rederive.stamp s on s.task = t.id
     where t.dataset = 'daily_sales' and t.partition < $1::int8 order by t.partition`,
    [firstDay + 5],
  );
}

const statesOf = async (fixture: Fixture) => (await effects(fixture)).map(({ state, rows }) => `${state} ${rows}`);

describe("tasks that are run together", () => {
  test("share one transaction, and have a stamp each, the same as alone", async () => {
    const hashes = async (run: (fixture: Fixture) => Promise<unknown>) => {
      let found: unknown[] = [];
      await withFixture({}, async (fixture) => {
        await run(fixture);
        found = await fixture.database.query(
          `select partition, epoch, output_hash, rows_written, checks, inputs, finished_at >= started_at as timed
           from rederive.stamp order by partition`,
        );
      });
      return found;
    };
    const alone = await hashes(async (fixture) => {
      for (const ref of daysOf(fixture)) await fixture.run(ref);
    });
    const together = await hashes(async (fixture) => {
      const settled: string[][] = [];
      const refs = daysOf(fixture);
      const outcomes = await runAll(fixture, refs, {
        settle: async (producers) => void settled.push(producers.map(({ task }) => task)),
      });
      expect(outcomes).toEqual(refs.map(() => ({ kind: "done", rows: 1, held: false, consumers: 1 })));
      expect(settled).toEqual([refs.map(({ task }) => task)]);
      expect(new Set((await effects(fixture)).map(({ xmin }) => xmin)).size).toBe(1);
    });
    expect(together).toEqual(alone);
    expect(together).toHaveLength(5);
  });

  test("take effect without the one whose statement fails", async () => {
    await withFixture({ total: "sum(100 / (amount - 5))::bigint" }, async (fixture) => {
      const outcomes = await runAll(fixture, daysOf(fixture));
      expect(kindsOf(outcomes)).toEqual(["done", "done", "retry", "done", "done"]);
      expect(outcomes[2]).toMatchObject({ failure: { kind: "deterministic", sqlstate: "22012" }, attempts: 1 });
      expect(await statesOf(fixture)).toEqual(["done 1", "done 1", "ready 0", "done 1", "done 1"]);
      // Nobody had to be claimed twice.
      expect((await effects(fixture)).map(({ epoch }) => epoch)).toEqual([1, 1, 1, 1, 1]);
    });
  });

  test("are held by the one that breaks a check, with its evidence alone", async () => {
    await withFixture({ maxTotal: 16 }, async (fixture) => {
      const outcomes = await runAll(fixture, daysOf(fixture));
      expect(kindsOf(outcomes)).toEqual(["done", "done", "done", "done", "done"]);
      expect(outcomes.map((outcome) => outcome.kind === "done" && outcome.held)).toEqual([
        false,
        false,
        false,
        false,
        true,
      ]);
      expect(await fixture.database.query("select partition::int, failures::int from rederive.check_result")).toEqual([
        { partition: firstDay + 4, failures: 1 },
      ]);
      expect(await statesOf(fixture)).toEqual(["done 1", "done 1", "done 1", "done 1", "done 1"]);
    });
  });

  test("are done but for the one that another attempt has taken over", async () => {
    await withFixture({}, async (fixture) => {
      let computed = 0;
      const outcomes = await runAll(fixture, daysOf(fixture), {
        at: async (point) => {
          if (point !== "computed" || computed++ > 0) return;
          await fixture.database.query(
            "update rederive.task set epoch = epoch + 1 where dataset = 'daily_sales' and partition = $1::int8",
            [firstDay + 1],
          );
        },
      });
      expect(kindsOf(outcomes)).toEqual(["done", "fenced", "done", "done", "done"]);
      expect(await statesOf(fixture)).toEqual(["done 1", "running 0", "done 1", "done 1", "done 1"]);
    });
  });

  test("stop with the one that is cancelled, and the others count nothing", async () => {
    await withFixture({ total: "(select sum(amount)::bigint from pg_sleep(60))" }, async (fixture) => {
      let claimed = 0;
      const outcomes = await runAll(fixture, daysOf(fixture), {
        at: async (point) => {
          if (point !== "claimed" || ++claimed < 5) return;
          await cancelDay(fixture, 3);
        },
      });
      expect(kindsOf(outcomes)).toEqual(["stopped", "stopped", "stopped", "cancelled", "stopped"]);
      expect(await statesOf(fixture)).toEqual(["ready 0", "ready 0", "ready 0", "cancelled 0", "ready 0"]);
      expect((await effects(fixture)).map(({ attempts }) => attempts)).toEqual([0, 0, 0, 0, 0]);
    });
  });

  test("fail together when their backend ends, and are tried alone from then on", async () => {
    await withFixture({}, async (fixture) => {
      const refs = daysOf(fixture);
      const { context, dispose } = await fixture.worker({
        at: async (point, { task }) => {
          if (point !== "computed" || task !== refs[0]?.task) return;
          const session = await context.lane.writer();
          await terminateBackend(fixture.database, { pid: session.pid, start: session.startedAt });
        },
      });
      const outcomes = await runTasks(refs, context);
      expect(kindsOf([...outcomes.values()])).toEqual(refs.map(() => "retry"));
      expect(await statesOf(fixture)).toEqual(refs.map(() => "ready 0"));
      await dispose();
      expect(kindsOf(await runAll(fixture, refs))).toEqual(refs.map(() => "done"));
      const found = await effects(fixture);
      expect(new Set(found.map(({ xmin }) => xmin)).size).toBe(refs.length);
      expect(found.map(({ rows, attempts }) => [rows, attempts])).toEqual(refs.map(() => [1, 1]));
    });
  });

  test.each([
    ["after COMMIT was sent have committed", "after", "done"],
    ["before COMMIT arrived have not", "before", "retry"],
  ] as const)("and lose their connection %s", async (_, side, expected) => {
    await withFixture({}, async (fixture) => {
      const proxy = await openProxy(fixture.url);
      const refs = daysOf(fixture);
      const outcomes = await runAll(fixture, refs, {
        laneUrl: proxy.url,
        at: (point, { task }) => {
          if (point === "beforeCommit" && task === refs.at(-1)?.task) proxy.cutAt("commit", side);
        },
      });
      expect(kindsOf(outcomes)).toEqual(refs.map(() => expected));
      expect(await statesOf(fixture)).toEqual(refs.map(() => (expected === "done" ? "done 1" : "ready 0")));
      await proxy.close();
    });
  });

  test("leave alone what cannot be claimed", async () => {
    await withFixture({}, async (fixture) => {
      const refs = daysOf(fixture);
      await fixture.run(refs[0] as TaskRef);
      await cancelDay(fixture, 1);
      const strange = { ...(refs[2] as TaskRef), task: "999999" };
      const outcomes = await runAll(fixture, [...refs.slice(0, 2), strange, ...refs.slice(3)]);
      expect(kindsOf(outcomes)).toEqual(["settled", "cancelled", "failed", "done", "done"]);
      expect(await statesOf(fixture)).toEqual(["done 1", "cancelled 0", "ready 0", "done 1", "done 1"]);
    });
  });
});
