/** The columns of tables as Postgres has them: above all those of the live table of a derived dataset. */
import type { Derived } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { tableName } from "./quote.ts";

export interface LiveColumn {
  readonly name: string;
  /** As `format_type` prints it: `numeric(12,2)`, `timestamp with time zone`, `text[]`, `public.mood`. */
  readonly type: string;
  /** The quoted name of the collation where it is not the type's own, else null. */
  readonly collation: string | null;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
  readonly identity: boolean;
  readonly generated: boolean;
  /** False for a few types, such as json, that have no equality and so cannot be in a key. */
  readonly comparable: boolean;
}

/** All columns of the live table in its order. Read it once a dataset; tasks get the owned ones by `ownedOf`. */
export async function liveColumns(tx: Tx, derived: Derived): Promise<readonly LiveColumn[]> {
  const columns = await tableColumns(tx, tableName(derived.table));
  if (columns.length > 0) return columns;
  throw new RederiveError("not_found", `the table ${tableName(derived.table)} of ${derived.name} does not exist`, {
    details: { dataset: derived.name },
  });
}

/** All columns of a table or view in its order, by its quoted, qualified name; none where there is no such table. */
export function tableColumns(tx: Tx, table: string): Promise<LiveColumn[]> {
  return tx.query<LiveColumn>(
    `select a.attname::text as name,
            pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
            case when a.attcollation <> t.typcollation
                 then quote_ident(n.nspname) || '.' || quote_ident(c.collname) end as collation,
            a.attnotnull as "notNull",
            a.atthasdef as "hasDefault",
            a.attidentity <> '' as identity,
            a.attgenerated <> '' as generated,
            t.typname not in ('json', 'xml', 'point', 'polygon') as comparable
       from pg_catalog.pg_attribute a
       join pg_catalog.pg_type t on t.oid = a.atttypid
       left join pg_catalog.pg_collation c on c.oid = a.attcollation
       left join pg_catalog.pg_namespace n on n.oid = c.collnamespace
      where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped
      order by a.attnum`,
    [table],
  );
}

/** Name, type and number of the columns of many tables, by their quoted, qualified names. What is not there has none. */
export async function columnsOfTables(
  tx: Tx,
  tables: readonly string[],
): Promise<Map<string, { readonly name: string; readonly type: string; readonly number: number }[]>> {
  const rows = await tx.query<{ table: string; name: string; type: string; number: number }>(
    `select t.name as "table", a.attname::text as name, a.attnum::int4 as number,
            pg_catalog.format_type(a.atttypid, a.atttypmod) as type
       from unnest($1::text[]) as t (name)
       join pg_catalog.pg_attribute a on a.attrelid = to_regclass(t.name) and a.attnum > 0 and not a.attisdropped
      order by t.name, a.attnum`,
    [[...new Set(tables)]],
  );
  const found = new Map<string, { name: string; type: string; number: number }[]>();
  for (const { table, ...column } of rows) {
    const known = found.get(table);
    if (known === undefined) found.set(table, [column]);
    else known.push(column);
  }
  return found;
}

/** The type of a column as a table's definition has it: with its collation where that is not the type's own. */
export function declaredType(column: LiveColumn): string {
  return column.collation === null ? column.type : `${column.type} collate ${column.collation}`;
}

/** The owned columns in the order of the definition. A column that the live table lacks is an error that names it. */
export function ownedOf(derived: Derived, live: readonly LiveColumn[]): readonly LiveColumn[] {
  return derived.owned.map((column) => {
    const found = live.find((candidate) => candidate.name === column.name);
    if (found) return found;
    throw new RederiveError(
      "not_found",
      `the table ${tableName(derived.table)} has no column ${column.name}, which ${derived.name} owns; migrate it first`,
      { details: { dataset: derived.name, column: column.name } },
    );
  });
}
