/**
 * Transforms from what the user's functions return to plain text: handles in, statement, columns and decoders out.
 *
 * A handle is a drizzle common table expression of which only the name is used: the warehouse binds it anew for every
 * task. So a user must not put it into a `with` of their own, and doing so is refused while the text is made.
 */
import { Column, getTableColumns, is, SQL, type SQLWrapper, Subquery, sql } from "drizzle-orm";
import type { PgColumn, PgTable } from "drizzle-orm/pg-core";
import { RederiveError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";
import { queryBuilder, statementText } from "./literal.ts";
import type { Input, MapTransform, SelectTransform } from "./model.ts";

/** What `select` and `read` are called with: `db` and one handle an input, showing the columns that can be read. */
export function handlesOf(inputs: readonly Input[]): Record<string, unknown> {
  const handles = inputs.map((input) => [input.name, handleOf(input)] as const);
  return { ...Object.fromEntries(handles), db: queryBuilder };
}

function handleOf({ name, dataset }: Input): unknown {
  const columns = Object.entries<PgColumn>(getTableColumns(dataset.table));
  const owned = dataset.kind === "derived" ? new Set(dataset.owned.map((column) => column.name)) : undefined;
  const readable = columns.filter(([, column]) => owned?.has(column.name) ?? true);
  const body = sql`${new UnboundBody(name)}`;
  return queryBuilder.$with(name, Object.fromEntries(readable)).as(body);
}

/** Stands where a handle's own SQL would be. The warehouse supplies that, so its being asked for is a mistake. */
class UnboundBody implements SQLWrapper {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  getSQL(): SQL {
    const message = `with(${this.#name}) is not needed: the handle ${this.#name} is defined already; start with db.select(...)`;
    throw new RederiveError("catalog_invalid", message);
  }
}

/** Throws `catalog_invalid` for what is neither raw SQL nor a query over exactly the owned columns. */
export function compileSelect(table: PgTable, owned: readonly PgColumn[], query: unknown): SelectTransform {
  if (is(query, SQL)) return Object.freeze({ kind: "select", statement: statementText(query), columns: undefined });
  const statement = textOf("select", query);
  const properties = Object.entries<PgColumn>(getTableColumns(table));
  const columns = Object.keys(fieldsOf(query)).map((property) => {
    const column = properties.find(([name]) => name === property)?.[1];
    if (column !== undefined && owned.some((other) => other.name === column.name)) return column.name;
    const names = properties.map(([name]) => name);
    throw fault(`select gives ${property}, which is no owned column${didYouMean(property, names)}`);
  });
  const missing = owned.filter((column) => !columns.includes(column.name)).map((column) => column.name);
  if (missing.length > 0)
    throw fault(`select does not give ${missing.join(", ")}; every owned column needs an expression`);
  return Object.freeze({ kind: "select", statement, columns: Object.freeze(columns) });
}

/** Throws `catalog_invalid` for what is no drizzle query with a flat selection. */
export function compileRead(query: unknown, map: MapTransform["map"]): MapTransform {
  const statement = textOf("read", query);
  const fields = Object.entries(fieldsOf(query)).map(([name, field]) =>
    Object.freeze({ name, decode: decoderOf(name, field) }),
  );
  return Object.freeze({ kind: "map", statement, fields: Object.freeze(fields), map });
}

interface BuiltQuery extends SQLWrapper {
  readonly _: { readonly config: { readonly fields: Record<string, unknown> } };
}

function isBuiltQuery(value: unknown): value is BuiltQuery {
  if (typeof value !== "object" || value === null || !("getSQL" in value) || !("_" in value)) return false;
  const config = (value as { _: { config?: { fields?: unknown } } })._.config;
  return typeof config?.fields === "object";
}

function textOf(part: "select" | "read", query: unknown): string {
  if (isBuiltQuery(query)) return statementText(query.getSQL());
  const accepted = part === "select" ? "db.select({ … }).from(…) or sql`…`" : "db.select({ … }).from(…)";
  throw fault(`${part} returned ${query === null ? "null" : typeof query}; return ${accepted}`);
}

function fieldsOf(query: unknown): Record<string, unknown> {
  return (query as BuiltQuery)._.config.fields;
}

type Decode = (value: unknown) => unknown;

/**
 * As drizzle decodes a row: by the column, or by the decoder that `mapWith` gave to an expression. A column of a handle is
 * a proxy, so it is asked for its decoder once and not for every value.
 */
function decoderOf(name: string, field: unknown): Decode {
  if (is(field, Column)) {
    const decoder: { readonly mapFromDriverValue: unknown } = Column.prototype;
    return Reflect.get(field, "mapFromDriverValue") === decoder.mapFromDriverValue
      ? asIs
      : field.mapFromDriverValue.bind(field);
  }
  if (is(field, SQL)) return sqlDecoder(field);
  if (is(field, SQL.Aliased)) return sqlDecoder(field.sql);
  if (is(field, Subquery)) return sqlDecoder(field._.sql);
  throw fault(`read gives a group of columns as ${name}; name each column in db.select({ … })`);
}

function asIs(value: unknown): unknown {
  return value;
}

/** drizzle keeps an expression's decoder out of its published types. */
function sqlDecoder(expression: SQL): Decode {
  const { decoder } = expression as SQL & { readonly decoder: { mapFromDriverValue(value: unknown): unknown } };
  return (value) => decoder.mapFromDriverValue(value);
}

function fault(message: string): RederiveError {
  return new RederiveError("catalog_invalid", message);
}
