/**
 * Early cutoff without data: who is unchanged, whatever becomes of the news, of Redis, and of a retry at the same time.
 *
 * Every task of a diamond gives the hash 0. What was live before decides what that means: see `history`.
 */
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { cutOff } from "../../src/executor/cutoff.ts";
import { releaseWindow } from "../../src/executor/release.ts";
import { lockBackfill, moveBackfill } from "../../src/store/backfills.ts";
import { decideTasks, unchangedUpstreams } from "../../src/store/cutoff.ts";
import { readyConsumers } from "../../src/store/edges.ts";
import { runningBackfills } from "../../src/store/release.ts";
import { cancelTasks, retryTasks } from "../../src/store/tasks.ts";
import type { Database, Tx } from "../../src/tx.ts";
import {
  type Backend,
  diamonds,
  orderViolations,
  type Stage,
  seedBackfill,
  startIdleWorkers,
  statesOf,
  withStage,
} from "../support/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { aPlanner, untilBackfill } from "../support/planner.ts";
import { lacks } from "../support/require.ts";

const inputs: Readonly<Record<string, readonly string[]>> = {
  top: [],
  left: ["top"],
  right: ["top"],
  bottom: ["left", "right"],
};

/** Live hashes: of every second diamond the top comes out otherwise, of every fourth the left one too. */
function history(dataset: string, partition: number): string {
  if (dataset === "top") return partition % 2 === 0 ? "0" : "7";
  return dataset === "left" && partition % 4 === 1 ? "7" : "0";
}

/** What has to become of the tasks of `count` diamonds. */
function expected(count: number): Record<string, number> {
  const odd = Math.floor(count / 2);
  const otherwise = Math.floor((count + 2) / 4);
  return { done: count + 2 * odd + otherwise, unchanged: 4 * count - (count + 2 * odd + otherwise) };
}

/** A running backfill of diamonds whose tasks below the top are prunable, over live content that is written down in full. */
async function seed(database: Database, count: number): Promise<string> {
  const id = await seedBackfill(database, diamonds(count));
  await database.query("update rederive.task set prunable = true where backfill = $1::text and dataset <> 'top'", [id]);
  const rows = Object.keys(inputs).flatMap((dataset) =>
    Array.from({ length: count }, (_, partition) => {
      const reads = (inputs[dataset] ?? []).map((input) => ({ input, partition, hash: history(input, partition) }));
      return { dataset, partition, hash: history(dataset, partition), reads };
    }),
  );
  await database.query(
    `insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows, reads, reads_at)
     select r.dataset, r.partition, 1, 'before', 'print', r.hash, 0, coalesce((
       select jsonb_agg(jsonb_build_object('dataset', i.input, 'content', md5(i.partition || ':' || i.hash),
         'partitions', int8multirange(int8range(i.partition, i.partition + 1))::text))
       from jsonb_to_recordset(r.reads) as i (input text, partition int8, hash text)), '[]'), now()
     from jsonb_to_recordset($1::text::jsonb) as r (dataset text, partition int8, hash text, reads jsonb)`,
    [JSON.stringify(rows)],
  );
  return id;
}

interface Diamond {
  readonly id: string;
  /** Task ids by dataset. */
  readonly of: Readonly<Record<string, string>>;
  states(): Promise<Record<string, string>>;
  /** The task's work committed, and nobody was told. */
  finish(...datasets: string[]): Promise<void>;
  decide(...datasets: string[]): Promise<number>;
}

/** One diamond, whose top comes out as it was. */
async function oneDiamond(database: Database): Promise<Diamond> {
  const id = await seed(database, 1);
  const rows = await database.query<{ id: string; dataset: string }>(
    "select id::text as id, dataset from rederive.task where backfill = $1::text",
    [id],
  );
  const of = Object.fromEntries(rows.map((row) => [row.dataset, row.id]));
  const idsOf = (datasets: readonly string[]) => datasets.map((dataset) => of[dataset] as string);
  return {
    id,
    of,
    states: async () => {
      const states = await database.query<{ dataset: string; state: string }>(
        "select dataset, state from rederive.task where backfill = $1::text",
        [id],
      );
      return Object.fromEntries(states.map(({ dataset, state }) => [dataset, state]));
    },
    finish: (...datasets) => finish(database, idsOf(datasets)),
    decide: async (...datasets) => {
      const tasks = idsOf(datasets);
      return (await database.transaction((tx) => decideTasks(tx, { backfill: id, tasks, release: 10 }))).moved;
    },
  };
}

