/** Which partitions a source has now, by the ends of an index, and whether there is such an index. */

import { ordinalAt } from "../catalog/bounds.ts";
import type { Derived, Source } from "../catalog/dataset.ts";
import { type Ranges, rangesOf } from "../catalog/ranges.ts";
import { fixedExtent, type OrderedScheme, type PartitionScheme } from "../catalog/scheme.ts";
import { RederiveError, sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { predicateOf } from "./predicate.ts";
import { identifier, tableName } from "./quote.ts";

/**
 * Every partition between the first and the last value of the partition column; none for an empty table. Infinite
 * values are in no partition. Reads two index entries where an index leads with the column. The session must print
 * times as ISO in UTC.
 */
export async function extentOf(tx: Tx, source: Source): Promise<Ranges> {
  const scheme = source.partitions;
  if (scheme.kind !== "time" && scheme.kind !== "range") {
    const fixed = fixedExtent(scheme) ?? [];
    return (await hasRows(tx, source)) ? fixed : [];
  }
  const column = identifier(scheme.column.name);
  const from = `from ${tableName(source.table)} where ${finite(scheme, column)}`;
  const [row] = await read<{ first: string | null; last: string | null }>(
    tx,
    source,
    `select (select min(${column})::text ${from}) as first, (select max(${column})::text ${from}) as last`,
  );
  if (row?.first == null || row.last === null) return [];
  return rangesOf([[ordinalAt(scheme, row.first), ordinalAt(scheme, row.last) + 1]]);
}

async function hasRows(tx: Tx, source: Source): Promise<boolean> {
  const rows = await read(tx, source, `select 1 from ${tableName(source.table)} limit 1`);
  return rows.length > 0;
}

/** A comparison rather than isfinite(), which would keep min and max from using the index. NaN sorts above infinity. */
function finite(scheme: OrderedScheme, column: string): string {
  const type = scheme.kind === "time" ? scheme.columnType : scheme.column.getSQLType();
  if (scheme.kind === "range" && !/^(numeric|decimal|real|double)/.test(type)) return `${column} is not null`;
  return `${column} > '-infinity' and ${column} < 'infinity'`;
}

async function read<Row>(tx: Tx, source: Source, statement: string): Promise<Row[]> {
  try {
    return await tx.query<Row>(statement);
  } catch (error) {
    if (!["42P01", "42703", "3F000"].includes(sqlState(error) ?? "")) throw error;
    throw new RederiveError(
      "plan_refused",
      `the source ${source.name} cannot be read: there is no table ${tableName(source.table)} with its partition column; ` +
        "migrate the application's schema first",
      { details: { dataset: source.name }, cause: error },
    );
  }
}

/**
 * A sentence with the statement to run where no index leads with the partition column, so that every task would read
 * the whole table; undefined where there is one or none is needed.
 */
export async function partitionIndexWarning(tx: Tx, dataset: Source | Derived): Promise<string | undefined> {
  const expression = indexedExpression(dataset.partitions);
  if (expression === undefined) return undefined;
  const table = tableName(dataset.table);
  const [found] = await tx.query<{ indexed: boolean; partitioned: boolean }>(
    `select c.relkind = 'p' as partitioned,
            exists (select from pg_catalog.pg_index i
                      join pg_catalog.pg_class x on x.oid = i.indexrelid
                      join pg_catalog.pg_am m on m.oid = x.relam
                      left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
                     where i.indrelid = c.oid and i.indisvalid and i.indpred is null and m.amname in ('btree', 'brin')
                       and case when $3::boolean then i.indkey[0] = 0 and
                                  pg_catalog.pg_get_indexdef(i.indexrelid, 1, true) like '%md5(%' || $2::text || '%'
                                else a.attname = $2::text end) as indexed
       from pg_catalog.pg_class c where c.oid = to_regclass($1::text)`,
    [table, columnName(dataset.partitions), dataset.partitions.kind === "hash"],
  );
  if (found === undefined || found.indexed) return undefined;
  // An index on a partitioned table cannot be built concurrently; its partitions can be indexed one by one before.
  const create = found.partitioned ? "create index" : "create index concurrently";
  return (
    `no index of ${table} leads with the partition column of ${dataset.name}, so every task reads the whole table; ` +
    `run: ${create} on ${table} (${expression})`
  );
}

function columnName(scheme: PartitionScheme): string | null {
  return scheme.kind === "whole" ? null : scheme.column.name;
}

/** What the predicate of a partition compares: the column, or for buckets an expression over it. */
function indexedExpression(scheme: PartitionScheme): string | undefined {
  if (scheme.kind === "whole") return undefined;
  if (scheme.kind !== "hash") return identifier(scheme.column.name);
  const condition = predicateOf(scheme, [[0, 1]]);
  return condition.slice(0, condition.lastIndexOf(" = "));
}
