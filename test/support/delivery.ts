/**
 * Backfills without data: tasks and edges in the control schema, and workers that claim, finish and release consumers
 * as real ones do, but compute nothing.
 */
import { randomBytes } from "node:crypto";
import { DelayedError } from "bullmq";
import type { Delivery } from "../../src/executor/deliver.ts";
import { openQueues, type Queues, type TaskWorker, taskOfJob } from "../../src/executor/queues.ts";
import { afterCommit } from "../../src/executor/release.ts";
import { type ClaimOutcome, claimTasks, finishTasks } from "../../src/store/claims.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { insertTasks, type NewEdge, type NewTask } from "../../src/store/tasks.ts";
import { registerWorker } from "../../src/store/workers.ts";
import type { Database, Tx } from "../../src/tx.ts";
import { withDatabase } from "./postgres.ts";
import { type TestRedis, withOwnRedis, withRedis } from "./redis.ts";

export interface Graph {
  readonly tasks: readonly NewTask[];
  readonly edges: readonly NewEdge[];
}

/** `count` diamonds of four tasks, each whole diamond before the next one. */
export function diamonds(count: number): Graph {
  const names = ["top", "left", "right", "bottom"];
  const tasks = Array.from({ length: count * 4 }, (_, rank) => ({
    dataset: names[rank % 4] as string,
    partition: Math.floor(rank / 4),
    rank,
  }));
  const edges = Array.from({ length: count }, (_, index) => index * 4).flatMap((top) => [
    { producer: top, consumer: top + 1 },
    { producer: top, consumer: top + 2 },
    { producer: top + 1, consumer: top + 3 },
    { producer: top + 2, consumer: top + 3 },
  ]);
  return { tasks, edges };
}

/** Months of thirty days, and a trend that reads each day and the six before it: shared producers. */
export function monthsOfDays(months: number): Graph {
  const tasks: NewTask[] = [];
  const edges: NewEdge[] = [];
  const dayRanks: number[] = [];
  for (let month = 0; month < months; month += 1) {
    const days: number[] = [];
    for (let day = 0; day < 30; day += 1) {
      const rank = tasks.length;
      tasks.push({ dataset: "day", partition: month * 30 + day, rank });
      days.push(rank);
      dayRanks.push(rank);
      tasks.push({ dataset: "trend", partition: month * 30 + day, rank: rank + 1 });
      for (const producer of dayRanks.slice(-7)) edges.push({ producer, consumer: rank + 1 });
    }
    const rank = tasks.length;
    tasks.push({ dataset: "month", partition: month, rank });
    for (const producer of days) edges.push({ producer, consumer: rank });
  }
  return { tasks, edges };
}

/** Tasks that wait for nobody. */
export function independent(count: number, dataset = "plain"): Graph {
  return { tasks: Array.from({ length: count }, (_, rank) => ({ dataset, partition: rank, rank })), edges: [] };
}

/** Writes a running backfill; returns its id. `queues` names the queue of a dataset, "backfill" where it does not. */
export async function seedBackfill(
  database: Database,
  graph: Graph,
  options: { readonly queues?: Readonly<Record<string, string>>; readonly criticality?: number } = {},
): Promise<string> {
  const id = `bf_${randomBytes(5).toString("hex")}`;
  await database.query(
    `insert into rederive.backfill (id, plan_hash, decision, reason, environment, requested_by, state, started_at)
     values ($1::text, 'plan', '{}', 'test', 'test', 'test', 'running', clock_timestamp())`,
    [id],
  );
  const datasets = [...new Set(graph.tasks.map((task) => task.dataset))];
  for (const [ordinal, dataset] of datasets.entries()) {
    await database.query(
      `insert into rederive.backfill_dataset
         (backfill, dataset, ordinal, partitions, fingerprint, definition, queue, criticality, candidate, restore_point)
       values ($1::text, $2::text, $3::int, '{}', 'print', 'definition', $4::text, $5::int, 'c', 'r')`,
      [id, dataset, ordinal, options.queues?.[dataset] ?? "backfill", options.criticality ?? 0],
    );
  }
  await database.transaction((tx) => insertTasks(tx, id, graph.tasks, graph.edges));
  return id;
}

export type Backend = "redis" | "postgres";

/** What a test of the delivery works with. */
export interface Stage extends Delivery {
  readonly databaseUrl: string;
  readonly redis: TestRedis | undefined;
  /** Another process' view: queues and a pool of its own. Closed with the stage. */
  open(): Delivery;
  /** What was reported, for assertions. */
  readonly errors: string[];
}

