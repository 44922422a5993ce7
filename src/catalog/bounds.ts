/**
 * Where the partitions of an ordered scheme begin, and in which one a value lies.
 *
 * Units of time are counted on the wall clock of a zone (calendar.ts), so that a day may last 23 or 25 hours; spans of
 * numbers are counted in whole numbers of any size.
 */
import { RederiveError } from "../errors.ts";
import { startOfUnit, toInstant, toWall, unitAt } from "./calendar.ts";
import { formatDate, formatInstant, formatWall, parseMoment } from "./moment.ts";
import type { Range } from "./ranges.ts";
import type { OrderedScheme, RangeScheme, TimeScheme } from "./scheme.ts";

/** Half-open, as text literals that Postgres reads for the column's type: `from` is in, `to` is not. */
export interface Bounds {
  readonly from: string;
  readonly to: string;
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

/** The partition that a bound lies in, and whether it is that partition's beginning; undefined for unreadable text. */
export function nearestBoundary(scheme: OrderedScheme, text: string): { ordinal: number; exact: boolean } | undefined {
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
