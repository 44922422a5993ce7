/** Table `edge`: which consumers have become ready, and what a chunk of tasks still waits for. */
import type { Tx } from "../tx.ts";

/**
 * Keeps the planner from finding tasks by their state where their ids are known: the statistics of a column that
 * changes all the time promise a handful of waiting tasks, and there may be a million.
 */
export const isWaiting = "t.state || '' = 'waiting'";

/** A task that is ready and in the queue, as its job needs it. */
export interface ReadyTask {
  readonly id: string;
  readonly backfill: string;
  readonly dataset: string;
  readonly queue: string;
  readonly traceparent: string | null;
  /** It was released so long ago that its job is in the queue by now, if it ever will be. */
  readonly settled: boolean;
}

/** Tasks whose last producer is done. */
export interface Consumers {
  /** Those that are ready, in the queue, and wait there behind a gate, perhaps. */
  readonly ready: readonly ReadyTask[];
  /** Those that the plan calls prunable: they still wait, for it to be decided whether they compute anything. */
  readonly prunable: readonly string[];
}

/**
 * After the commit of `producers`: waiting → ready for every consumer that has no undone edge left and is not prunable.
 * Of two producers that commit at the same time, the later of these statements sees both. Rows are locked in order of
 * id, so that two workers with common consumers cannot deadlock. A crash of Postgres that loses this is healed by the
 * sweep, so the commit need not reach the disk.
 */
export async function readyConsumers(tx: Tx, producers: readonly string[], graceMs: number): Promise<Consumers> {
  if (producers.length === 0) return { ready: [], prunable: [] };
  const rows = await tx.query<ReadyTask & { prunable: boolean; released: boolean }>(
    `with open as materialized (
       select t.id, t.backfill, t.dataset, t.released_at, t.prunable from rederive.task t
       where t.id = any(array(select e.consumer from rederive.edge e where e.producer = any($1::int8[])))
         and ${isWaiting}
         and not exists (select from rederive.edge u where u.consumer = t.id and not u.done)
       order by t.id
       for no key update
     ), ready as (
       update rederive.task t set state = 'ready' from open o
       where t.id = o.id and not o.prunable and ${isWaiting}
       returning t.id
     )
     select o.id::text as id, o.backfill, o.dataset, d.queue, b.traceparent, o.prunable,
       o.released_at is not null as released,
       coalesce(o.released_at < clock_timestamp() - $2::int * interval '1 millisecond', false) as settled,
       set_config('synchronous_commit', 'off', true) as durability
     from open o
     join rederive.backfill b on b.id = o.backfill
     join rederive.backfill_dataset d on d.backfill = o.backfill and d.dataset = o.dataset
     where o.prunable or o.id in (select id from ready)`,
    [producers, graceMs],
  );
  return {
    ready: rows.filter(({ released, prunable }) => released && !prunable),
    prunable: rows.filter(({ prunable }) => prunable).map(({ id }) => id),
  };
}

/**
 * The undone edges of a chunk. Those inside the chunk come one by one; those from outside as one row a consumer with
 * an empty producer, because a consumer of everything may have a million of them.
 */
export async function undoneEdges(tx: Tx, tasks: readonly string[]): Promise<{ producer: string; consumer: string }[]> {
  return tx.query(
    `with chunk as materialized (select id from unnest($1::int8[]) as c (id))
     select e.producer::text as producer, e.consumer::text as consumer
     from chunk c
     join rederive.edge e on e.consumer = c.id and not e.done
     where e.producer in (select id from chunk)
     union all
     select '' as producer, c.id::text as consumer from chunk c
     where exists (
       select from rederive.edge e
       where e.consumer = c.id and not e.done and e.producer not in (select id from chunk)
     )`,
    [tasks],
  );
}

/** Waiting → ready for those of `tasks` that wait for nothing. Returns their ids. */
export async function readyOf(tx: Tx, tasks: readonly string[]): Promise<string[]> {
  const rows = await tx.query<{ id: string }>(
    `update rederive.task t set state = 'ready'
     where t.id = any($1::int8[]) and ${isWaiting}
       and not exists (select from rederive.edge e where e.consumer = t.id and not e.done)
     returning t.id::text as id`,
    [tasks],
  );
  return rows.map((row) => row.id);
}

export interface WaitingPage {
  readonly ready: readonly string[];
  /** Tasks of the page that the plan calls prunable, whatever they wait for. */
  readonly prunable: readonly string[];
  /** Where to go on; null at the end. */
  readonly next: string | null;
}

/**
 * One page of waiting tasks of a backfill, by id: those that wait for nothing become ready, which their producer's
 * worker would have done had it lived.
 */
export async function readyPage(
  tx: Tx,
  args: { readonly backfill: string; readonly after: string; readonly limit: number },
): Promise<WaitingPage> {
  const page = await tx.query<{ id: string; prunable: boolean }>(
    `select id::text as id, prunable from rederive.task
     where backfill = $1::text and state = 'waiting' and id > $2::int8
     order by id limit $3::int`,
    [args.backfill, args.after, args.limit],
  );
  const idsOf = (prunable: boolean) => page.filter((row) => row.prunable === prunable).map(({ id }) => id);
  const ids = idsOf(false);
  const ready = ids.length === 0 ? [] : await readyOf(tx, ids);
  return { ready, prunable: idsOf(true), next: page.length < args.limit ? null : (page.at(-1)?.id ?? null) };
}
