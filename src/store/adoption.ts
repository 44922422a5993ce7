/**
 * Rows that are taken over from the candidate of an earlier backfill: of which tasks that is right, now that their
 * upstreams are settled.
 */
import type { Tx } from "../tx.ts";
import type { StampInput } from "./claims.ts";
import { liveMoves } from "./moves.ts";

export interface AdoptionArgs {
  /** Of one dataset of one backfill; their upstreams are done or unchanged. */
  readonly tasks: readonly string[];
  /** The earlier backfill. */
  readonly from: string;
  readonly hashAlgorithm: string;
}

/** What the earlier backfill computed for the partition of a task. */
export interface Adoptable {
  readonly task: string;
  /** Of those who computed the rows: the earlier backfill may have taken them over itself. */
  readonly stamp: string;
  readonly outputHash: string;
  /** What it read for that. */
  readonly inputs: readonly StampInput[];
}

/**
 * Of these tasks, those whose partition the earlier backfill computed under the same fingerprint, without breaking a
 * check of severity `error`, into a candidate that is still there, and from the content that they would read now. What
 * a source had then is not asked: it is what a plan that takes rows over says about them.
 */
export async function adoptableTasks(tx: Tx, { tasks, from, hashAlgorithm }: AdoptionArgs): Promise<Adoptable[]> {
  return tx.query<Adoptable>(
    `with earlier as materialized (
       select t.id, t.backfill, coalesce(s.adopted_from, s.id) as stamp, s.output_hash, s.inputs, s.started_at
       from rederive.task t
       join rederive.backfill_dataset d on d.backfill = t.backfill and d.dataset = t.dataset
       join rederive.task et on et.backfill = $2::text and et.dataset = t.dataset and et.partition = t.partition
       join rederive.backfill_dataset ed on ed.backfill = et.backfill and ed.dataset = et.dataset
       join rederive.stamp s on s.task = et.id
       where t.id = any($1::int8[]) and et.state = 'done' and s.hash_algorithm = $3::text
         and s.fingerprint = d.fingerprint and to_regclass(ed.candidate) is not null
         and not exists (
           select from rederive.check_result c
           where c.backfill = et.backfill and c.dataset = et.dataset and c.partition = et.partition
             and c.severity = 'error' and c.failures > 0)
     ), reads as materialized (
       select e.id, e.backfill, e.started_at, i ->> 'dataset' as dataset, side.computed,
         (r ->> 0)::int8 as first, (r ->> 1)::int8 as past
       from earlier e
       cross join lateral jsonb_array_elements(e.inputs) i
       cross join lateral (values (true, i -> 'recomputed'), (false, i -> 'live')) as side (computed, ranges)
       cross join lateral jsonb_array_elements(side.ranges) r
     )
     select e.id::text as task, e.stamp::text as stamp, e.output_hash as "outputHash", e.inputs
     from earlier e
     where not exists (
       -- Then: the candidate's content, or the live one where it has not been replaced since.
       select from reads r
       join rederive.task p on r.computed and p.backfill = $2::text and p.dataset = r.dataset
         and p.partition >= r.first and p.partition < r.past
       left join rederive.stamp s on s.task = p.id
       left join rederive.task n on n.backfill = r.backfill and n.dataset = p.dataset and n.partition = p.partition
         and n.state = 'done'
       left join rederive.stamp ns on ns.task = n.id
       left join rederive.live l on l.dataset = p.dataset and l.partition = p.partition
       where r.id = e.id and s.output_hash is distinct from coalesce(ns.output_hash, l.output_hash)
     ) and not exists (
       select from reads r
       join rederive.live l on not r.computed and l.dataset = r.dataset and l.partition >= r.first and l.partition < r.past
       left join rederive.task n on n.backfill = r.backfill and n.dataset = l.dataset and n.partition = l.partition
         and n.state = 'done'
       left join rederive.stamp ns on ns.task = n.id
       where r.id = e.id and ns.output_hash <> l.output_hash
     ) and not exists (
       select from reads r
       join (${liveMoves}) m on not r.computed and m.dataset = r.dataset and m.partition >= r.first and m.partition < r.past
       where r.id = e.id and m.at > r.started_at
     ) and not exists (
       -- An upstream of now that was not read then.
       select from rederive.edge g join rederive.task p on p.id = g.producer
       where g.consumer = e.id and not exists (
         select from reads r where r.id = e.id and r.dataset = p.dataset and p.partition >= r.first and p.partition < r.past))`,
    [tasks, from, hashAlgorithm],
  );
}
