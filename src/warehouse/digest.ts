/**
 * What "equal" means for rederive, and the content hash that is made of it.
 *
 * Two values are equal when they are the same value in the same writing: 1.0 is not 1.00, -0 is not 0, and a json
 * document is its text. Each column is cast to a type whose own hash says exactly that, the same in every supported
 * Postgres. The content hash is the sum, modulo 2^64, of one hash a row: order-free, and duplicates count.
 * Text depends on the session's settings, so hashes are comparable only between pinned sessions.
 */
import type { LiveColumn } from "./columns.ts";
import { identifier } from "./quote.ts";

/** Stored beside every hash. A change of any expression in this file is a new id. */
export const hashAlgorithm = "record-float-sum64/1";

/** Types whose equality is identity and whose hash is the same in every supported Postgres. */
const exactTypes: ReadonlySet<string> = new Set([
  "smallint",
  "integer",
  "bigint",
  "boolean",
  "uuid",
  "date",
  "timestamp without time zone",
  "timestamp with time zone",
]);

/** An expression that is equal for two rows exactly when the column's values are the same. */
export function exactExpression(column: Pick<LiveColumn, "name" | "type">, alias?: string): string {
  const reference = alias === undefined ? identifier(column.name) : `${alias}.${identifier(column.name)}`;
  return isExact(column.type) ? reference : `(${reference})::text collate "C"`;
}

/** Types that Postgres can hash in every supported version, in agreement with their own equality. */
export function isHashable(type: string): boolean {
  return isExact(type) || /^(text|numeric|character varying)(\(.*\))?$/.test(type);
}

/** Equal values of this type are the same value. `timestamp(3) without time zone` is as exact as without its precision. */
export function isExact(type: string): boolean {
  return exactTypes.has(type.replace(/\(\d+\)/, ""));
}

/**
 * The hash of one row as int8. Postgres adds up the field hashes of a record (times powers of 31), so a plain sum over
 * rows could not see two rows that exchange a value; the hash of the float breaks that up, at 53 bits and little cost.
 */
export function rowHash(columns: readonly Pick<LiveColumn, "name" | "type">[], alias?: string): string {
  const fields = columns.map((column) => exactExpression(column, alias)).join(", ");
  return `hashfloat8extended(hash_record_extended(row(${fields}), 0)::float8, 0)`;
}

/** An aggregate over rows: an unsigned 64-bit number as decimal text, "0" for no rows. */
export function contentHash(columns: readonly Pick<LiveColumn, "name" | "type">[], alias?: string): string {
  const modulus = "18446744073709551616";
  return `mod(mod(coalesce(sum(${rowHash(columns, alias)}), 0), ${modulus}) + ${modulus}, ${modulus})::text`;
}
