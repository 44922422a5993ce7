/**
 * Sets of partitions as SQL conditions on a table's partition column.
 *
 * Time and range schemes give half-open comparisons with literals of the column's own type, so that an index on the
 * column serves them. A null in the partition column is in no partition of any scheme but `whole`.
 */

import { boundsOfRange } from "../catalog/bounds.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { PartitionScheme } from "../catalog/scheme.ts";
import { constant, identifier, literal } from "./quote.ts";

/** The condition that a row is in one of the partitions; `alias` is the table's alias where one is needed. */
export function predicateOf(scheme: PartitionScheme, ranges: Ranges, alias?: string): string {
  if (scheme.kind === "whole") return ranges.length === 0 ? "false" : "true";
  if (ranges.length === 0) return "false";
  const column = alias === undefined ? identifier(scheme.column.name) : `${alias}.${identifier(scheme.column.name)}`;
  if (scheme.kind === "list") return listed(column, scheme.values, ranges);
  if (scheme.kind === "hash") return anyOf(ranges.map((range) => between(bucketOf(column, scheme.buckets), range)));
  const type = scheme.kind === "time" ? `::${scheme.columnType}` : "";
  return anyOf(
    ranges.map((range) => {
      const { from, to } = boundsOfRange(scheme, range);
      return `(${column} >= ${literal(from)}${type} and ${column} < ${literal(to)}${type})`;
    }),
  );
}

/** The partition column, where the scheme has one: what an index must begin with. */
export function partitionColumns(scheme: PartitionScheme): readonly string[] {
  return scheme.kind === "whole" ? [] : [scheme.column.name];
}

/** The bucket of a value: from its text and md5, so that it is the same in every version of Postgres. */
export function bucketOf(column: string, buckets: number): string {
  return `(('x' || substr(md5(${column}::text), 1, 8))::bit(32)::bigint % ${buckets})`;
}

function between(expression: string, [from, to]: readonly [number, number]): string {
  if (to - from === 1) return `${expression} = ${from}`;
  return `${expression} between ${from} and ${to - 1}`;
}

function listed(column: string, values: readonly (string | number | boolean)[], ranges: Ranges): string {
  const members = ranges.flatMap(([from, to]) => values.slice(from, to));
  if (members.length === 0) return "false";
  return `${column} in (${members.map(constant).join(", ")})`;
}

function anyOf(conditions: readonly string[]): string {
  return conditions.length === 1 ? (conditions[0] as string) : `(${conditions.join(" or ")})`;
}
