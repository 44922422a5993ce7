/**
 * Tables `live` and `live_before`: which stamp each live partition comes from.
 *
 * A promotion first copies the pointers that it is going to replace, so that a rollback can put exactly those back.
 * All of it happens in the promotion's transaction: pointers and rows change at one instant.
 */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { contentDigest } from "./contents.ts";

/** One done task: a partition and the number of rows in its candidate. */
export interface StampedPartition {
  readonly partition: number;
  readonly rows: number;
}

/** The partitions that a backfill computed (tasks found `unchanged` are not among them), in order. */
export async function stampedPartitions(tx: Tx, backfill: string, dataset: string): Promise<StampedPartition[]> {
  return tx.query<StampedPartition>(
    `select t.partition::float8 as partition, s.rows_written::float8 as rows
     from rederive.task t join rederive.stamp s on s.task = t.id
     where t.backfill = $1::text and t.dataset = $2::text and t.state = 'done'
     order by t.partition`,
    [backfill, dataset],
  );
}

/** Rows of the live partitions among these. */
export async function liveRows(tx: Tx, dataset: string, partitions: Ranges): Promise<Map<number, number>> {
  const rows = await tx.query<StampedPartition>(
    `select partition::float8 as partition, rows::float8 as rows from rederive.live
     where dataset = $1::text and $2::text::int8multirange @> partition`,
    [dataset, toMultirange(partitions)],
  );
  return new Map(rows.map((row) => [row.partition, row.rows]));
}

/** Points the computed partitions of a dataset at the stamps of this backfill. */
export async function publishStamps(tx: Tx, backfill: string, dataset: string): Promise<void> {
  await tx.query(
    `insert into rederive.live_before (backfill, dataset, partition, prior)
     select t.backfill, t.dataset, t.partition, to_jsonb(l)
     from rederive.task t
     join rederive.stamp s on s.task = t.id
     left join rederive.live l on l.dataset = t.dataset and l.partition = t.partition
     where t.backfill = $1::text and t.dataset = $2::text and t.state = 'done'`,
    [backfill, dataset],
  );
  await tx.query(
    `insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows)
     select s.dataset, s.partition, s.id, s.backfill, s.fingerprint, s.output_hash, s.rows_written
     from rederive.task t join rederive.stamp s on s.task = t.id
     where t.backfill = $1::text and t.dataset = $2::text and t.state = 'done'
     on conflict (dataset, partition) do update set
       stamp = excluded.stamp, backfill = excluded.backfill, fingerprint = excluded.fingerprint,
       output_hash = excluded.output_hash, rows = excluded.rows, unchanged = false, promoted_at = now(),
       restored_at = null, reads = null, reads_at = null, metadata = null`,
    [backfill, dataset],
  );
}

/** Content proved equal under a newer fingerprint: the pointers stay, and say so. */
export async function publishUnchanged(
  tx: Tx,
  args: { backfill: string; dataset: string; partitions: Ranges; fingerprint: string },
): Promise<void> {
  const params = [args.backfill, args.dataset, toMultirange(args.partitions)];
  await tx.query(
    `insert into rederive.live_before (backfill, dataset, partition, prior)
     select $1::text, dataset, partition, to_jsonb(l) from rederive.live l
     where dataset = $2::text and $3::text::int8multirange @> partition
     on conflict do nothing`,
    params,
  );
  await tx.query(
    `update rederive.live set fingerprint = $3::text, unchanged = true
     where dataset = $1::text and $2::text::int8multirange @> partition`,
    [args.dataset, toMultirange(args.partitions), args.fingerprint],
  );
}

/**
 * Forgets the pointers that the plan retires: the dataset is cut otherwise now, so their numbers mean other partitions.
 * A number that the new cut has as well points at the new content already.
 */
async function forgetRetired(tx: Tx, backfill: string): Promise<void> {
  const retired = `retired as (
    select l.* from rederive.backfill b
    cross join lateral jsonb_to_recordset(b.decision::jsonb -> 'retired') as r (dataset text, partitions jsonb)
    cross join lateral jsonb_array_elements(r.partitions) part
    join rederive.live l on l.dataset = r.dataset and l.partition >= (part ->> 0)::int8 and l.partition < (part ->> 1)::int8
    where b.id = $1::text and l.backfill <> b.id)`;
  await tx.query(
    `with ${retired}
     insert into rederive.live_before (backfill, dataset, partition, prior)
     select $1::text, dataset, partition, to_jsonb(retired) from retired on conflict do nothing`,
    [backfill],
  );
  await tx.query(
    `with ${retired}
     delete from rederive.live l using retired r where l.dataset = r.dataset and l.partition = r.partition`,
    [backfill],
  );
}

/**
 * Writes down what each partition that this backfill published was computed from, with a digest of that content, and the
 * metadata that it was validated with. Comes after all pointers have moved: what was recomputed beside it is live by
 * then, and what was read live is as it was, because reservations last until here. Partitions with equal reads (all of
 * an input) share one digest.
 */
