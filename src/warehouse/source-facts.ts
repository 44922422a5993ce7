/**
 * Cheap questions about the rows of a source, asked before a plan is approved: which partitions have none, how many rows
 * and bytes there are about, and whether a key occurs twice. Each reads a bounded part of an index or of the table, and
 * is given up after two seconds.
 */
import { boundsOf } from "../catalog/bounds.ts";
import type { Source } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { OrderedScheme } from "../catalog/scheme.ts";
import { sqlState } from "../errors.ts";
import type { Database, Tx } from "../tx.ts";
import { predicateOf } from "./predicate.ts";
import { identifier, identifiers, tableName } from "./quote.ts";

const longestMs = 2_000;
const queryCanceled = "57014";

/** What the work gives in a transaction of its own, or undefined where it takes longer than two seconds. */
export async function briefly<Result>(
  database: Database,
  work: (tx: Tx) => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await database.transaction(async (tx) => {
      await tx.query("select set_config('statement_timeout', $1::text, true)", [String(longestMs)]);
      return work(tx);
    });
  } catch (error) {
    if (sqlState(error) === queryCanceled) return undefined;
    throw error;
  }
}

/** Of these partitions, those without a row: one look into the index for each. */
export async function emptyPartitions(
  tx: Tx,
  { table, partitions: scheme }: Source & { readonly partitions: OrderedScheme },
  ordinals: readonly number[],
): Promise<number[]> {
  const bounds = ordinals.map((ordinal) => boundsOf(scheme, ordinal));
  const column = `r.${identifier(scheme.column.name)}`;
  const type = scheme.kind === "time" ? scheme.columnType : "int8";
  // Ordered, or Postgres may take the table for full of such rows and read it from its beginning.
  const rows = await tx.query<{ place: number }>(
    `select p.place::int4 as place from unnest($1::text[], $2::text[]) with ordinality as p (low, high, place)
     where (select true from ${tableName(table)} r where ${column} >= p.low::${type} and ${column} < p.high::${type}
            order by ${column} limit 1) is null
     order by p.place`,
    [bounds.map(({ from }) => from), bounds.map(({ to }) => to)],
  );
  return rows.map(({ place }) => ordinals[place - 1] as number);
}

export interface TableSize {
  /** As Postgres estimates it; null where it was never analysed. */
  readonly rows: number | null;
  /** Of the heap, with all of its partitions; without indexes. */
  readonly bytes: number;
}

/** From the statistics and the files, without reading a row. All zero where there is no such table. */
export async function tableSize(tx: Tx, table: string): Promise<TableSize> {
  const [row] = await tx.query<{ rows: number | null; bytes: number | null }>(
    `select sum(nullif(c.reltuples, -1))::float8 as rows, sum(pg_catalog.pg_table_size(c.oid))::float8 as bytes
       from pg_catalog.pg_class c
      where c.relkind <> 'p'
        and c.oid in (select relid from pg_catalog.pg_partition_tree(to_regclass($1::text))
                      union all select to_regclass($1::text))`,
    [table],
  );
  return { rows: row?.rows ?? null, bytes: row?.bytes ?? 0 };
}

/** Whether a unique index over some of these columns forbids two rows with the same values in all of them. */
export async function isUniqueByIndex(tx: Tx, table: string, columns: readonly string[]): Promise<boolean> {
  const [row] = await tx.query<{ unique: boolean }>(
    `select exists (
       select from pg_catalog.pg_index i
        where i.indrelid = to_regclass($1::text) and i.indisunique and i.indisvalid and i.indpred is null
          and not exists (select from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) as k (number)
                           left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number and k.number > 0
                          where a.attname is null or a.attname <> all($2::text[]))
     ) as "unique"`,
    [table, columns],
  );
  return row?.unique === true;
}

export interface RepeatedKeys {
  /** Rows that were looked at. */
  readonly looked: number;
  /** Keys that occur more than once among them. */
  readonly repeated: number;
}

/**
 * How many rows of these partitions share a key, among the first of them; rows with a null in the key are left out. What
 * the keys are is not told: more people see a plan than the rows of a source.
 */
export async function repeatedKeys(
  tx: Tx,
  { table, partitions }: Source,
  key: readonly string[],
  ranges: Ranges,
  most: number,
): Promise<RepeatedKeys> {
  const names = identifiers(key);
  const [row] = await tx.query<RepeatedKeys>(
    `with looked as materialized (
       select ${names} from ${tableName(table)} where (${predicateOf(partitions, ranges)}) limit $1::int4
     ), repeated as (
       select from looked where num_nulls(${names}) = 0 group by ${names} having count(*) > 1
     )
     select (select count(*) from looked)::float8 as looked, (select count(*) from repeated)::float8 as repeated`,
    [most],
  );
  return row as RepeatedKeys;
}

/**
 * Where the server keeps its data, if it runs on this machine and this role may know; else undefined. Only what the
 * operating system of that machine says tells how much room there is.
 */
export async function localDataDirectory(tx: Tx): Promise<string | undefined> {
  const [row] = await tx.query<{ directory: string | null }>(
    `select case when (inet_server_addr() is null or inet_server_addr() <<= inet '127.0.0.0/8' or inet_server_addr() = inet '::1')
                  and pg_catalog.pg_has_role('pg_read_all_settings', 'usage')
                 then pg_catalog.current_setting('data_directory', true) end as directory`,
  );
  return row?.directory ?? undefined;
}
