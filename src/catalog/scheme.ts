/**
 * Partition schemes: how a dataset is cut.
 *
 * A partition is one ordinal, a safe integer; where each begins is in bounds.ts, what people call it in label.ts.
 * Schemes are frozen plain values; what is wrong with one (an unknown zone, a width of 0) is not thrown but told by
 * `schemeFaults`, so that `defineCatalog` can report every fault at once.
 */
import type { PgColumn } from "drizzle-orm/pg-core";
import type { TimeUnit } from "./calendar.ts";
import type { Ranges } from "./ranges.ts";

/** Cut by time. Ordinals count hours, days, ISO weeks, months or years; ordinal 0 holds 1970-01-01. */
export interface TimeScheme<Column extends PgColumn = PgColumn> {
  readonly kind: "time";
  readonly unit: TimeUnit;
  /** IANA name. */
  readonly timeZone: string;
  readonly column: Column;
  readonly columnType: "timestamptz" | "timestamp" | "date";
}

/** Cut into spans of `width`; ordinal = floor(value / width). */
export interface RangeScheme<Column extends PgColumn = PgColumn> {
  readonly kind: "range";
  readonly column: Column;
  readonly width: number;
}

/** Cut by hash; ordinal = the first 8 hexadecimal digits of md5(column::text), modulo `buckets`. */
export interface HashScheme<Column extends PgColumn = PgColumn> {
  readonly kind: "hash";
  readonly column: Column;
  readonly buckets: number;
}

/** One partition a value; ordinal = index in `values`. */
export interface ListScheme<Column extends PgColumn = PgColumn> {
  readonly kind: "list";
  readonly column: Column;
  readonly values: readonly (string | number | boolean)[];
}

/** One partition, ordinal 0, that holds everything. */
export interface WholeScheme {
  readonly kind: "whole";
}

export type PartitionScheme<Column extends PgColumn = PgColumn> =
  | TimeScheme<Column>
  | RangeScheme<Column>
  | HashScheme<Column>
  | ListScheme<Column>
  | WholeScheme;

/** Schemes whose partitions lie in order on one axis. */
export type OrderedScheme = TimeScheme | RangeScheme;

export interface TimeOptions {
  /** IANA name, for example "Europe/Bratislava". Default "UTC". */
  readonly timeZone?: string;
}

/**
 * One partition an hour.
 *
 * Zone rule: on a `timestamptz` column, hours are those of UTC, whatever the zone. On a `timestamp` column (values of
 * the zone's wall clock), they are hours on that clock: an hour that occurs twice in autumn is one partition, an hour
 * that is left out in spring is an empty one. A `date` column cannot be cut by the hour.
 */
export function hourly<Column extends PgColumn>(column: Column, options: TimeOptions = {}): TimeScheme<Column> {
  return timeScheme("hour", column, options);
}

/**
 * One partition a day.
 *
 * Zone rule: on a `timestamptz` column, days run from local midnight to local midnight of the zone, so they last 23 or
 * 25 hours where the clock changes. On `timestamp` (values of the zone's wall clock) and `date` (calendar dates of the
 * zone), days are those that the values show.
 */
export function daily<Column extends PgColumn>(column: Column, options: TimeOptions = {}): TimeScheme<Column> {
  return timeScheme("day", column, options);
}

/**
 * One partition an ISO week, Monday to Sunday, labelled like 2001-W05.
 *
 * Zone rule: on a `timestamptz` column, weeks begin at local midnight of the zone on Monday. On `timestamp` (values of
 * the zone's wall clock) and `date` (calendar dates of the zone), at midnight as the values show it.
 */
export function weekly<Column extends PgColumn>(column: Column, options: TimeOptions = {}): TimeScheme<Column> {
  return timeScheme("week", column, options);
}

/**
 * One partition a calendar month.
 *
 * Zone rule: on a `timestamptz` column, months begin at local midnight of the zone on the first. On `timestamp` (values
 * of the zone's wall clock) and `date` (calendar dates of the zone), at midnight as the values show it.
 */
export function monthly<Column extends PgColumn>(column: Column, options: TimeOptions = {}): TimeScheme<Column> {
  return timeScheme("month", column, options);
}

