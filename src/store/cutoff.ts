/**
 * Early cutoff: a task whose inputs came out as they were when its live content was computed is `unchanged` and computes
 * nothing. Only partitions that the plan calls prunable are asked for.
 *
 * What live content was computed from is written down with it as digests (`live.reads`). A task is unchanged where its
 * own fingerprint is that of its live content, and each digest is that of what it would read now: the stamps of this
 * backfill where its upstreams are done, live content for the rest.
 *
 * A decision reads tasks that it does not lock, so acts that change many of them (retry, cancel) keep decisions away by an
 * advisory lock, which deciders share. It is not the backfill's row, because a whole fleet decides all the time: shares of
 * a row are given out past whoever waits to change it, so that a pause might wait for ever, while an advisory lock has a
 * queue, in which later deciders stand behind the act. Whatever else locks the row does not mind a decision beside it.
 */
import { fromMultirange, noRanges, type Ranges, union } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { changedReads, digestOf } from "./contents.ts";
import { isWaiting, type ReadyTask } from "./edges.ts";
import { unchangedTasks } from "./live.ts";
import { gateRank } from "./phases.ts";

export interface CutoffArgs {
  readonly backfill: string;
  /** Tasks of this backfill; those that wait for something, or do not wait, are left as they are. */
  readonly tasks: readonly string[];
  /** So many of those that become ready, at most, are put into the window; their jobs are the caller's to add. */
  readonly release: number;
}

export interface Decided {
  /** Those that were released. */
  readonly ready: readonly ReadyTask[];
  readonly unchanged: readonly { readonly id: string; readonly dataset: string }[];
  /** How many tasks do not wait any more. */
  readonly moved: number;
}

interface DecidedRow extends ReadyTask {
  readonly state: "ready" | "unchanged";
  readonly released: boolean;
}

/** Content of the partitions `reads` of dataset `input` as it is for this backfill, before it is promoted. */
const comingDigest = digestOf(
  `unnest(d.reads) r cross join lateral (
     select l.partition, l.output_hash from rederive.live l
     where l.dataset = d.input and l.partition >= lower(r) and l.partition < upper(r)
       and not exists (select from rederive.task p
         where p.backfill = d.backfill and p.dataset = d.input and p.partition = l.partition and p.state = 'done')
     union all
     select p.partition, s.output_hash from rederive.task p join rederive.stamp s on s.task = p.id
     where p.backfill = d.backfill and p.dataset = d.input and p.partition >= lower(r) and p.partition < upper(r)
       and p.state = 'done') u`,
);

const decideStatement = `
with open as materialized (
  select t.id, t.backfill, t.dataset, t.partition, t.prunable from rederive.task t
  where t.id = any($1::int8[]) and ${isWaiting}
    and not exists (select from rederive.edge u where u.consumer = t.id and not u.done)
  order by t.id
  for no key update
), own as materialized (
  select o.id, o.backfill, l.reads from open o
  join rederive.backfill_dataset d on d.backfill = o.backfill and d.dataset = o.dataset
  join rederive.live l on l.dataset = o.dataset and l.partition = o.partition and l.fingerprint = d.fingerprint
  where o.prunable and l.reads is not null
), reading as materialized (
  select o.id, o.backfill, i.dataset as input, i.partitions::int8multirange as reads, i.content
  from own o cross join lateral jsonb_to_recordset(o.reads) as i (dataset text, partitions text, content text)
), now as materialized (
  select d.backfill, d.input, d.reads, ${comingDigest} as content
  from (select distinct backfill, input, reads from reading) d
), moved as materialized (
  select r.id from reading r join now n using (backfill, input, reads) where r.content <> n.content
), grown as materialized (
  -- What it reads may have grown: then its live content has not seen all of it.
  select o.id from own o
  join rederive.edge e on e.consumer = o.id
  join rederive.task p on p.id = e.producer
  where not exists (
    select from reading r where r.id = o.id and r.input = p.dataset and r.reads @> p.partition)
), judged as (
  -- Sets that are hashed once, so that the cost grows with the tasks and not with their square.
  select id, id in (select id from own)
    and id not in (select id from moved) and id not in (select id from grown) as unchanged
  from open
), ordered as (
  select id, unchanged, row_number() over (partition by unchanged order by id) as nth from judged
), decided as (
  update rederive.task t
  set state = case when j.unchanged then 'unchanged' else 'ready' end,
    -- One that ran before has an old job, which the releaser knows how to renew.
    released_at = case when j.nth <= $2::int and not j.unchanged and t.epoch = 0
      and t.rank < ${gateRank("t.backfill")} then clock_timestamp() end,
    finished_at = case when j.unchanged then clock_timestamp() end
  from ordered j
  where t.id = j.id and ${isWaiting}
  returning t.id, t.backfill, t.dataset, t.state, t.released_at
), marked as (
  update rederive.edge e set done = true
  where e.producer = any(array(select id from decided where state = 'unchanged')) and not e.done
)
select t.id::text as id, t.backfill, t.dataset, d.queue, b.traceparent, true as settled, t.state,
  t.released_at is not null as released, set_config('synchronous_commit', 'off', true) as durability
from decided t
join rederive.backfill b on b.id = t.backfill
join rederive.backfill_dataset d on d.backfill = t.backfill and d.dataset = t.dataset`;

