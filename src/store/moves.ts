/**
 * When live partitions became what they are now, or ceased to be live: what tells whether a task read something else
 * than what is live now.
 */
import { toMultirange } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import type { DatasetPartitions } from "./contents.ts";

/** SQL of (dataset, partition, at): a promotion or a rollback put other content there, or took it away, at that time. */
export const liveMoves = `
  select dataset, partition, greatest(promoted_at, restored_at) as at from rederive.live
  union all
  select s.dataset, s.partition, b.rolled_back_at
  from rederive.stamp s join rederive.backfill b on b.id = s.backfill where b.rolled_back_at is not null
  union all
  select w.dataset, w.partition, b.promoted_at
  from rederive.live_before w join rederive.backfill b on b.id = w.backfill
  where not exists (select from rederive.live l where l.dataset = w.dataset and l.partition = w.partition)`;

/**
 * Of these live partitions, the datasets of which some became what they are, or ceased to be live, after the backfill was
 * started: what its plan says of them is about other content. The start itself has seen that the content is what was
 * planned on, whatever went to and fro before. In order.
 */
export async function movedSinceStart(tx: Tx, backfill: string, of: readonly DatasetPartitions[]): Promise<string[]> {
  const rows = await tx.query<{ dataset: string }>(
    `select distinct w.dataset
     from unnest($2::text[], $3::text[]) as w (dataset, partitions)
     join rederive.backfill b on b.id = $1::text
     join (${liveMoves}) m on m.dataset = w.dataset and w.partitions::int8multirange @> m.partition
       and m.at > coalesce(b.started_at, b.created_at)
     order by 1`,
    [backfill, of.map(({ dataset }) => dataset), of.map(({ partitions }) => toMultirange(partitions))],
  );
  return rows.map(({ dataset }) => dataset);
}

/** One dataset whose tasks read live content that is another now, or gone. */
export interface MovedRead {
  readonly dataset: string;
  readonly input: string;
  /** Tasks. */
  readonly tasks: number;
}

/**
 * What this backfill computed from content that was live then and is not live any more. Reservations see to it that mostly
 * nothing has moved in all that it read: then no task is looked at by itself.
 */
export async function movedReads(tx: Tx, backfill: string): Promise<MovedRead[]> {
  return tx.query<MovedRead>(
    `with reading as materialized (
       select s.id, s.dataset, s.started_at, i ->> 'dataset' as input, (r ->> 0)::int8 as first, (r ->> 1)::int8 as past
       from rederive.task t join rederive.stamp s on s.task = t.id
       cross join lateral jsonb_array_elements(s.inputs) i
       cross join lateral jsonb_array_elements(i -> 'live') r
       where t.backfill = $1::text and t.state = 'done'
     ), whole as materialized (
       select input, range_agg(int8range(first, past)) as reads, min(started_at) as started_at from reading group by input
     ), moved as materialized (
       select from whole w join (${liveMoves}) m
         on m.dataset = w.input and m.at > w.started_at and w.reads @> m.partition
       limit 1
     )
     select r.dataset, r.input, count(distinct r.id)::float8 as tasks
     from reading r
     cross join lateral (
       select from (${liveMoves}) m
       where m.dataset = r.input and m.partition >= r.first and m.partition < r.past and m.at > r.started_at limit 1
     ) m
     where exists (select from moved)
     group by 1, 2 order by 1, 2`,
    [backfill],
  );
}
