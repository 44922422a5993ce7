/**
 * Checks: rules that a derived dataset's partitions must satisfy, as plain values.
 *
 * A failed check of severity "error" holds what is downstream; one of severity "warn" is reported. Rows are those of
 * the partition just computed; a null never fails a rule about values, only `notNull` does.
 */
import { sql as drizzleSql, type SQL } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import { expressionText } from "./literal.ts";

export type CheckSeverity = "error" | "warn";

interface CheckOf {
  /** Unique within a dataset; the name under which results are stored. */
  readonly name: string;
  readonly severity: CheckSeverity;
}

/** No two rows agree in all these columns. */
export interface UniqueCheck extends CheckOf {
  readonly kind: "unique";
  readonly columns: readonly PgColumn[];
}

/** None of these columns is null. */
export interface NotNullCheck extends CheckOf {
  readonly kind: "notNull";
  readonly columns: readonly PgColumn[];
}

/** The column holds nothing but these values. */
export interface AcceptedCheck extends CheckOf {
  readonly kind: "accepted";
  readonly column: PgColumn;
  readonly values: readonly (string | number | boolean)[];
}

/** The column lies within bounds, both inclusive. Text is read by Postgres as a value of the column's type. */
export interface RangeCheck extends CheckOf {
  readonly kind: "range";
  readonly column: PgColumn;
  readonly min?: number | string;
  readonly max?: number | string;
}

/** The number of rows of a partition lies within bounds, both inclusive. */
export interface RowCountCheck extends CheckOf {
  readonly kind: "rowCount";
  readonly min?: number;
  readonly max?: number;
}

/** The column's sum over the partition equals that of an input's column over what the partition reads. */
export interface ConservesCheck extends CheckOf {
  readonly kind: "conserves";
  readonly column: PgColumn;
  /** Handle of the input. */
  readonly input: string;
  readonly inputColumn: PgColumn;
  /** How far the sums may be apart. Default 0. */
  readonly tolerance: number;
}

/** A condition that every row satisfies. */
export interface SqlCheck extends CheckOf {
  readonly kind: "sql";
  /** SQL over the owned columns by their quoted names, literals inline. */
  readonly expression: string;
}

/** A query whose rows are the failures. */
export interface QueryCheck extends CheckOf {
  readonly kind: "query";
  /** May read `candidate` (the rows just computed) and the inputs by their handles. */
  readonly statement: string;
}

export type Check =
  | UniqueCheck
  | NotNullCheck
  | AcceptedCheck
  | RangeCheck
  | RowCountCheck
  | ConservesCheck
  | SqlCheck
  | QueryCheck;

/** Options of every check. */
export interface CheckOptions {
  /** Default "error". */
  readonly severity?: CheckSeverity;
  /** Default: made of the kind and the columns. */
  readonly name?: string;
}

/** Bounds of which at least one is given. */
export interface RangeOptions extends CheckOptions {
  readonly min?: number | string;
  readonly max?: number | string;
}

export interface RowCountOptions extends CheckOptions {
  readonly min?: number;
  readonly max?: number;
}

export interface ConservesOptions extends CheckOptions {
  /** Handle of the input, as in `inputs`. */
  readonly input: string;
  /** Column of the input's table. */
  readonly column: PgColumn;
  /** How far the sums may be apart, for floating-point columns. Default 0. */
  readonly tolerance?: number;
}

/** No two rows of the dataset agree in all these columns; rows with a null in one of them do not count. */
function unique(...columns: readonly PgColumn[]): UniqueCheck {
  return freeze({ kind: "unique", ...named("unique", columns), columns: Object.freeze([...columns]) });
}

/** None of these columns is null. */
function notNull(...columns: readonly PgColumn[]): NotNullCheck {
  return freeze({ kind: "notNull", ...named("notNull", columns), columns: Object.freeze([...columns]) });
}

/** The column holds nothing but these values (and nulls). */
function accepted<Column extends PgColumn>(
  column: Column,
  values: readonly Extract<Column["_"]["data"], string | number | boolean>[],
  options: CheckOptions = {},
): AcceptedCheck {
  return freeze({
    kind: "accepted",
    ...named("accepted", [column], options),
    column,
    values: Object.freeze([...values]),
  });
}

/** The column lies between `min` and `max`, both inclusive; one of them may be left out. */
function range(column: PgColumn, options: RangeOptions): RangeCheck {
  const { min, max } = options;
  return freeze({
    kind: "range",
    ...named("range", [column], options),
    column,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
  });
}

/** The number of rows of each partition lies between `min` and `max`, both inclusive; one of them may be left out. */
function rowCount(options: RowCountOptions): RowCountCheck {
  const { min, max } = options;
  return freeze({
    kind: "rowCount",
    ...named("rowCount", [], options),
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
  });
}

/** The column's sum over a partition equals that of an input's column over all input rows that the partition reads. */
function conserves(column: PgColumn, options: ConservesOptions): ConservesCheck {
  const name = options.name ?? `conserves(${column.name}, ${options.input}.${options.column.name})`;
  return freeze({
    kind: "conserves",
    name,
    severity: options.severity ?? "error",
    column,
    input: options.input,
    inputColumn: options.column,
    tolerance: options.tolerance ?? 0,
  });
}

/** A condition that every row satisfies; null counts as satisfied, as in a CHECK constraint. */
function sql(name: string, expression: SQL | string, options: Pick<CheckOptions, "severity"> = {}): SqlCheck {
  return freeze({ kind: "sql", name, severity: options.severity ?? "error", expression: textOf(expression) });
}

/**
 * A query whose rows are the failures, run for each partition. It may read `candidate` (the rows just computed, by
 * column name) and the inputs by their handles.
 */
function query(name: string, statement: SQL | string, options: Pick<CheckOptions, "severity"> = {}): QueryCheck {
  return freeze({ kind: "query", name, severity: options.severity ?? "error", statement: textOf(statement) });
}

/** The same check with severity "warn": reported, but nothing is held. */
function warn<C extends Check>(rule: C): C {
  return freeze({ ...rule, severity: "warn" });
}

export const check = Object.freeze({ unique, notNull, accepted, range, rowCount, conserves, sql, query, warn });

function named(kind: Check["kind"], columns: readonly PgColumn[], options: CheckOptions = {}): CheckOf {
  const name = columns.length === 0 ? kind : `${kind}(${columns.map((column) => column.name).join(", ")})`;
  return { name: options.name ?? name, severity: options.severity ?? "error" };
}

function textOf(text: SQL | string): string {
  return expressionText(typeof text === "string" ? drizzleSql.raw(text) : text);
}

function freeze<T>(value: T): T {
  return Object.freeze(value);
}

/** The columns of the dataset's own table that a check is about. */
export function columnsOfCheck(rule: Check): readonly PgColumn[] {
  switch (rule.kind) {
    case "unique":
    case "notNull":
      return rule.columns;
    case "accepted":
    case "range":
    case "conserves":
      return [rule.column];
    case "rowCount":
    case "sql":
    case "query":
      return [];
  }
}
