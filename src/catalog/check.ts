/**
 * Checks: rules that a derived dataset's partitions must satisfy, as plain values.
 *
 * A failed check of severity "error" holds what is downstream; one of severity "warn" is reported. Rows are those of
 * the partition just computed; a null never fails a rule about values, only `notNull` does. Rules about what values
 * mean (currencies, time zones, categories, units) are in rule.ts.
 */
import type { SQL } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import {
  type CheckOf,
  type CheckOptions,
  type ColumnOrColumns,
  checkOf,
  columnList,
  type FilterOptions,
  type Filters,
  filtersOf,
  namesOf,
  textOf,
} from "./check-of.ts";
import { columnsOfRule, isRule, type Rule } from "./rule.ts";

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

/** A sum, or the number of rows, is the same in the partition as in what it reads of an input. */
export interface ConservesCheck extends CheckOf, Filters {
  readonly kind: "conserves";
  /** The column that is summed up; undefined where rows are counted. */
  readonly column?: PgColumn;
  /** Handle of the input. */
  readonly input: string;
  /** Undefined where rows are counted. */
  readonly inputColumn?: PgColumn;
  /** How far the two may be apart. Default 0. */
  readonly tolerance: number;
}

/** What the columns refer to is there. */
export interface ForeignKeyCheck extends CheckOf {
  readonly kind: "foreignKey";
  readonly columns: readonly PgColumn[];
  /** As many columns, all of one table. */
  readonly references: readonly PgColumn[];
  /** Handle of the input in which the references are looked up; the live table of `references` where undefined. */
  readonly input?: string;
}

export type Cardinality = "oneToOne" | "oneToMany" | "manyToOne";

/** How many rows of an input belong to how many rows of the partition. */
export interface CardinalityCheck extends CheckOf, Filters {
  readonly kind: "cardinality";
  readonly is: Cardinality;
  readonly columns: readonly PgColumn[];
  readonly input: string;
  /** As many columns of the input's table. */
  readonly references: readonly PgColumn[];
}

/** A column never falls (or rises) along another one. */
export interface MonotonicCheck extends CheckOf {
  readonly kind: "monotonic";
  readonly column: PgColumn;
  readonly by: PgColumn;
  readonly within: readonly PgColumn[];
  readonly direction: "increasing" | "decreasing";
  readonly strict: boolean;
}

