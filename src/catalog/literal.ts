/**
 * drizzle's SQL as self-contained text: a transform runs inside larger statements, so it cannot carry parameters.
 *
 * Literals are made in place of placeholders by drizzle itself, not by replacing `$1` in finished text, where a `$1`
 * inside a quoted string could be hit. They are what the same value would mean as a parameter.
 */
import { is, Param, Placeholder, type SQL } from "drizzle-orm";
import { PgDialect, QueryBuilder } from "drizzle-orm/pg-core";
import { RederiveError } from "../errors.ts";

class LiteralDialect extends PgDialect {
  override escapeParam(_position: number, value?: unknown): string {
    return literalOf(value);
  }
}

const dialect = new LiteralDialect();

/** drizzle's query builder without a connection: what `select` and `read` get as `db`. */
export const queryBuilder = new QueryBuilder(dialect);

/** A statement with every parameter as a literal. Throws `catalog_invalid` for a value that has no safe literal. */
export function statementText(statement: SQL): string {
  return dialect.sqlToQuery(statement).sql;
}

/** An expression over one table, its columns by their bare names, every parameter as a literal. */
export function expressionText(expression: SQL): string {
  return dialect.sqlToQuery(expression, "indexes").sql;
}

function literalOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return textLiteral(value);
  if (typeof value === "number") return numberLiteral(value);
  if (typeof value === "bigint") return signed(value.toString());
  if (typeof value === "boolean") return String(value);
  return objectLiteral(value);
}

/** In parentheses where negative: `1-${-1}` must not become a comment. */
function signed(digits: string): string {
  return digits.startsWith("-") ? `(${digits})` : digits;
}

function numberLiteral(value: number): string {
  return Number.isFinite(value) ? signed(String(value)) : `'${value}'::float8`;
}

function textLiteral(value: string): string {
  if (value.includes("\0")) throw unsupported("a text with a null character, which Postgres cannot hold");
  return dialect.escapeString(value);
}

function objectLiteral(value: unknown): string {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw unsupported("an invalid Date");
    return `${textLiteral(value.toISOString())}::timestamptz`;
  }
  if (value instanceof Uint8Array) return `'\\x${Buffer.from(value).toString("hex")}'::bytea`;
  if (Array.isArray(value))
    throw unsupported("an array; list its values in an array[…] of sql, or use inArray(column, values)");
  if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return textLiteral(JSON.stringify(value));
  }
  // drizzle hands a placeholder over as it is, or inside the parameter that it stands for.
  if (is(value, Placeholder) || is(value, Param)) throw unsupported("a placeholder, but a transform has no parameters");
  const name = typeof value === "object" ? value?.constructor?.name : typeof value;
  throw unsupported(`a value of type ${name ?? "object"}`);
}

function unsupported(what: string): RederiveError {
  return new RederiveError(
    "catalog_invalid",
    `the SQL holds ${what}; give text, a number, a boolean, a bigint or a Date`,
  );
}