async function finish(tx: Tx, tasks: readonly string[]): Promise<void> {
  await tx.query("update rederive.task set state = 'done', finished_at = now(), epoch = 1 where id = any($1::int8[])", [
    tasks,
  ]);
  await tx.query("update rederive.edge set done = true where producer = any($1::int8[])", [tasks]);
  await tx.query(
    `insert into rederive.stamp (task, backfill, dataset, partition, epoch, fingerprint, definition, inputs, snapshot,
       rows_written, hash_algorithm, output_hash, checks, worker, started_at, finished_at)
     select id, backfill, dataset, partition, 1, 'print', 'd', '[]', '', 0, 'a', '0', '[]', 'w', now(), now()
     from rederive.task where id = any($1::int8[])`,
    [tasks],
  );
}

const oneOf = (callback: (diamond: Diamond, database: Database, stage: Stage) => Promise<void>) =>
  withStage("postgres", async (stage) => callback(await oneDiamond(stage.database), stage.database, stage));

describe.each<Backend>(["redis", "postgres"])("a run over %s", (backend) => {
  const own = backend === "redis";
  it.skipIf(own && lacks("own-redis"))("computes what reads something new, and nothing else", async () => {
    await withStage(
      backend,
      async (stage) => {
        const id = await seed(stage.database, 60);
        const planner = aPlanner(stage, {
          sweepMs: 300,
          sweeper: { graceMs: 500, childrenMs: 500, activeMs: 4_000 },
          release: { windowTasks: 40, chunkTasks: 20 },
        });
        const workers = await startIdleWorkers(stage, { taskMs: 5 });
        planner.start();
        const redis = own ? new Redis(stage.redis?.url ?? "") : undefined;
        for (const settled of [30, 90]) {
          await eventually(
            async () => Object.entries(await statesOf(stage.database, id)),
            (states) => states.reduce((sum, [state, n]) => sum + (/done|unchanged/.test(state) ? n : 0), 0) >= settled,
            { what: `${settled} tasks settled`, withinMs: 60_000 },
          );
          await redis?.flushall();
        }
        await untilBackfill(stage, id, "verified", 60_000);
        await planner.stop();
        await workers.close();
        redis?.disconnect();
        expect(await statesOf(stage.database, id)).toEqual(expected(60));
        expect(await orderViolations(stage.database)).toBe(0);
        expect(workers.outcomes.get("claimed")).toBe(expected(60)["done"]);
      },
      { own, leaseMs: 2_000 },
    );
  });
});