/** The newest value is not too old. */
export interface FreshnessCheck extends CheckOf {
  readonly kind: "freshness";
  readonly column: PgColumn;
  /** An interval as Postgres reads it, such as "2 days". */
  readonly maxAge: string;
  /** Handle and column with which the newest value is compared; the clock where undefined. */
  readonly input?: string;
  readonly inputColumn?: PgColumn;
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
  | ForeignKeyCheck
  | CardinalityCheck
  | MonotonicCheck
  | FreshnessCheck
  | SqlCheck
  | QueryCheck
  | Rule;

/** Bounds of which at least one is given. */
export interface RangeOptions extends CheckOptions {
  readonly min?: number | string;
  readonly max?: number | string;
}

export interface RowCountOptions extends CheckOptions {
  readonly min?: number;
  readonly max?: number;
}

export interface ConservesOptions extends ConservesCountOptions {
  /** Column of the input's table. */
  readonly column: PgColumn;
}

export interface ConservesCountOptions extends CheckOptions, FilterOptions {
  /** Handle of the input, as in `inputs`. */
  readonly input: string;
  /** How far the two may be apart, for example for sums of floating-point numbers. Default 0. */
  readonly tolerance?: number;
}

export interface ForeignKeyOptions extends CheckOptions {
  /** The column that is referred to, or as many as there are in the key, all of one table. */
  readonly references: ColumnOrColumns;
  /** Handle of the input in which to look. Default: the live table of `references`. */
  readonly input?: string;
}

export interface CardinalityOptions extends CheckOptions, FilterOptions {
  /** "oneToMany": one row of the input gives one or more rows here. "manyToOne": one or more give one, as in a sum. */
  readonly is: Cardinality;
  /** Handle of the input, as in `inputs`. */
  readonly input: string;
  /** The column of the input's table that has the same values, or as many as there are in the key. */
  readonly references: ColumnOrColumns;
}

export interface MonotonicOptions extends CheckOptions {
  /** What the rows are put in order by. */
  readonly by: PgColumn;
  /** Each combination of these columns is looked at by itself. Default: the whole partition together. */
  readonly within?: ColumnOrColumns;
  /** Default "increasing". */
  readonly direction?: "increasing" | "decreasing";
  /** Equal neighbours fail too. Default false. */
  readonly strict?: boolean;
}

export interface FreshnessOptions extends CheckOptions {
  /** How far the newest value may lie behind: a number and a unit, such as "90 minutes" or "2 days". */
  readonly maxAge: string;
  /** Handle of an input with whose newest `column` to compare. Default: the clock. */
  readonly input?: string;
  /** Column of the input's table; needed with `input`. */
  readonly column?: PgColumn;
}

/** No two rows of the dataset agree in all these columns; rows with a null in one of them do not count. */
function unique(...columns: readonly PgColumn[]): UniqueCheck {
  return Object.freeze({
    kind: "unique",
    ...checkOf("unique", namesOf(columns)),
    columns: Object.freeze([...columns]),
  });
}

/** None of these columns is null. */
function notNull(...columns: readonly PgColumn[]): NotNullCheck {
  return Object.freeze({
    kind: "notNull",
    ...checkOf("notNull", namesOf(columns)),
    columns: Object.freeze([...columns]),
  });
}

/** The column holds nothing but these values (and nulls). */
function accepted<Column extends PgColumn>(
  column: Column,
  values: readonly Extract<Column["_"]["data"], string | number | boolean>[],
  options: CheckOptions = {},
): AcceptedCheck {
  return Object.freeze({
    kind: "accepted",
    ...checkOf("accepted", [column.name], options),
    column,
    values: Object.freeze([...values]),
  });
}

/** The column lies between `min` and `max`, both inclusive; one of them may be left out. */
function range(column: PgColumn, options: RangeOptions): RangeCheck {
  const { min, max } = options;
  return Object.freeze({
    kind: "range",
    ...checkOf("range", [column.name], options),
    column,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
  });
}

/** The number of rows of each partition lies between `min` and `max`, both inclusive; one of them may be left out. */
function rowCount(options: RowCountOptions): RowCountCheck {
  const { min, max } = options;
  return Object.freeze({
    kind: "rowCount",
    ...checkOf("rowCount", [], options),
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
  });
}

/** The column's sum over a partition equals that of an input's column over all input rows that the partition reads. */
function conserves(column: PgColumn, options: ConservesOptions): ConservesCheck {
  return Object.freeze({
    kind: "conserves",
    ...checkOf("conserves", [column.name, `${options.input}.${options.column.name}`], options),
    column,
    input: options.input,
    inputColumn: options.column,
    tolerance: options.tolerance ?? 0,
    ...filtersOf(options),
  });
}

/** A partition has as many rows as it reads of an input. */
function conservesCount(options: ConservesCountOptions): ConservesCheck {
  return Object.freeze({
    kind: "conserves",
    ...checkOf("conservesCount", [options.input], options),
    input: options.input,
    tolerance: options.tolerance ?? 0,
    ...filtersOf(options),
  });
}

/**
 * What the columns refer to is there: among the rows that the partition reads of an input, or in a live table that
 * others write. A row with a null in one of the columns refers to nothing and passes.
 */
function foreignKey(columns: ColumnOrColumns, options: ForeignKeyOptions): ForeignKeyCheck {
  const own = columnList(columns);
  return Object.freeze({
    kind: "foreignKey",
    ...checkOf("foreignKey", namesOf(own), options),
    columns: own,
    references: columnList(options.references),
    ...(options.input === undefined ? {} : { input: options.input }),
  });
}

/**
 * Rows of the partition and rows of an input belong together by key as said: one to one, one input row to many rows, or
 * many input rows to one row. A key that is on one side alone fails too. Rows with a null in the key do not count.
 */
function cardinality(columns: ColumnOrColumns, options: CardinalityOptions): CardinalityCheck {
  const own = columnList(columns);
  return Object.freeze({
    kind: "cardinality",
    ...checkOf(options.is, [...namesOf(own), options.input], options),
    is: options.is,
    columns: own,
    input: options.input,
    references: columnList(options.references),
    ...filtersOf(options),
  });
}

/** Within a partition the column never falls (or never rises) when rows are put in order by another column. */
function monotonic(column: PgColumn, options: MonotonicOptions): MonotonicCheck {
  return Object.freeze({
    kind: "monotonic",
    ...checkOf("monotonic", [column.name], options),
    column,
    by: options.by,
    within: options.within === undefined ? Object.freeze([]) : columnList(options.within),
    direction: options.direction ?? "increasing",
    strict: options.strict ?? false,
  });
}

/**
 * The newest value of a date or time column is at most `maxAge` behind: behind the newest value that the partition reads
 * of an input, or behind the clock. The clock is asked once for the whole dataset, when all of its tasks are done.
 */
function freshness(column: PgColumn, options: FreshnessOptions): FreshnessCheck {
  return Object.freeze({
    kind: "freshness",
    ...checkOf("freshness", [column.name], options),
    column,
    maxAge: options.maxAge,
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.column === undefined ? {} : { inputColumn: options.column }),
  });
}

/** A condition that every row satisfies; null counts as satisfied, as in a CHECK constraint. */
function sql(name: string, expression: SQL | string, options: Pick<CheckOptions, "severity"> = {}): SqlCheck {
  return Object.freeze({ kind: "sql", name, severity: options.severity ?? "error", expression: textOf(expression) });
}

/**
 * A query whose rows are the failures, run for each partition. It may read `candidate` (the rows just computed, by
 * column name) and the inputs by their handles.
 */
function query(name: string, statement: SQL | string, options: Pick<CheckOptions, "severity"> = {}): QueryCheck {
  return Object.freeze({ kind: "query", name, severity: options.severity ?? "error", statement: textOf(statement) });
}

/** The same check or rule with severity "warn": reported, but nothing is held. */
function warn<C extends Check>(rule: C): C {
  const reported: C = { ...rule, severity: "warn" };
  return Object.freeze(reported);
}

export const check = Object.freeze({
  unique,
  notNull,
  accepted,
  range,
  rowCount,
  conserves,
  conservesCount,
  foreignKey,
  cardinality,
  monotonic,
  freshness,
  sql,
  query,
  warn,
});

/** The columns of the dataset's own table that a check is about. */
export function columnsOfCheck(rule: Check): readonly PgColumn[] {
  if (isRule(rule)) return columnsOfRule(rule);
  switch (rule.kind) {
    case "unique":
    case "notNull":
    case "foreignKey":
    case "cardinality":
      return rule.columns;
    case "accepted":
    case "range":
    case "freshness":
      return [rule.column];
    case "conserves":
      return rule.column === undefined ? [] : [rule.column];
    case "monotonic":
      return [rule.column, rule.by, ...rule.within];
    case "rowCount":
    case "sql":
    case "query":
      return [];
  }
}
