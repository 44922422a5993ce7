/** What every check and rule has: a name, a severity, and SQL that is kept as text. */
import { sql as drizzleSql, type SQL } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import { expressionText } from "./literal.ts";

export type CheckSeverity = "error" | "warn";

export interface CheckOf {
  /** Unique within a dataset; the name under which results are stored. */
  readonly name: string;
  readonly severity: CheckSeverity;
}

/** Options of every check. */
export interface CheckOptions {
  /** Default "error". */
  readonly severity?: CheckSeverity;
  /** Default: made of the kind and the columns. */
  readonly name?: string;
}

/** One column, or several that count together. */
export type ColumnOrColumns = PgColumn | readonly PgColumn[];

/** Rows that take part, as conditions over bare column names; undefined where all do. */
export interface Filters {
  readonly where?: string;
  readonly inputWhere?: string;
}

export interface FilterOptions {
  /** Only these rows of the dataset take part. Default: all. */
  readonly where?: SQL | string;
  /** Only these rows of the input take part. Default: all. */
  readonly inputWhere?: SQL | string;
}

/** The given name, or one made of the kind and what it is about. */
export function checkOf(kind: string, about: readonly string[], options: CheckOptions = {}): CheckOf {
  const made = about.length === 0 ? kind : `${kind}(${about.join(", ")})`;
  return { name: options.name ?? made, severity: options.severity ?? "error" };
}

export function namesOf(columns: readonly PgColumn[]): string[] {
  return columns.map((column) => column.name);
}

export function columnList(columns: ColumnOrColumns): readonly PgColumn[] {
  return Object.freeze([columns].flat());
}

export function filtersOf({ where, inputWhere }: FilterOptions): Filters {
  return {
    ...(where === undefined ? {} : { where: textOf(where) }),
    ...(inputWhere === undefined ? {} : { inputWhere: textOf(inputWhere) }),
  };
}

/** SQL over bare column names with its literals inline. */
export function textOf(text: SQL | string): string {
  return expressionText(typeof text === "string" ? drizzleSql.raw(text) : text);
}
