/** How faults of a catalog name things. */
import { getTableColumns } from "drizzle-orm";
import { getTableConfig, type PgColumn, type PgTable } from "drizzle-orm/pg-core";

interface Tabled {
  readonly table: PgTable;
}

export function under(name: string, faults: readonly string[]): string[] {
  return faults.map((fault) => `${name}: ${fault}`);
}

export function repeated(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}

export function tableOf({ table }: Tabled): string {
  const { schema, name } = getTableConfig(table);
  return `${schema ?? "public"}.${name}`;
}

export function qualified(column: PgColumn): string {
  return `${getTableConfig(column.table).name}.${column.name}`;
}

export function isColumnOf({ table }: Tabled, column: PgColumn): boolean {
  return Object.values<PgColumn>(getTableColumns(table)).includes(column);
}
