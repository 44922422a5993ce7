/**
 * What is live, as the planner needs it: partitions by what they were computed with and when, digests of their content,
 * and where the content that they were computed from is not the live one any more.
 */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";

export interface LiveContents {
  readonly dataset: string;
  readonly fingerprint: string;
  /** Hash of the metadata whose checks it was validated with. */
  readonly metadata: string | null;
  /** Milliseconds since the epoch. */
  readonly promotedAt: number;
  readonly readsAt: number | null;
  readonly partitions: Ranges;
}

/** One row for the partitions of a dataset that were promoted together. */
export async function liveContents(tx: Tx): Promise<LiveContents[]> {
  const rows = await tx.query<Omit<LiveContents, "partitions"> & { partitions: string }>(
    `select dataset, fingerprint, metadata,
       extract(epoch from promoted_at)::float8 * 1000 as "promotedAt",
       extract(epoch from reads_at)::float8 * 1000 as "readsAt",
       range_agg(int8range(partition, partition + 1))::text as partitions
     from rederive.live group by dataset, fingerprint, metadata, promoted_at, reads_at
     order by dataset, fingerprint, promoted_at`,
  );
  return rows.map((row) => ({ ...row, partitions: fromMultirange(row.partitions) }));
}

/** Partitions of one dataset. */
export interface DatasetPartitions {
  readonly dataset: string;
  readonly partitions: Ranges;
}

/**
 * A digest of the live content of each of these: equal content gives equal text, whoever computed it and when.
 * A dataset none of whose partitions are live has none.
 */
export async function liveDigests(tx: Tx, of: readonly DatasetPartitions[]): Promise<Map<string, string>> {
  const rows = await tx.query<{ dataset: string; digest: string }>(
    `select w.dataset, md5(string_agg(concat_ws(' ', l.partition, l.fingerprint, l.output_hash), ',' order by l.partition)) as digest
     from unnest($1::text[], $2::text[]) as w (dataset, partitions)
     cross join lateral unnest(w.partitions::int8multirange) r
     join rederive.live l on l.dataset = w.dataset and l.partition >= lower(r) and l.partition < upper(r)
     group by w.dataset`,
    columnsOf(of),
  );
  return new Map(rows.map((row) => [row.dataset, row.digest]));
}

/** A digest of the rows `u` of this SQL: partition and output hash of each, in order. What early cutoff compares. */
export const digestOf = (rows: string): string =>
  `(select md5(coalesce(string_agg(u.partition || ':' || u.output_hash, ',' order by u.partition), '')) from ${rows})`;

/** The digest of the content of the live partitions of `dataset` within `partitions` (both SQL expressions). */
export const contentDigest = (dataset: string, partitions: string): string =>
  digestOf(`unnest(${partitions}) r
    join rederive.live u on u.dataset = ${dataset} and u.partition >= lower(r) and u.partition < upper(r)`);

/** Of these partitions, those that were computed from other content than what is live in their inputs now. */
export async function changedReads(tx: Tx, of: readonly DatasetPartitions[]): Promise<Map<string, Ranges>> {
  const rows = await tx.query<{ dataset: string; partitions: string }>(
    `with asked as materialized (
       select l.dataset, l.partition, i.dataset as input, i.partitions::int8multirange as reads, i.content
       from unnest($1::text[], $2::text[]) as w (dataset, partitions)
       cross join lateral unnest(w.partitions::int8multirange) r
       join rederive.live l on l.dataset = w.dataset and l.partition >= lower(r) and l.partition < upper(r)
       cross join lateral jsonb_to_recordset(l.reads) as i (dataset text, partitions text, content text)
     ), now as materialized (
       select d.input, d.reads, ${contentDigest("d.input", "d.reads")} as content
       from (select distinct input, reads from asked) d
     )
     select a.dataset, range_agg(int8range(a.partition, a.partition + 1))::text as partitions
     from asked a join now n using (input, reads) where a.content <> n.content group by a.dataset`,
    columnsOf(of),
  );
  return new Map(rows.map((row) => [row.dataset, fromMultirange(row.partitions)]));
}

function columnsOf(of: readonly DatasetPartitions[]): [string[], string[]] {
  return [of.map(({ dataset }) => dataset), of.map(({ partitions }) => toMultirange(partitions))];
}

export interface EarlierContent {
  readonly dataset: string;
  readonly fingerprint: string;
  readonly tasks: Ranges;
  readonly verified: Ranges;
  readonly sameAsLive: Ranges;
}

/**
 * What a backfill has computed: all its tasks, those that are done and failed no check of severity `error`, and of these
 * the ones whose output is what is live. A partition where the whole dataset is held for other reasons counts too; where
 * the candidate was dropped nothing does.
 */
export async function earlierContents(tx: Tx, backfill: string): Promise<EarlierContent[]> {
  const rows = await tx.query<
    Record<"dataset" | "fingerprint", string> & Record<"tasks" | "verified" | "same", string | null>
  >(
    `select d.dataset, d.fingerprint, d.partitions::text as tasks, v.verified::text as verified, v.same::text as same
     from rederive.backfill_dataset d
     cross join lateral (
       select range_agg(int8range(t.partition, t.partition + 1)) as verified,
         range_agg(int8range(t.partition, t.partition + 1)) filter (where l.output_hash = s.output_hash) as same
       from rederive.task t
       join rederive.stamp s on s.task = t.id
       left join rederive.live l on l.dataset = t.dataset and l.partition = t.partition
       where t.backfill = d.backfill and t.dataset = d.dataset and t.state = 'done'
         and to_regclass(d.candidate) is not null
         and not exists (
           select from rederive.check_result c
           where c.backfill = t.backfill and c.dataset = t.dataset and c.partition = t.partition
             and c.severity = 'error' and c.failures > 0)
     ) v
     where d.backfill = $1::text`,
    [backfill],
  );
  return rows.map(({ dataset, fingerprint, tasks, verified, same }) => ({
    dataset,
    fingerprint,
    tasks: fromMultirange(tasks ?? ""),
    verified: fromMultirange(verified ?? ""),
    sameAsLive: fromMultirange(same ?? ""),
  }));
}
