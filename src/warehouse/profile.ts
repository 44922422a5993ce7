/**
 * Metrics of partitions, in one statement for all of them: each partition is a range of an index of the live table or the
 * candidate, so no row is read twice and none of another partition.
 *
 * Numbers are added up, booleans counted where they are true, and of all else distinct hashes are counted: sorting texts
 * would cost more than everything else together. Nulls are counted where a column may have some.
 */
import { boundsOf } from "../catalog/bounds.ts";
import type { Dataset, Derived } from "../catalog/dataset.ts";
import type { OrderedScheme, PartitionScheme } from "../catalog/scheme.ts";
import type { PartitionMetrics } from "../report.ts";
import type { Tx } from "../tx.ts";
import type { LiveColumn } from "./columns.ts";
import { partitionColumns } from "./predicate.ts";
import { identifier } from "./quote.ts";

export interface Profiled {
  readonly derived: { readonly name: string; readonly partitions: OrderedScheme };
  /** The quoted, qualified live table or candidate. */
  readonly relation: string;
  readonly columns: readonly LiveColumn[];
  /** Leave out distinct values and sums. Default false. */
  readonly nullsAlone?: boolean;
}

export function isProfiled<D extends Dataset>(dataset: D): dataset is D & Profiled["derived"] {
  return isOrdered(dataset.partitions);
}

function isOrdered(scheme: PartitionScheme): scheme is OrderedScheme {
  return scheme.kind === "time" || scheme.kind === "range";
}

/**
 * Of these columns, those that say something: the partition's own says where a row is and a key tells rows apart, neither
 * of which changes with what is in them. Of masked ones nothing is told.
 */
export function measurable(derived: Derived, columns: readonly LiveColumn[]): LiveColumn[] {
  const masked = derived.mask.map((column) => column.name);
  const placed = [...partitionColumns(derived.partitions), ...derived.key.map((column) => column.name), ...masked];
  return columns.filter(({ name, type }) => !placed.includes(name) && !/^json$|^xml$|^bytea$/.test(type));
}

/** What is counted, by the names that it has in the metrics. */
interface Count {
  readonly of: "nulls" | "distinct" | "sums";
  readonly column: string;
  readonly expression: string;
}

/** Counts in each of these partitions, in their order. */
export async function profile(
  tx: Tx,
  { derived, relation, columns, nullsAlone = false }: Profiled,
  partitions: readonly number[],
): Promise<PartitionMetrics[]> {
  const counts = columns.flatMap(countsOf).filter(({ of }) => of === "nulls" || !nullsAlone);
  const bounds = partitions.map((partition) => boundsOf(derived.partitions, partition));
  const column = identifier(derived.partitions.column.name);
  const type = derived.partitions.kind === "time" ? derived.partitions.columnType : "int8";
  const rows = await tx.query<{ rows: number; counted: (number | null)[] }>(
    `select m.rows, m.counted
     from unnest($1::text[], $2::text[]) with ordinality as p (low, high, place)
     cross join lateral (
       select count(*)::float8 as rows, array[${counts.map(({ expression }) => `(${expression})::float8`).join(", ")}]::float8[] as counted
       from ${relation} r where r.${column} >= p.low::${type} and r.${column} < p.high::${type}
     ) m order by p.place`,
    [bounds.map(({ from }) => from), bounds.map(({ to }) => to)],
  );
  return rows.map((row, index) => ({
    partition: partitions[index] as number,
    rows: row.rows,
    nulls: named("nulls", counts, row.counted),
    distinct: named("distinct", counts, row.counted),
    sums: named("sums", counts, row.counted),
  }));
}

function named(of: Count["of"], counts: readonly Count[], counted: readonly (number | null)[]): Record<string, number> {
  const found = counts.flatMap((count, index) =>
    // A sum that is infinite or no number says nothing.
    count.of === of && Number.isFinite(counted[index] ?? 0) ? [[count.column, counted[index] ?? 0] as const] : [],
  );
  return Object.fromEntries(found);
}

function countsOf({ name, type, notNull }: LiveColumn): Count[] {
  const column = `r.${identifier(name)}`;
  const nulls: Count[] = notNull ? [] : [{ of: "nulls", column: name, expression: `count(*) - count(${column})` }];
  if (type === "boolean") {
    return [...nulls, { of: "sums", column: name, expression: `count(*) filter (where ${column})` }];
  }
  if (/^(smallint|integer|bigint|numeric|real|double precision)(\(.*\))?$/.test(type)) {
    return [...nulls, { of: "sums", column: name, expression: `sum(${column})` }];
  }
  return [
    ...nulls,
    { of: "distinct", column: name, expression: `count(distinct hashtextextended(${column}::text, 0))` },
  ];
}