/** The advisory lock of the decisions on one backfill. */
const decisionsOn = "hashtextextended('rederive decisions on ' || $1::text, 0)";

/**
 * In the transaction of an act on many tasks of a backfill, before it reads them: waits for the decisions under way, and
 * lets none begin before the transaction ends.
 */
export async function stopDecisions(tx: Tx, backfill: string): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(${decisionsOn})`, [backfill]);
}

/**
 * Waiting → unchanged or ready, for those of these tasks that wait for nothing any more. Has a transaction of its own:
 * its lock is taken in a statement before, so that a retry of an upstream comes wholly before or wholly after. Nothing
 * else would stop a decision on output that is being computed again. The commit need not reach the disk; a crash that
 * loses it is healed by the sweep.
 */
export async function decideTasks(tx: Tx, { backfill, tasks, release }: CutoffArgs): Promise<Decided> {
  await tx.query(`select pg_advisory_xact_lock_shared(${decisionsOn})`, [backfill]);
  const rows = await tx.query<DecidedRow>(decideStatement, [tasks, release]);
  return {
    ready: rows.filter(({ released }) => released),
    unchanged: rows.filter(({ state }) => state === "unchanged").map(({ id, dataset }) => ({ id, dataset })),
    moved: rows.length,
  };
}

/** Partitions by dataset that these tasks read and that are unchanged: their rows are live, not in the candidate. */
export async function unchangedUpstreams(tx: Tx, tasks: readonly string[]): Promise<Map<string, Ranges>> {
  const rows = await tx.query<{ dataset: string; partitions: string }>(
    `select p.dataset, range_agg(int8range(p.partition, p.partition + 1))::text as partitions
     from rederive.edge e join rederive.task p on p.id = e.producer
     where e.consumer = any($1::int8[]) and p.state = 'unchanged' group by p.dataset`,
    [tasks],
  );
  return new Map(rows.map(({ dataset, partitions }) => [dataset, fromMultirange(partitions)]));
}

/**
 * In a promotion, after the pointers have moved: partitions found unchanged whose live content is gone, is of another
 * definition, or was computed from other content than is live now. Something live changed after they were decided.
 */
export async function outdatedUnchanged(tx: Tx, backfill: string): Promise<Map<string, Ranges>> {
  const outdated = await changedReads(tx, await unchangedTasks(tx, backfill));
  const gone = await tx.query<{ dataset: string; partitions: string }>(
    `select t.dataset, range_agg(int8range(t.partition, t.partition + 1))::text as partitions
     from rederive.task t
     join rederive.backfill_dataset d on d.backfill = t.backfill and d.dataset = t.dataset
     where t.backfill = $1::text and t.state = 'unchanged' and not exists (
       select from rederive.live l where l.dataset = t.dataset and l.partition = t.partition
         and l.fingerprint = d.fingerprint and l.reads is not null)
     group by t.dataset`,
    [backfill],
  );
  for (const { dataset, partitions } of gone) {
    outdated.set(dataset, union(outdated.get(dataset) ?? noRanges, fromMultirange(partitions)));
  }
  return outdated;
}
