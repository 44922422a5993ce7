/**
 * Calendar and zone arithmetic on milliseconds.
 *
 * Two axes: an instant is milliseconds since the epoch; a wall time is what a clock on the wall shows, as if it were
 * UTC. Units are counted on the wall axis by plain arithmetic. Only the step between the axes needs a zone: the
 * stretches of constant offset are asked of Temporal once and kept, so that a hundred thousand days are quick.
 */
import { Temporal } from "temporal-polyfill";

export type TimeUnit = "hour" | "day" | "week" | "month" | "year";

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** ISO weeks begin on Monday, and 1970-01-01 was a Thursday: week 0 began three days before it. */
const firstMondayMs = -3 * dayMs;

/** Wall time at which the unit with this ordinal begins; ordinal 0 holds 1970-01-01T00:00. */
export function startOfUnit(unit: TimeUnit, ordinal: number): number {
  switch (unit) {
    case "hour":
      return ordinal * hourMs;
    case "day":
      return ordinal * dayMs;
    case "week":
      return firstMondayMs + ordinal * 7 * dayMs;
    case "month":
      return wallOf(1970, ordinal);
    case "year":
      return wallOf(1970 + ordinal, 0);
  }
}

/** Ordinal of the unit that holds a wall time. */
export function unitAt(unit: TimeUnit, wall: number): number {
  switch (unit) {
    case "hour":
      return Math.floor(wall / hourMs);
    case "day":
      return Math.floor(wall / dayMs);
    case "week":
      return Math.floor((wall - firstMondayMs) / (7 * dayMs));
    case "month": {
      const date = new Date(wall);
      return (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
    }
    case "year":
      return new Date(wall).getUTCFullYear() - 1970;
  }
}

/** Wall time of a date; months count from 0 and may overflow into other years. */
export function wallOf(year: number, month: number, day = 1, hour = 0, minute = 0, second = 0, ms = 0): number {
  const date = new Date(0);
  // Date.UTC reads the years 0 to 99 as 1900 to 1999; the setter takes them as they are.
  date.setUTCFullYear(year, month, day);
  date.setUTCHours(hour, minute, second, ms);
  return date.getTime();
}

/** Whether the runtime's time zone data knows this zone. */
export function isTimeZone(timeZone: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(timeZone);
    return true;
  } catch {
    return false;
  }
}

/** What the wall clock of a zone shows at an instant. */
export function toWall(timeZone: string, instant: number): number {
  return instant + stretchAt(timeZone, instant).offset;
}

/**
 * The instant at which the wall clock of a zone first shows a time. A time that the clock skips stands for the first
 * instant after the skip, so a period that a zone left out is empty, not negative, also where it left out a whole day.
 */
export function toInstant(timeZone: string, wall: number): number {
  // A day to each side is more than any offset: one of the two offsets holds at the wanted instant, if any does.
  const before = stretchAt(timeZone, wall - dayMs);
  const after = stretchAt(timeZone, wall + dayMs);
  const candidates = [wall - before.offset, wall - after.offset].filter(
    (instant) => toWall(timeZone, instant) === wall,
  );
  return candidates.length > 0 ? Math.min(...candidates) : before.to;
}

interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly offset: number;
}

/** Known stretches of constant offset by zone, sorted; grows by the stretches that are asked for. */
const stretches = new Map<string, Stretch[]>();

function stretchAt(timeZone: string, instant: number): Stretch {
  const known = stretches.get(timeZone) ?? [];
  const index = positionOf(known, instant);
  const found = known[index];
  if (found !== undefined && found.from <= instant) return found;
  const stretch = findStretch(timeZone, instant);
  known.splice(index, 0, stretch);
  stretches.set(timeZone, known);
  return stretch;
}

/** Index of the first stretch that ends after the instant. */
function positionOf(known: readonly Stretch[], instant: number): number {
  let low = 0;
  let high = known.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((known[middle] as Stretch).to <= instant) low = middle + 1;
    else high = middle;
  }
  return low;
}

function findStretch(timeZone: string, instant: number): Stretch {
  const moment = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone);
  // "previous" looks strictly before, so a stretch that begins at the very instant is found from just after it.
  const from = moment.add({ milliseconds: 1 }).getTimeZoneTransition("previous");
  const to = moment.getTimeZoneTransition("next");
  return {
    from: from?.epochMilliseconds ?? Number.NEGATIVE_INFINITY,
    to: to?.epochMilliseconds ?? Number.POSITIVE_INFINITY,
    offset: moment.offsetNanoseconds / 1_000_000,
  };
}
