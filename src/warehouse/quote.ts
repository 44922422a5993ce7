/** Names and literals as SQL text. Task statements carry their literals inline, because a transform is one opaque text. */
import { getTableConfig, type PgTable } from "drizzle-orm/pg-core";
import pg from "pg";

export function identifier(name: string): string {
  return pg.escapeIdentifier(name);
}

export function identifiers(names: readonly string[]): string {
  return names.map(identifier).join(", ");
}

export function literal(value: string | number | boolean): string {
  return pg.escapeLiteral(String(value));
}

/**
 * A value to compare a column with. Text stays without a type, so that Postgres reads it as a value of the column's own
 * type, in full: a cast to varchar(3) would cut it off. Numbers stay numbers: 0.5 is no integer, but may be a bound.
 */
export function constant(value: string | number | boolean): string {
  return typeof value === "string" || (typeof value === "number" && !Number.isFinite(value))
    ? literal(value)
    : `(${value})`;
}

/** Every task asks for the names of its tables, and drizzle reads the whole definition to answer. */
const tableNames = new WeakMap<PgTable, string>();

/** The schema-qualified, quoted name of a drizzle table. A table without a schema is in `public`, whatever the role's path. */
export function tableName(table: PgTable): string {
  const known = tableNames.get(table);
  if (known !== undefined) return known;
  const { schema, name } = getTableConfig(table);
  const made = `${identifier(schema ?? "public")}.${identifier(name)}`;
  tableNames.set(table, made);
  return made;
}
