/**
 * When live partitions became what they are now, or ceased to be live: what tells whether a task read something else
 * than what is live now.
 */
import type { Tx } from "../tx.ts";

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

/** One dataset whose tasks read live content that is another now, or gone. */
export interface MovedRead {
  readonly dataset: string;
  readonly input: string;
  /** Tasks. */
  readonly tasks: number;
}

/** What this backfill computed from content that was live then and is not live any more. */
export async function movedReads(tx: Tx, backfill: string): Promise<MovedRead[]> {
  return tx.query<MovedRead>(
    `with stamped as materialized (
       select s.id, s.dataset, s.inputs, s.started_at
       from rederive.task t join rederive.stamp s on s.task = t.id
       where t.backfill = $1::text and t.state = 'done'
     ), moved as materialized (
       select m.* from (${liveMoves}) m where m.at > (select min(started_at) from stamped)
     )
     select s.dataset, i ->> 'dataset' as input, count(distinct s.id)::float8 as tasks
     from stamped s
     cross join lateral jsonb_array_elements(s.inputs) i
     cross join lateral jsonb_array_elements(i -> 'live') r
     join moved m on m.dataset = i ->> 'dataset' and m.at > s.started_at
       and m.partition >= (r ->> 0)::int8 and m.partition < (r ->> 1)::int8
     group by 1, 2 order by 1, 2`,
    [backfill],
  );
}
