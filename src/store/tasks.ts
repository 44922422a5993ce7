/** Table `task` as a whole: making the tasks of a backfill, counting them, and the acts of people on them. */
import { type Ranges, toMultirange } from "../catalog/ranges.ts";
import { chunks } from "../chunks.ts";
import { type TaskState, taskSourcesOf } from "../states.ts";
import type { Tx } from "../tx.ts";
import { stopDecisions } from "./cutoff.ts";

export interface NewTask {
  readonly dataset: string;
  readonly partition: number;
  readonly rank: number;
}

/** Producer and consumer by rank. */
export interface NewEdge {
  readonly producer: number;
  readonly consumer: number;
}

/** Rows a statement; keeps a parameter array at a few hundred kilobytes. */
const chunkRows = 20_000;

/**
 * Inserts all tasks and edges; tasks that wait for nobody are ready at once. `prunable` are the partitions, by dataset,
 * that may turn out to be unchanged.
 */
export async function insertTasks(
  tx: Tx,
  backfill: string,
  tasks: readonly NewTask[],
  edges: readonly NewEdge[],
  prunable: ReadonlyMap<string, Ranges> = new Map(),
): Promise<void> {
  const waiting = byRank(Uint8Array, tasks);
  for (const { consumer } of edges) waiting[consumer] = 1;
  // Their ids are remembered, so that edges need not look for the tasks that they join.
  const ids = byRank(Float64Array, tasks);
  for (const chunk of chunks(tasks, chunkRows)) {
    const rows = await tx.query<{ id: number; rank: number }>(
      `insert into rederive.task (backfill, dataset, partition, rank, state, prunable)
       select $1::text, t.dataset, t.partition, t.rank, t.state, coalesce(p.partitions::int8multirange @> t.partition, false)
       from unnest($2::text[], $3::int8[], $4::int8[], $5::text[]) as t (dataset, partition, rank, state)
       left join unnest($6::text[], $7::text[]) as p (dataset, partitions) on p.dataset = t.dataset
       returning id::float8 as id, rank::float8 as rank`,
      [
        backfill,
        chunk.map((task) => task.dataset),
        chunk.map((task) => task.partition),
        chunk.map((task) => task.rank),
        chunk.map((task) => (waiting[task.rank] === 1 ? "waiting" : "ready")),
        [...prunable.keys()],
        [...prunable.values()].map(toMultirange),
      ],
    );
    for (const { id, rank } of rows) ids[rank] = id;
  }
  for (const chunk of chunks(edges, chunkRows)) {
    await tx.query("insert into rederive.edge (producer, consumer) select * from unnest($1::int8[], $2::int8[])", [
      chunk.map((edge) => ids[edge.producer]),
      chunk.map((edge) => ids[edge.consumer]),
    ]);
  }
  // Fresh statistics, or the claims that follow are planned for empty tables.
  await tx.query("analyze rederive.task");
  if (edges.length > 0) await tx.query("analyze rederive.edge");
}

/** One number a rank: of a million tasks, a map would take a hundred times the memory. */
function byRank<Numbers>(numbers: new (length: number) => Numbers, tasks: readonly NewTask[]): Numbers {
  return new numbers(tasks.reduce((length, { rank }) => Math.max(length, rank + 1), 0));
}

export interface TaskCount {
  readonly dataset: string;
  readonly state: TaskState;
  readonly count: number;
}

export async function countTasks(tx: Tx, backfill: string): Promise<TaskCount[]> {
  return tx.query<TaskCount>(
    `select dataset, state, count(*)::int as count from rederive.task
     where backfill = $1::text group by dataset, state`,
    [backfill],
  );
}

