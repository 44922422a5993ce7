import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import { describe, expect, it } from "vitest";
import { dayMs, startOfUnit, type TimeUnit, toInstant, toWall, unitAt } from "../../src/catalog/calendar.ts";
import { zones } from "./support.ts";

const units: readonly TimeUnit[] = ["hour", "day", "week", "month", "year"];
const instants = fc.integer({ min: Date.UTC(1900, 0, 1), max: Date.UTC(2100, 0, 1) });

describe("units", () => {
  it.each(units)("%s: a wall time is in the unit that is found for it", (unit) => {
    fc.assert(
      fc.property(instants, (wall) => {
        const ordinal = unitAt(unit, wall);
        expect(startOfUnit(unit, ordinal)).toBeLessThanOrEqual(wall);
        expect(startOfUnit(unit, ordinal + 1)).toBeGreaterThan(wall);
      }),
    );
  });

  it("begins weeks on Monday", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -3000, max: 6000 }),
        (week) => new Date(startOfUnit("week", week)).getUTCDay() === 1,
      ),
    );
  });
});

describe("zones", () => {
  it.each(zones)("%s agrees with Temporal in both directions", (zone) => {
    fc.assert(
      fc.property(instants, (instant) => {
        const zoned = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(zone);
        const wall = instant + zoned.offsetNanoseconds / 1_000_000;
        expect(toWall(zone, instant)).toBe(wall);
        expect(toInstant(zone, wall)).toBe(zoned.toPlainDateTime().toZonedDateTime(zone).epochMilliseconds);
      }),
    );
  });

  it("finds a hundred thousand midnights quickly", () => {
    const begin = performance.now();
    for (let day = -50_000; day < 50_000; day += 1) toInstant("America/New_York", day * dayMs);
    expect(performance.now() - begin).toBeLessThan(4_000);
  });
});
