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
  const [row] = await tx.query<WriteCounts>(
    `select coalesce(sum(${written("")}), 0)::float8 as counted, coalesce(sum(${written("xact_")}), 0)::float8 as own,
       case when current_setting('track_counts')::boolean then
         md5(concat(pg_postmaster_start_time(), string_agg(oid || ':' || relfilenode, ',' order by oid))) end as storage
     from ${leaves}`,
    [[tableName(derived.table)]],
  );
  return row as WriteCounts;
}

/**
 * One text for what was counted of all these tables (quoted, qualified): as long as it is the same, nobody has written to
 * any of them. Null where that cannot be told: the server does not count, or one of them is a view or a foreign table.
 */
export async function writeState(tx: Tx, tables: readonly string[]): Promise<string | null> {
  const [row] = await tx.query<{ state: string | null }>(
    `select case when current_setting('track_counts')::boolean and not exists (
         select from unnest($1::text[]) t left join pg_class r on r.oid = to_regclass(t)
         where r.relkind is null or r.relkind not in ('r', 'p'))
       then md5(concat(pg_postmaster_start_time(), string_agg(concat_ws(':', oid, relfilenode, ${written("")}), ',' order by oid)))
       end as state
     from ${leaves}`,
    [tables],
  );
  return row?.state ?? null;
}

/** Tables and the partitions of partitioned ones, by the names in the first parameter. */
const leaves = `pg_class c where c.relkind = 'r' and (
  c.oid in (select to_regclass(t) from unnest($1::text[]) t)
  or c.oid in (select p.relid from unnest($1::text[]) t join pg_class r on r.oid = to_regclass(t) and r.relkind = 'p'
               cross join lateral pg_partition_tree(r.oid) p))`;

function written(prefix: string): string {
  const kinds = ["inserted", "updated", "deleted"];
  return kinds.map((kind) => `pg_stat_get_${prefix}tuples_${kind}(oid)`).join(" + ");
}

/** Has this session tell its counts when its transaction ends, and not some seconds later; servers before 15 cannot. */
export async function tellCounts(tx: Tx): Promise<void> {
  const [able] = await tx.query("select 1 where to_regproc('pg_catalog.pg_stat_force_next_flush') is not null");
  if (able) await tx.query("select pg_stat_force_next_flush()");
}