describe("a prunable task", () => {
  it("is in no queue before it is decided, and goes there at once where it has to be computed", async () => {
    await oneOf(async (diamond, database, stage) => {
      const [backfill] = await runningBackfills(database);
      if (backfill === undefined) throw new Error("no backfill");
      expect(await releaseWindow(stage, backfill, [])).toBe(1);
      await database.query("update rederive.live set output_hash = '7' where dataset = 'top'");
      await diamond.finish("top");
      const { prunable } = await readyConsumers(database, [diamond.of["top"] as string], 0);
      expect(new Set(prunable)).toEqual(new Set([diamond.of["left"], diamond.of["right"]]));
      await database.query(
        "update rederive.live set reads = jsonb_set(reads, '{0,content}', '\"other\"') where dataset = 'left'",
      );
      const { ready } = await cutOff(database, diamond.id, prunable, { release: 10, graceMs: 0 });
      expect(ready.map(({ dataset, settled }) => `${dataset} ${settled}`)).toEqual(["left true"]);
      expect(await diamond.states()).toEqual({ top: "done", left: "ready", right: "unchanged", bottom: "waiting" });
    });
  });

  it.each([
    ["without live content", "delete from rederive.live where dataset = 'left'"],
    [
      "of another definition than its live content",
      "update rederive.live set fingerprint = 'x' where dataset = 'left'",
    ],
    ["of which nobody knows what it was made of", "update rederive.live set reads = null where dataset = 'left'"],
    ["made of something else", "update rederive.live set reads = '[]' where dataset = 'left'"],
    [
      "that reads more than it read then",
      `update rederive.live set reads = jsonb_build_array(
         jsonb_build_object('dataset', 'top', 'partitions', '{[1,2)}', 'content', md5(''))) where dataset = 'left'`,
    ],
    ["whose input comes out otherwise", "update rederive.stamp set output_hash = '1' where dataset = 'top'"],
    ["that the plan does not call prunable", "update rederive.task set prunable = false where dataset = 'left'"],
  ])("%s is computed", async (_, change) => {
    await oneOf(async (diamond, database) => {
      await diamond.finish("top");
      await database.query(change);
      await diamond.decide("left");
      expect((await diamond.states())["left"]).toBe("ready");
    });
  });

  it("is decided by all that was read, also by what the plan reuses", async () => {
    await oneOf(async (diamond, database) => {
      await diamond.finish("top");
      const two = "md5('0:0,1:5')";
      await database.query(
        `update rederive.live set reads = jsonb_build_array(jsonb_build_object('dataset', 'top', 'partitions', '{[0,2)}', 'content', ${two}))
         where dataset in ('left', 'right')`,
      );
      await database.query(
        `insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows)
         values ('top', 1, 1, 'before', 'print', '5', 0)`,
      );
      await diamond.decide("left");
      await database.query("update rederive.live set output_hash = '6' where dataset = 'top' and partition = 1");
      await diamond.decide("right");
      expect(await diamond.states()).toMatchObject({ left: "unchanged", right: "ready" });
    });
  });

  it("waits as long as an upstream is not settled", async () => {
    await oneOf(async (diamond) => {
      await diamond.finish("top");
      expect(await diamond.decide("left", "bottom")).toBe(1);
      expect(await diamond.states()).toEqual({ top: "done", left: "unchanged", right: "waiting", bottom: "waiting" });
    });
  });

  it("tells its consumers where its rows are", async () => {
    await oneOf(async (diamond, database) => {
      await diamond.finish("top");
      await diamond.decide("left", "right");
      const found = await unchangedUpstreams(database, [diamond.of["bottom"] as string]);
      expect(Object.fromEntries(found)).toEqual({ left: [[0, 1]], right: [[0, 1]] });
    });
  });
});

describe("news that nobody heard", () => {
  it.each([
    ["of a commit", [] as string[]],
    ["of a decision", ["left", "right"]],
  ])("%s are made up for by the planner", async (_, decided) => {
    await oneOf(async (diamond, database, stage) => {
      await diamond.finish("top");
      if (decided.length > 0) await diamond.decide(...decided);
      const planner = aPlanner(stage);
      planner.start();
      await untilBackfill(stage, diamond.id, "verified");
      await planner.stop();
      expect(await statesOf(database, diamond.id)).toEqual({ done: 1, unchanged: 3 });
    });
  });
});

