/**
 * Whether somebody else wrote to a live table, without reading it: from the counters that Postgres keeps anyway.
 *
 * They are exact but for their delay: a session tells its counts within a second while it works and ten when it rests. A
 * restart of the server, a rewrite of the table and a truncation change its `storage`, and then nothing is claimed.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Tx } from "../tx.ts";
import { tableName } from "./quote.ts";

export interface WriteCounts {
  /** Rows inserted, updated and deleted by sessions that have told so. */
  readonly counted: number;
  /** The same of this session, not told yet: this transaction's, and perhaps those just before it. */
  readonly own: number;
  /** The files of the table and the start of the server, as one text; null where the server does not count. */
  readonly storage: string | null;
}

/** Of the table with all its partitions. Ask once in a transaction: Postgres keeps the first answer. */
export async function writeCounts(tx: Tx, derived: Derived): Promise<WriteCounts> {
  const of = (prefix: string) =>
    `coalesce(sum(${["inserted", "updated", "deleted"].map((kind) => `pg_stat_get_${prefix}tuples_${kind}(oid)`).join(" + ")}), 0)::float8`;
  const [row] = await tx.query<WriteCounts>(
    `select ${of("")} as counted, ${of("xact_")} as own,
       case when current_setting('track_counts')::boolean then
         md5(concat(pg_postmaster_start_time(), string_agg(oid || ':' || relfilenode, ',' order by oid))) end as storage
     from pg_class c
     where c.relkind = 'r' and (c.oid = to_regclass($1::text) or c.oid in (
       select p.relid from pg_class r cross join lateral pg_partition_tree(r.oid) p
       where r.oid = to_regclass($1::text) and r.relkind = 'p'))`,
    [tableName(derived.table)],
  );
  return row as WriteCounts;
}

/** Has this session tell its counts when its transaction ends, and not some seconds later; servers before 15 cannot. */
export async function tellCounts(tx: Tx): Promise<void> {
  const [able] = await tx.query("select 1 where to_regproc('pg_catalog.pg_stat_force_next_flush') is not null");
  if (able) await tx.query("select pg_stat_force_next_flush()");
}