export async function recordReads(tx: Tx, backfill: string): Promise<void> {
  await forgetRetired(tx, backfill);
  await tx.query(
    `with published as materialized (
       select b.dataset, b.partition, l.stamp
       from rederive.live_before b join rederive.live l using (dataset, partition) where b.backfill = $1::text
     ), reading as materialized (
       select p.dataset, p.partition, i ->> 'dataset' as input,
         range_agg(int8range((r ->> 0)::int8, (r ->> 1)::int8)) as reads
       from published p join rederive.stamp s on s.id = p.stamp
       cross join lateral jsonb_array_elements(s.inputs) i
       cross join lateral jsonb_array_elements((i -> 'recomputed') || (i -> 'live')) r
       group by p.dataset, p.partition, i ->> 'dataset'
     ), content as materialized (
       select d.input, d.reads, ${contentDigest("d.input", "d.reads")} as content
       from (select distinct input, reads from reading) d
       where exists (select from rederive.live u where u.dataset = d.input)
     ), summed as (
       select r.dataset, r.partition,
         jsonb_agg(jsonb_build_object('dataset', r.input, 'partitions', r.reads::text, 'content', c.content)) as reads
       from reading r join content c using (input, reads) group by r.dataset, r.partition
     )
     update rederive.live l set reads = coalesce(s.reads, '[]'), reads_at = now()
     from published p left join summed s using (dataset, partition)
     where l.dataset = p.dataset and l.partition = p.partition`,
    [backfill],
  );
  await tx.query(
    `update rederive.live l set metadata = step ->> 'metadata'
     from rederive.backfill b
     cross join lateral jsonb_array_elements(b.decision::jsonb -> 'steps') step
     where b.id = $1::text and step ->> 'action' = 'recompute'
       and l.backfill = b.id and l.dataset = step ->> 'dataset'`,
    [backfill],
  );
}

/** Partitions whose tasks came out as `unchanged`, and the fingerprint that their live content now has. */
export async function unchangedTasks(
  tx: Tx,
  backfill: string,
): Promise<{ dataset: string; partitions: Ranges; fingerprint: string }[]> {
  const rows = await tx.query<{ dataset: string; partitions: string; fingerprint: string }>(
    `select t.dataset, range_agg(int8range(t.partition, t.partition + 1))::text as partitions, d.fingerprint
     from rederive.task t join rederive.backfill_dataset d using (backfill, dataset)
     where t.backfill = $1::text and t.state = 'unchanged'
     group by t.dataset, d.fingerprint`,
    [backfill],
  );
  return rows.map((row) => ({ ...row, partitions: fromMultirange(row.partitions) }));
}

/** The same by dataset, without the fingerprints. */
export async function unchangedPartitions(tx: Tx, backfill: string): Promise<Map<string, Ranges>> {
  return new Map((await unchangedTasks(tx, backfill)).map(({ dataset, partitions }) => [dataset, partitions]));
}

/** Backfills that promoted some of the same partitions after this one was planned: their content is the newer one. */
export async function promotedSincePlan(tx: Tx, backfill: string): Promise<string[]> {
  return othersLive(tx, backfill, "l.promoted_at > b.created_at");
}

/** Backfills whose content is live where this one was promoted. */
export async function promotedOver(tx: Tx, backfill: string): Promise<string[]> {
  return othersLive(tx, backfill, "true");
}

async function othersLive(tx: Tx, backfill: string, condition: string): Promise<string[]> {
  const rows = await tx.query<{ backfill: string }>(
    `select distinct l.backfill
     from rederive.backfill b
     join rederive.task t on t.backfill = b.id and t.state = 'done'
     join rederive.live l on l.dataset = t.dataset and l.partition = t.partition
     where b.id = $1::text and l.backfill <> b.id and ${condition} order by 1`,
    [backfill],
  );
  return rows.map((row) => row.backfill);
}

/**
 * Puts back the pointers that the promotion replaced, and forgets them. One that it only confirmed may have been replaced
 * since, together with its rows: then it stays. What was promoted since then may have been computed from content that is
 * gone now: every plan compares it, as if what it read had been written down before anything was promoted.
 */
export async function restorePointers(tx: Tx, backfill: string): Promise<void> {
  await tx.query(
    `update rederive.live l set reads_at = 'epoch' from rederive.backfill b
     where b.id = $1::text and l.reads_at > b.promoted_at`,
    [backfill],
  );
  await tx.query(
    `update rederive.live_before b set prior = b.prior || jsonb_build_object('restored_at', clock_timestamp())
     where b.backfill = $1::text and b.prior is not null and not exists (
       select from rederive.live l
       where l.dataset = b.dataset and l.partition = b.partition and l.stamp = (b.prior ->> 'stamp')::int8)`,
    [backfill],
  );
  await tx.query(
    `delete from rederive.live l using rederive.live_before b
     where b.backfill = $1::text and b.dataset = l.dataset and b.partition = l.partition
       and (l.backfill = b.backfill or l.stamp = (b.prior ->> 'stamp')::int8)`,
    [backfill],
  );
  await tx.query(
    `insert into rederive.live
     select (jsonb_populate_record(null::rederive.live, b.prior)).*
     from rederive.live_before b where b.backfill = $1::text and b.prior is not null
     on conflict (dataset, partition) do nothing`,
    [backfill],
  );
  await tx.query("delete from rederive.live_before where backfill = $1::text", [backfill]);
}