/**
 * One partition a calendar year.
 *
 * Zone rule: on a `timestamptz` column, years begin at local midnight of the zone on 1 January. On `timestamp` (values
 * of the zone's wall clock) and `date` (calendar dates of the zone), at midnight as the values show it.
 */
export function yearly<Column extends PgColumn>(column: Column, options: TimeOptions = {}): TimeScheme<Column> {
  return timeScheme("year", column, options);
}

/** One partition for each span of `width` (a positive whole number): [0, width), [width, 2·width), … and below 0 too. */
export function range<Column extends PgColumn>(column: Column, width: number): RangeScheme<Column> {
  return Object.freeze({ kind: "range", column, width });
}

/**
 * `buckets` partitions (1 to 65,536) by a hash of the column's text. It is md5, not Postgres' own hash functions,
 * because those may change between major versions.
 */
export function hash<Column extends PgColumn>(column: Column, buckets: number): HashScheme<Column> {
  return Object.freeze({ kind: "hash", column, buckets });
}

/** One partition for each value, in this order. A row with another value is outside every partition. */
export function list<Column extends PgColumn>(
  column: Column,
  values: readonly (string | number | boolean)[],
): ListScheme<Column> {
  return Object.freeze({ kind: "list", column, values: Object.freeze([...values]) });
}

/** A single partition: for datasets that can only be computed at once, such as a ranking. */
export function whole(): WholeScheme {
  return Object.freeze({ kind: "whole" });
}

function timeScheme<Column extends PgColumn>(unit: TimeUnit, column: Column, options: TimeOptions): TimeScheme<Column> {
  const columnType = timeTypeOf(column) ?? "timestamptz";
  return Object.freeze({ kind: "time", unit, timeZone: options.timeZone ?? "UTC", column, columnType });
}

/** How a column tells time; undefined for a column that tells none. */
export function timeTypeOf(column: PgColumn): TimeScheme["columnType"] | undefined {
  const type = column.getSQLType();
  if (/^timestamp(tz| ?\(\d\) with time zone| with time zone)/.test(type)) return "timestamptz";
  if (/^timestamp/.test(type)) return "timestamp";
  return type === "date" ? "date" : undefined;
}

/** Every partition of a scheme that has a fixed number of them (hash, list, whole); undefined for the others. */
export function fixedExtent(scheme: PartitionScheme): Ranges | undefined {
  switch (scheme.kind) {
    case "hash":
      return [[0, scheme.buckets]];
    case "list":
      return [[0, scheme.values.length]];
    case "whole":
      return [[0, 1]];
    case "time":
    case "range":
      return undefined;
  }
}

/** The scheme as plain JSON, for fingerprints: a difference here means that ordinals mean something else. */
export function shapeOf(scheme: PartitionScheme): Record<string, unknown> {
  switch (scheme.kind) {
    case "time": {
      const { kind, unit, timeZone, columnType } = scheme;
      return { kind, unit, timeZone, columnType, column: scheme.column.name };
    }
    case "range":
      return { kind: scheme.kind, column: scheme.column.name, width: scheme.width };
    case "hash":
      return { kind: scheme.kind, column: scheme.column.name, buckets: scheme.buckets };
    case "list":
      return { kind: scheme.kind, column: scheme.column.name, values: [...scheme.values] };
    case "whole":
      return { kind: scheme.kind };
  }
}

/** How a scheme of each unit is written. */
export const adverbs: Readonly<Record<TimeUnit, string>> = {
  hour: "hourly",
  day: "daily",
  week: "weekly",
  month: "monthly",
  year: "yearly",
};

/** A scheme as it was written, for messages: `daily(day, Europe/Bratislava)`. */
export function describeScheme(scheme: PartitionScheme): string {
  switch (scheme.kind) {
    case "time":
      return `${adverbs[scheme.unit]}(${scheme.column.name}, ${scheme.timeZone})`;
    case "range":
      return `range(${scheme.column.name}, ${scheme.width})`;
    case "hash":
      return `hash(${scheme.column.name}, ${scheme.buckets})`;
    case "list":
      return `list(${scheme.column.name}, ${scheme.values.length} values)`;
    case "whole":
      return "whole()";
  }
}
