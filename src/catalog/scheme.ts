/**
 * Partition schemes: how a dataset is cut, and the arithmetic of its slices.
 *
 * A partition is one ordinal, a safe integer. Schemes are frozen plain values; what is wrong with one (an unknown zone,
 * a width of 0) is not thrown but told by `schemeFaults`, so that `defineCatalog` can report every fault at once.
 */
import type { PgColumn } from "drizzle-orm/pg-core";
import { RederiveError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";
import { isTimeZone, startOfUnit, type TimeUnit, toInstant, toWall, unitAt } from "./calendar.ts";
import { formatDate, formatInstant, formatWall, labelOfTime, parseMoment } from "./moment.ts";
import { type Range, type Ranges, size } from "./ranges.ts";

export type { TimeUnit } from "./calendar.ts";

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

/** Half-open, as text literals that Postgres reads for the column's type: `from` is in, `to` is not. */
export interface Bounds {
  readonly from: string;
  readonly to: string;
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

function timeTypeOf(column: PgColumn): TimeScheme["columnType"] | undefined {
  const type = column.getSQLType();
  if (/^timestamp(tz| ?\(\d\) with time zone| with time zone)/.test(type)) return "timestamptz";
  if (/^timestamp/.test(type)) return "timestamp";
  return type === "date" ? "date" : undefined;
}

/** Bounds of one partition: instants ending in Z for timestamptz, wall times for timestamp, dates, or whole numbers. */
export function boundsOf(scheme: OrderedScheme, ordinal: number): Bounds {
  return boundsOfRange(scheme, [ordinal, ordinal + 1]);
}

/** Bounds of several partitions that follow each other. */
export function boundsOfRange(scheme: OrderedScheme, [from, to]: Range): Bounds {
  return { from: boundaryOf(scheme, from), to: boundaryOf(scheme, to) };
}

/** The lower bound of a partition as text. */
function boundaryOf(scheme: OrderedScheme, ordinal: number): string {
  if (scheme.kind === "range") return (BigInt(ordinal) * BigInt(scheme.width)).toString();
  switch (scheme.columnType) {
    case "timestamptz":
      return formatInstant(startOf(scheme, ordinal));
    case "timestamp":
      return formatWall(startOfUnit(scheme.unit, ordinal));
    case "date":
      return formatDate(startOfUnit(scheme.unit, ordinal));
  }
}

/** The zone in which the units of a scheme are counted: hours of instants are those of UTC. */
export function countingZone(scheme: TimeScheme): string {
  return scheme.unit === "hour" && scheme.columnType === "timestamptz" ? "UTC" : scheme.timeZone;
}

/** Beginning of a partition as an instant in milliseconds. Equal to that of the next one where the clock left it out. */
export function startOf(scheme: TimeScheme, ordinal: number): number {
  return toInstant(countingZone(scheme), startOfUnit(scheme.unit, ordinal));
}

/** The partition that holds an instant. */
export function ordinalAtInstant(scheme: TimeScheme, instant: number): number {
  let ordinal = unitAt(scheme.unit, toWall(countingZone(scheme), instant));
  // Where the clock goes back over midnight, the wall shows the old day again although the new one has begun.
  while (startOf(scheme, ordinal + 1) <= instant) ordinal += 1;
  while (startOf(scheme, ordinal) > instant) ordinal -= 1;
  return ordinal;
}

/**
 * The partition that holds a value, given as Postgres prints it (ISO DateStyle, UTC) or as ISO 8601. A time without an
 * offset is a wall time of the scheme's zone. Throws `usage` for text that is no such value.
 */
export function ordinalAt(scheme: OrderedScheme, valueText: string): number {
  if (scheme.kind === "range") return spanAt(scheme, valueText);
  const moment = parseMoment(valueText);
  if (moment === undefined) {
    throw new RederiveError(
      "usage",
      `"${valueText}" is no date or time; write it like 2001-01-31 or 2001-01-31T05:00Z`,
    );
  }
  if (scheme.columnType === "timestamptz") return ordinalAtInstant(scheme, instantOf(scheme, moment));
  return unitAt(scheme.unit, wallIn(scheme, moment));
}

type Moment = NonNullable<ReturnType<typeof parseMoment>>;

function instantOf(scheme: TimeScheme, moment: Moment): number {
  return moment.kind === "instant" ? moment.ms : toInstant(scheme.timeZone, moment.ms);
}

function wallIn(scheme: TimeScheme, moment: Moment): number {
  return moment.kind === "wall" ? moment.ms : toWall(scheme.timeZone, moment.ms);
}

function spanAt(scheme: RangeScheme, valueText: string): number {
  const text = valueText.trim();
  const match = /^(-?\d+)(?:\.(\d*))?$/.exec(text);
  if (match === null) throw new RederiveError("usage", `"${valueText}" is no number; write it like 1000`);
  const width = BigInt(scheme.width);
  let value = BigInt(match[1] ?? "0");
  // floor(-0.5) is -1, not 0: a fraction takes a negative number further down.
  if (text.startsWith("-") && /[1-9]/.test(match[2] ?? "")) value -= 1n;
  const quotient = value / width;
  return Number(value % width < 0n ? quotient - 1n : quotient);
}

/** What people call a partition: 2001-01-31, 2001-01, 2001, 2001-W05, 2001-01-31T05Z, [0,1000), bucket 3, EUR, all. */
export function labelOf(scheme: PartitionScheme, ordinal: number): string {
  switch (scheme.kind) {
    case "time": {
      const label = labelOfTime(scheme.unit, startOfUnit(scheme.unit, ordinal));
      return scheme.unit === "hour" && scheme.columnType === "timestamptz" ? `${label}Z` : label;
    }
    case "range":
      return `[${boundaryOf(scheme, ordinal)},${boundaryOf(scheme, ordinal + 1)})`;
    case "hash":
      return `bucket ${ordinal}`;
    case "list":
      return String(scheme.values[ordinal] ?? `value ${ordinal}`);
    case "whole":
      return "all";
  }
}

/**
 * The partition with this label, as `labelOf` writes it. A date, a time or a number that begins a partition is taken
 * too. Throws `not_found` for anything else.
 */
export function parsePartition(scheme: PartitionScheme, label: string): number {
  const ordinal =
    scheme.kind === "time" || scheme.kind === "range" ? orderedLabel(scheme, label) : fixedLabel(scheme, label);
  if (ordinal !== undefined) return ordinal;
  const example = labelOf(scheme, 0);
  throw new RederiveError(
    "not_found",
    `no partition "${label}" in ${describeScheme(scheme)}; labels look like ${example}`,
  );
}

function orderedLabel(scheme: OrderedScheme, label: string): number | undefined {
  const bound = scheme.kind === "range" ? (/^\[(-?\d+),-?\d+\)$/.exec(label)?.[1] ?? label) : label;
  const boundary = nearestBoundary(scheme, bound);
  if (boundary === undefined || !boundary.exact) return undefined;
  const given = label.startsWith("[") && labelOf(scheme, boundary.ordinal) !== label;
  return given ? undefined : boundary.ordinal;
}

function fixedLabel(scheme: HashScheme | ListScheme | WholeScheme, label: string): number | undefined {
  if (scheme.kind === "whole") return label === "all" ? 0 : undefined;
  if (scheme.kind === "list") {
    const index = scheme.values.findIndex((value) => String(value) === label);
    return index < 0 ? undefined : index;
  }
  const bucket = /^(?:bucket )?(\d{1,6})$/.exec(label)?.[1];
  return bucket !== undefined && Number(bucket) < scheme.buckets ? Number(bucket) : undefined;
}

/**
 * The partitions from `from` to `to`, half-open. Bounds are dates, times, labels (2001-01 stands for its beginning) or
 * whole numbers, read in the scheme's zone. A window is never widened: a bound inside a partition is refused with
 * `usage`, naming the boundaries on both sides, and so is any window over a scheme without an order.
 */
export function parseWindow(scheme: PartitionScheme, window: { readonly from: string; readonly to: string }): Ranges {
  if (scheme.kind !== "time" && scheme.kind !== "range") {
    const message = `a window needs an order, and ${describeScheme(scheme)} has none; name partitions instead`;
    throw new RederiveError("usage", message);
  }
  const from = exactBoundary(scheme, "from", window.from);
  const to = exactBoundary(scheme, "to", window.to);
  if (from < to) return [[from, to]];
  const message = `the window from ${window.from} to ${window.to} is empty; "to" is exclusive and must be later than "from"`;
  throw new RederiveError("usage", message);
}

function exactBoundary(scheme: OrderedScheme, side: "from" | "to", text: string): number {
  const boundary = nearestBoundary(scheme, text);
  if (boundary === undefined) {
    const example = scheme.kind === "time" ? "2001-01-31 or 2001-01-31T05:00Z" : "1000";
    throw new RederiveError(
      "usage",
      `"${side}" is "${text}", which is no bound of ${describeScheme(scheme)}; write ${example}`,
    );
  }
  if (boundary.exact) return boundary.ordinal;
  const { from: earlier, to: later } = boundsOf(scheme, boundary.ordinal);
  const message = `"${side}" is ${text}, inside the partition ${labelOf(scheme, boundary.ordinal)} of ${describeScheme(scheme)}; `;
  throw new RederiveError("usage", `${message}the nearest boundaries are ${earlier} and ${later}`, {
    details: { bound: side, earlier, later },
  });
}

/** The partition that a bound lies in, and whether it is that partition's beginning; undefined for unreadable text. */
function nearestBoundary(scheme: OrderedScheme, text: string): { ordinal: number; exact: boolean } | undefined {
  if (scheme.kind === "range") {
    if (!/^-?\d+(\.\d+)?$/.test(text.trim())) return undefined;
    const ordinal = spanAt(scheme, text);
    const exact = boundaryOf(scheme, ordinal) === text.trim().replace(/\.0+$/, "").replace(/^-0$/, "0");
    return { ordinal, exact };
  }
  const moment = parseMoment(text);
  if (moment === undefined) return undefined;
  // Wall times are compared as such, so that a day which the zone left out can still be named.
  if (moment.kind === "wall" && countingZone(scheme) === scheme.timeZone) {
    const ordinal = unitAt(scheme.unit, moment.ms);
    return { ordinal, exact: moment.whole && startOfUnit(scheme.unit, ordinal) === moment.ms };
  }
  if (scheme.columnType === "timestamptz") {
    const instant = instantOf(scheme, moment);
    const ordinal = ordinalAtInstant(scheme, instant);
    return { ordinal, exact: moment.whole && startOf(scheme, ordinal) === instant };
  }
  const wall = wallIn(scheme, moment);
  const ordinal = unitAt(scheme.unit, wall);
  return { ordinal, exact: moment.whole && startOfUnit(scheme.unit, ordinal) === wall };
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

const adverbs: Readonly<Record<TimeUnit, string>> = {
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

/** Partitions as people read them: one label, or `2001-01-01 to 2001-01-31 (31)`, at most three ranges. */
export function describePartitions(scheme: PartitionScheme, ranges: Ranges): string {
  const shown = ranges.slice(0, 3).map((part) => {
    const [from, to] = part;
    if (to - from === 1) return labelOf(scheme, from);
    return `${labelOf(scheme, from)} to ${labelOf(scheme, to - 1)} (${size([part])})`;
  });
  const more = ranges.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more ranges` : shown.join(", ");
}

/** What is wrong with a scheme, one sentence each; empty when it can be used. */
export function schemeFaults(scheme: PartitionScheme): string[] {
  switch (scheme.kind) {
    case "time":
      return timeFaults(scheme);
    case "range":
      return rangeFaults(scheme);
    case "hash": {
      const usable = Number.isInteger(scheme.buckets) && scheme.buckets >= 1 && scheme.buckets <= 65_536;
      return usable ? [] : [`buckets is ${scheme.buckets}; give a whole number from 1 to 65536`];
    }
    case "list":
      return listFaults(scheme);
    case "whole":
      return [];
  }
}

function timeFaults(scheme: TimeScheme): string[] {
  const faults: string[] = [];
  const type = timeTypeOf(scheme.column);
  if (type === undefined) {
    const seen = `${scheme.column.name} is ${scheme.column.getSQLType()}`;
    faults.push(`${seen}; ${adverbs[scheme.unit]} needs a timestamptz, timestamp or date column`);
  } else if (type === "date" && scheme.unit === "hour") {
    faults.push(`${scheme.column.name} is a date, which has no hours; use daily(${scheme.column.name})`);
  }
  if (!isTimeZone(scheme.timeZone)) {
    const hint = didYouMean(scheme.timeZone, ["UTC", ...Intl.supportedValuesOf("timeZone")]);
    faults.push(`unknown time zone "${scheme.timeZone}"${hint}; give an IANA name such as Europe/Bratislava`);
  }
  return faults;
}

function rangeFaults(scheme: RangeScheme): string[] {
  const faults: string[] = [];
  const type = scheme.column.getSQLType();
  if (!/^(small|big)?(int|serial)|^integer|^numeric|^decimal|^real|^double/.test(type)) {
    faults.push(`${scheme.column.name} is ${type}; range needs a number column`);
  }
  if (!Number.isSafeInteger(scheme.width) || scheme.width < 1) {
    faults.push(`width is ${scheme.width}; give a whole number of at least 1`);
  }
  return faults;
}

function listFaults(scheme: ListScheme): string[] {
  if (scheme.values.length === 0) return ["values is empty; name at least one value"];
  const texts = scheme.values.map(String);
  const repeated = [...new Set(texts.filter((text, index) => texts.indexOf(text) !== index))];
  return repeated.map((text) => `value "${text}" is listed twice; name each value once`);
}