/** A database, queues on the backend, everything closed afterwards. `own` gives a Redis that may be flushed. */
export async function withStage(
  backend: Backend,
  callback: (stage: Stage) => Promise<void>,
  options: { readonly own?: boolean; readonly leaseMs?: number } = {},
): Promise<void> {
  await withDatabase(async (databaseUrl) => {
    const run = async (redis: TestRedis | undefined) => {
      const opened: { database: Database; queues: Queues }[] = [];
      const errors: string[] = [];
      const open = () => {
        const database = openDatabase(databaseUrl, { max: 8 });
        const queues = openQueues({
          backend,
          databaseUrl,
          redisUrl: redis?.url,
          prefix: redis?.prefix ?? "{t}",
          leaseMs: options.leaseMs ?? 5_000,
        });
        opened.push({ database, queues });
        return {
          database,
          queues,
          onError: (message: string, error: unknown) => errors.push(`${message}: ${String(error)}`),
        };
      };
      try {
        await callback({ ...open(), databaseUrl, redis, open, errors });
      } finally {
        for (const each of opened) {
          await each.queues.close();
          await each.database.close();
        }
      }
    };
    if (backend === "postgres") await run(undefined);
    else await (options.own === true ? withOwnRedis(run) : withRedis(run));
  });
}

export interface IdleWorkers {
  /** How often each outcome of a claim was seen; `not_ready` is a delivery before its time. */
  readonly outcomes: Map<ClaimOutcome | "gone", number>;
  /** When each task was claimed, in milliseconds. */
  readonly starts: number[];
  close(): Promise<void>;
}

/** Starts workers that do nothing but the protocol. */
export async function startIdleWorkers(
  stage: Delivery,
  options: {
    readonly queues?: readonly string[];
    readonly workers?: number;
    readonly concurrency?: number;
    readonly taskMs?: number;
  } = {},
): Promise<IdleWorkers> {
  const { database, queues } = stage;
  const outcomes = new Map<ClaimOutcome | "gone", number>();
  const starts: number[] = [];
  const name = `w_${randomBytes(4).toString("hex")}`;
  await registerWorker(database, {
    id: name,
    kind: "worker",
    host: "test",
    pid: process.pid,
    concurrency: 1,
    definitions: {},
    leaseMs: 600_000,
  });
  const [backend] = await database.query<{ pid: number; start: string }>(
    "select pid, backend_start::text as start from pg_stat_activity where pid = pg_backend_pid()",
  );
  const claim = (task: string, backfill: string, dataset: string) =>
    claimTasks(database, {
      tasks: [task],
      backfill,
      dataset,
      worker: name,
      backendPid: backend?.pid ?? 0,
      backendStart: backend?.start ?? "",
      planHash: "plan",
      definition: "definition",
      upstreams: [],
      maxLosses: 3,
      alone: true,
    });
  const process_ = async (job: Parameters<Parameters<Queues["worker"]>[1]>[0], token: string | undefined) => {
    const reference = taskOfJob(job);
    const [row] = reference
      ? await database.query<{ dataset: string }>("select dataset from rederive.task where id = $1::int8", [
          reference.task,
        ])
      : [];
    if (reference === undefined || row === undefined) return count(outcomes, "gone");
    const [claimed] = await claim(reference.task, reference.backfill, row.dataset);
    count(outcomes, claimed?.outcome ?? "gone");
    if (claimed?.outcome === "claimed") {
      starts.push(Date.now());
      if (options.taskMs !== undefined) await database.query("select pg_sleep($1::float8)", [options.taskMs / 1_000]);
      await finish(database, reference.task, claimed.epoch);
    }
    if (claimed?.outcome === "claimed" || claimed?.outcome === "settled")
      return void (await afterCommit(stage, reference.backfill, [reference.task]));
    if (
      claimed !== undefined &&
      ["not_ready", "paused", "held", "busy", "lost", "contended"].includes(claimed.outcome)
    ) {
      await job.moveToDelayed(Date.now() + 200, token);
      throw new DelayedError();
    }
  };
  const workers: TaskWorker[] = (options.queues ?? ["backfill"]).flatMap((queue) =>
    Array.from({ length: options.workers ?? 2 }, () =>
      queues.worker(queue, process_, { concurrency: options.concurrency ?? 8 }),
    ),
  );
  return { outcomes, starts, close: async () => void (await Promise.all(workers.map((worker) => worker.close()))) };
}

async function finish(tx: Tx, task: string, epoch: number): Promise<void> {
  const done = {
    inputs: [],
    rowsRead: null,
    rowsWritten: 0,
    outputHash: "0",
    checks: [],
    startedAt: null,
    adoptedFrom: null,
  };
  await finishTasks(tx, {
    planHash: "plan",
    worker: "w",
    fingerprint: "print",
    definition: "definition",
    hashAlgorithm: "test",
    traceId: null,
    tasks: [{ ...done, task, epoch, finishedAt: new Date().toISOString() }],
  });
}

/** Edges whose consumer was claimed before its producer had finished. */
export async function orderViolations(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::int as count from rederive.edge e
     join rederive.task p on p.id = e.producer join rederive.task c on c.id = e.consumer
     where c.claimed_at < p.finished_at or (c.claimed_at is not null and p.finished_at is null)`,
  );
  return row?.count ?? -1;
}

/** How many tasks are in each state. */
export async function statesOf(tx: Tx, backfill: string): Promise<Record<string, number>> {
  const rows = await tx.query<{ state: string; count: number }>(
    "select state, count(*)::int as count from rederive.task where backfill = $1::text group by state",
    [backfill],
  );
  return Object.fromEntries(rows.map((row) => [row.state, row.count]));
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