export interface TroubledTask {
  readonly dataset: string;
  readonly partition: number;
  readonly state: TaskState;
  readonly attempts: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** Failed and quarantined tasks, in plan order, at most `limit`. */
export async function troubledTasks(tx: Tx, backfill: string, limit: number): Promise<TroubledTask[]> {
  return tx.query<TroubledTask>(
    `select dataset, partition::float8 as partition, state, attempts, error from rederive.task
     where backfill = $1::text and state in ('failed', 'quarantined')
     order by rank limit $2::int`,
    [backfill, limit],
  );
}

/** Cancels everything that is not settled. A late success of a running task then finds its row gone from `running`. */
export async function cancelTasks(tx: Tx, backfill: string): Promise<number> {
  await stopDecisions(tx, backfill);
  const rows = await tx.query(
    `update rederive.task set state = 'cancelled', finished_at = clock_timestamp()
     where backfill = $1::text and state = any($2::text[]) returning id`,
    [backfill, taskSourcesOf("cancelled")],
  );
  return rows.length;
}

export interface RetrySelection {
  readonly backfill: string;
  /** All datasets where undefined. */
  readonly dataset: string | undefined;
  /** All partitions where undefined. */
  readonly partitions: Ranges | undefined;
  /** Also tasks that are done, because they were named. Done tasks whose checks failed are always among them. */
  readonly alsoDone: boolean;
}

/**
 * Gives tasks another life: counters at zero, out of the window, so that the planner releases them anew. What is
 * downstream of a task that was done, and is itself done, has read the old output and goes again too; what was unchanged
 * because of it is decided anew. The caller has locked the backfill's row, so that acts come one after the other. Nothing is
 * decided meanwhile; and the tasks, with those that may become ready, are locked, so that no worker claims one. Returns how
 * many, or "running" where a task downstream is at work right now.
 */
export async function retryTasks(tx: Tx, selection: RetrySelection): Promise<number | "running"> {
  await stopDecisions(tx, selection.backfill);
  const again = await tx.query<{ id: string; state: TaskState }>(
    `with recursive again as (
       select id, state from rederive.task t
       where backfill = $1::text
         and (state = any($2::text[]) or state = 'done' and exists (
           select from rederive.check_result c
           where c.backfill = t.backfill and c.dataset = t.dataset and c.partition = t.partition
             and c.severity = 'error' and c.failures > 0))
         and ($3::text is null or dataset = $3::text)
         and ($4::text is null or $4::text::int8multirange @> partition)
       union
       select t.id, t.state from again a
       join rederive.edge e on e.producer = a.id and e.done
       join rederive.task t on t.id = e.consumer
       where a.state in ('done', 'unchanged') and t.state in ('done', 'unchanged', 'running', 'ready', 'waiting')
     )
     select id::text as id, state from rederive.task where id in (select id from again) order by id for no key update`,
    [
      selection.backfill,
      selection.alsoDone ? ["failed", "quarantined", "stale", "done", "unchanged"] : ["failed", "quarantined", "stale"],
      selection.dataset ?? null,
      selection.partitions === undefined ? null : toMultirange(selection.partitions),
    ],
  );
  if (again.some((task) => task.state === "running")) return "running";
  const ids = again.map((task) => task.id);
  await tx.query("update rederive.task set state = 'stale' where id = any($1::int8[]) and state = any($2::text[])", [
    ids,
    taskSourcesOf("stale"),
  ]);
  await tx.query("update rederive.edge set done = false where producer = any($1::int8[]) and done", [ids]);
  // Neither evidence nor stamp may speak for an output that is computed again.
  await tx.query(
    `delete from rederive.check_result c using rederive.task t
     where t.id = any($1::int8[]) and c.backfill = t.backfill and c.dataset = t.dataset and c.partition = t.partition`,
    [ids],
  );
  await tx.query("delete from rederive.stamp where task = any($1::int8[])", [ids]);
  await tx.query(
    `update rederive.task t set attempts = 0, losses = 0, error = null, released_at = null, finished_at = null,
       state = case when exists (select from rederive.edge e where e.consumer = t.id and not e.done) then 'waiting' else 'ready' end
     where t.id = any($1::int8[]) and t.state = any($2::text[])`,
    [ids, [...taskSourcesOf("ready"), "ready"].filter((state) => state !== "waiting" && state !== "running")],
  );
  return again.filter((task) => task.state !== "waiting").length;
}
