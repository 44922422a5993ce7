/** Dates and times as text: what Postgres prints and reads, ISO 8601, and the labels of partitions. */
import { dayMs, startOfUnit, type TimeUnit, unitAt, wallOf } from "./calendar.ts";

/** An instant, or a wall time that needs a zone. `whole` is false when text finer than a millisecond was cut off. */
export interface Moment {
  readonly kind: "instant" | "wall";
  readonly ms: number;
  readonly whole: boolean;
}

const datePattern = /^(\d{4,6})(?:-(\d{2})(?:-(\d{2}))?)?$/;
const weekPattern = /^(\d{4,6})-W(\d{2})$/;
const timePattern = /^(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)?$/;

/**
 * Reads 2001-01-31T05:00:00Z, `2001-01-31 05:00:00+00` as Postgres prints it, wall times without an offset, dates, and
 * the labels 2001-01-31T05Z, 2001-W05, 2001-01 and 2001, which stand for their beginning. Undefined for all else.
 */
export function parseMoment(text: string): Moment | undefined {
  const trimmed = text.trim();
  const week = weekPattern.exec(trimmed);
  if (week !== null) return momentOfWeek(Number(week[1]), Number(week[2]));
  const [datePart = "", timePart] = trimmed.split(/[T ](.*)/s);
  const date = datePattern.exec(datePart);
  if (date === null) return undefined;
  const [year, month, day] = [Number(date[1]), Number(date[2] ?? 1), Number(date[3] ?? 1)];
  const midnight = wallOf(year, month - 1, day);
  // A 31st of April would come out as the first of May: refuse what does not read back as it was written.
  if (formatDate(midnight) !== `${date[1]}-${pad(month)}-${pad(day)}`) return undefined;
  if (timePart === undefined) return { kind: "wall", ms: midnight, whole: true };
  return date[3] === undefined ? undefined : momentOf(midnight, timePart.trim());
}

function momentOf(midnight: number, timePart: string): Moment | undefined {
  const time = timePattern.exec(timePart);
  if (time === null) return undefined;
  const [hour, minute, second] = [Number(time[1]), Number(time[2] ?? 0), Number(time[3] ?? 0)];
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const fraction = (time[4] ?? "").padEnd(9, "0");
  const wall = midnight + ((hour * 60 + minute) * 60 + second) * 1000 + Number(fraction.slice(0, 3));
  const whole = /^0*$/.test(fraction.slice(3));
  const offset = time[5];
  return offset === undefined
    ? { kind: "wall", ms: wall, whole }
    : { kind: "instant", ms: wall - offsetMs(offset), whole };
}

/** Z, +01, +0530, +05:30 and the +01:08:15 of times before standard zones. */
function offsetMs(text: string): number {
  if (text === "Z") return 0;
  const [hours = 0, minutes = 0, seconds = 0] = (text.slice(1).match(/\d{2}/g) ?? []).map(Number);
  return (text.startsWith("-") ? -1 : 1) * ((hours * 60 + minutes) * 60 + seconds) * 1000;
}

function momentOfWeek(year: number, week: number): Moment | undefined {
  // The week that holds 4 January is week 1.
  const first = startOfUnit("week", unitAt("week", wallOf(year, 0, 4)));
  const ms = first + (week - 1) * 7 * dayMs;
  return labelOfTime("week", ms) === `${pad(year, 4)}-W${pad(week)}` ? { kind: "wall", ms, whole: true } : undefined;
}

/** `2001-01-31T05:00:00Z`, with milliseconds only where there are some. */
export function formatInstant(ms: number): string {
  return `${formatWall(ms).replace(" ", "T")}Z`;
}

/** `2001-01-31 05:00:00`, with milliseconds only where there are some. */
export function formatWall(ms: number): string {
  const date = new Date(ms);
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map((part) => pad(part)).join(":");
  const fraction = date.getUTCMilliseconds() === 0 ? "" : `.${pad(date.getUTCMilliseconds(), 3)}`;
  return `${formatDate(ms)} ${time}${fraction}`;
}

/** `2001-01-31`. */
export function formatDate(ms: number): string {
  const date = new Date(ms);
  return `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;
}

/** Label of the unit that begins at a wall time: 2001-01-31T05, 2001-01-31, 2001-W05, 2001-01 or 2001. */
export function labelOfTime(unit: TimeUnit, start: number): string {
  switch (unit) {
    case "hour":
      return formatWall(start).slice(0, -6).replace(" ", "T");
    case "day":
      return formatDate(start);
    case "week":
      return labelOfWeek(start);
    case "month":
      return formatDate(start).slice(0, -3);
    case "year":
      return formatDate(start).slice(0, -6);
  }
}

function labelOfWeek(monday: number): string {
  // A week belongs to the year that holds its Thursday.
  const year = new Date(monday + 3 * dayMs).getUTCFullYear();
  const first = unitAt("week", wallOf(year, 0, 4));
  return `${pad(year, 4)}-W${pad(unitAt("week", monday) - first + 1)}`;
}

function pad(value: number, length = 2): string {
  return String(value).padStart(length, "0");
}
