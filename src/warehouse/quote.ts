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

/** The schema-qualified, quoted name of a drizzle table. A table without a schema is in `public`, whatever the role's path. */
export function tableName(table: PgTable): string {
  const { schema, name } = getTableConfig(table);
  return `${identifier(schema ?? "public")}.${identifier(name)}`;
}
