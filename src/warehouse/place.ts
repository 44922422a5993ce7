/** The partition of a value as SQL: the inverse of predicate.ts, for counting differences by partition. */
import { boundsOf } from "../catalog/bounds.ts";
import type { OrderedScheme, PartitionScheme } from "../catalog/scheme.ts";
import { bucketOf } from "./predicate.ts";
import { constant, literal } from "./quote.ts";

/**
 * The partition as float8, of a value that lies in one of these partitions, which are in order. `named` gives the SQL of
 * the value for the name of the partition column. Ordered schemes look the value up among the lower bounds: one constant
 * array, searched by halves.
 */
export function placeOf(
  scheme: PartitionScheme,
  partitions: readonly number[],
  named: (column: string) => string,
): string {
  if (scheme.kind === "whole") return "0::float8";
  const value = named(scheme.column.name);
  if (scheme.kind === "hash") return `${bucketOf(value, scheme.buckets)}::float8`;
  if (scheme.kind === "list") {
    const cases = partitions.map(
      (place) => `when ${value} = ${constant(scheme.values[place] as string)} then ${place}`,
    );
    return `(case ${cases.join(" ")} end)::float8`;
  }
  const type = orderedType(scheme);
  const lows = `'{${partitions.map((place) => `"${boundsOf(scheme, place).from}"`).join(",")}}'::${type}[]`;
  return `(${literal(`{${partitions.join(",")}}`)}::float8[])[width_bucket((${value})::${type}, ${lows})]`;
}

/** Fractions are not to be rounded into the next partition. */
function orderedType(scheme: OrderedScheme): string {
  if (scheme.kind === "time") return scheme.columnType;
  return /^(numeric|decimal|real|double)/.test(scheme.column.getSQLType()) ? "numeric" : "int8";
}