describe("a retry", () => {
  const retry = (tx: Tx, backfill: string, dataset: string) =>
    retryTasks(tx, { backfill, dataset, partitions: [[0, 1]], alsoDone: true });

  it("of an upstream has everything below decided anew", async () => {
    await oneOf(async (diamond, database) => {
      await diamond.finish("top");
      await diamond.decide("left", "right");
      await diamond.decide("bottom");
      expect(await diamond.states()).toEqual({
        top: "done",
        left: "unchanged",
        right: "unchanged",
        bottom: "unchanged",
      });
      expect(await database.transaction((tx) => retry(tx, diamond.id, "top"))).toBe(4);
      expect(await diamond.states()).toEqual({ top: "ready", left: "waiting", right: "waiting", bottom: "waiting" });
      await diamond.finish("top");
      await database.query("update rederive.stamp set output_hash = '1' where dataset = 'top'");
      expect(await diamond.decide("left", "right", "bottom")).toBe(2);
      expect(await diamond.states()).toEqual({ top: "done", left: "ready", right: "ready", bottom: "waiting" });
    });
  });

  it("of what is unchanged computes it", async () => {
    await oneOf(async (diamond, database) => {
      await diamond.finish("top");
      await diamond.decide("left", "right");
      await database.transaction((tx) => retry(tx, diamond.id, "left"));
      expect(await diamond.states()).toEqual({ top: "done", left: "ready", right: "unchanged", bottom: "waiting" });
    });
  });

  it("is over before anything is decided on what it brings back", async () => {
    await oneOf(async (diamond, database, stage) => {
      await diamond.finish("top");
      let decided: Promise<number> | undefined;
      await database.transaction(async (tx) => {
        await lockBackfill(tx, diamond.id);
        await retry(tx, diamond.id, "top");
        decided = diamond.decide("left", "right");
        await untilWaiting(stage);
      });
      expect(await decided).toBe(0);
      expect(await diamond.states()).toEqual({ top: "ready", left: "waiting", right: "waiting", bottom: "waiting" });
    });
  });

  it("comes before decisions that begin after it, however many are under way", async () => {
    await oneOf(async (diamond, database, stage) => {
      await diamond.finish("top");
      let retried: Promise<number | "running"> | undefined;
      let decided: Promise<number> | undefined;
      await database.transaction(async (tx) => {
        await decideTasks(tx, { backfill: diamond.id, tasks: [], release: 0 });
        retried = database.transaction((other) => retry(other, diamond.id, "top"));
        await untilWaiting(stage);
        decided = diamond.decide("left", "right");
        await Promise.race([decided, untilWaiting(stage, 2)]);
      });
      expect([await decided, await retried]).toEqual([0, 1]);
      expect(await diamond.states()).toEqual({ top: "ready", left: "waiting", right: "waiting", bottom: "waiting" });
    });
  });

  it("is refused where a worker takes a task downstream in the same moment", async () => {
    await oneOf(async (diamond, database, stage) => {
      await diamond.finish("top");
      await database.query("update rederive.task set state = 'ready' where dataset = 'left'");
      let retried: Promise<number | "running"> | undefined;
      await database.transaction(async (tx) => {
        await tx.query("update rederive.task set state = 'running', epoch = 1 where dataset = 'left'");
        retried = database.transaction((other) => retry(other, diamond.id, "top"));
        await untilWaiting(stage);
      });
      expect(await retried).toBe("running");
      expect(await diamond.states()).toMatchObject({ top: "done", left: "running" });
    });
  });
});

describe("decisions under way", () => {
  it("keep nobody from pausing, but a cancellation waits for them", async () => {
    await oneOf(async (diamond, database, stage) => {
      await diamond.finish("top");
      let cancelled: Promise<number> | undefined;
      await database.transaction(async (tx) => {
        await decideTasks(tx, { backfill: diamond.id, tasks: [diamond.of["left"] as string], release: 0 });
        await database.transaction(async (act) => {
          await act.query("set local lock_timeout = '2s'");
          await lockBackfill(act, diamond.id);
          expect(await moveBackfill(act, { id: diamond.id, to: "paused", reason: null })).toBe(true);
        });
        cancelled = database.transaction((other) => cancelTasks(other, diamond.id));
        await untilWaiting(stage);
      });
      expect(await cancelled).toBe(2);
      expect(await diamond.states()).toMatchObject({ left: "unchanged", right: "cancelled", bottom: "cancelled" });
    });
  });

  it("are made for a bounded number of tasks at a time, which share what is released at once", async () => {
    await withStage("postgres", async ({ database }) => {
      const id = await seed(database, 1_200);
      const tasksOf = async (...datasets: string[]) =>
        (
          await database.query<{ id: string }>(
            "select id::text as id from rederive.task where dataset = any($1::text[]) order by id",
            [datasets],
          )
        ).map((task) => task.id);
      await finish(database, await tasksOf("top"));
      const { ready, moved } = await cutOff(database, id, await tasksOf("left", "right"), { release: 700, graceMs: 0 });
      expect([ready.length, new Set(ready.map((task) => task.id)).size, moved]).toEqual([700, 700, 3_000]);
      const [largest] = await database.query<{ tasks: number }>(
        `select count(*)::int as tasks from rederive.task where dataset in ('left', 'right')
         group by xmin::text order by 1 desc limit 1`,
      );
      expect(largest?.tasks).toBe(1_000);
      expect(await statesOf(database, id)).toEqual({ done: 1_200, ready: 1_200, unchanged: 1_800, waiting: 600 });
    });
  });
});

/** Resolves when so many sessions wait for a lock that another one of this database holds. */
async function untilWaiting(stage: Stage, count = 1): Promise<void> {
  const { database } = stage.open();
  await eventually(
    () =>
      database.query(
        "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      ),
    (waiting) => waiting.length >= count,
    { what: `${count} waiting for a lock`, everyMs: 5 },
  );
}
