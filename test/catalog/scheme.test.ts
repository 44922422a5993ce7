import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boundsOf, boundsOfRange, ordinalAt, startOf } from "../../src/catalog/bounds.ts";
import { labelOf, parsePartition, parseWindow } from "../../src/catalog/label.ts";
import { size } from "../../src/catalog/ranges.ts";
import {
  daily,
  fixedExtent,
  hash,
  hourly,
  list,
  monthly,
  type OrderedScheme,
  range,
  shapeOf,
  type TimeScheme,
  weekly,
  whole,
  yearly,
} from "../../src/catalog/scheme.ts";
import { schemeFaults } from "../../src/catalog/scheme-faults.ts";
import { events, totals, zones } from "./support.ts";

const constructors = { hourly, daily, weekly, monthly, yearly };
const columns = { timestamptz: events.at, timestamp: events.wall, date: events.day };

const timeSchemes: TimeScheme[] = Object.entries(constructors).flatMap(([name, make]) =>
  Object.entries(columns).flatMap(([type, column]) =>
    name === "hourly" && type === "date" ? [] : zones.map((timeZone) => make(column, { timeZone })),
  ),
);
const ordered: OrderedScheme[] = [...timeSchemes, range(events.id, 1), range(events.id, 1000)];
const named = <S extends OrderedScheme>(schemes: readonly S[]) =>
  schemes.map((scheme) => [JSON.stringify(shapeOf(scheme)), scheme] as const);

/** Ordinals between about 1900 and 2100. */
function ordinalsOf(scheme: OrderedScheme): fc.Arbitrary<number> {
  if (scheme.kind === "range") return fc.integer({ min: -1_000_000, max: 1_000_000 });
  return fc.integer({ min: ordinalAt(scheme, "1900-06-01"), max: ordinalAt(scheme, "2100-06-01") });
}

describe.each(named(ordered))("%s", (_, scheme) => {
  it("tiles its axis: each partition begins where the one before it ends", () => {
    fc.assert(
      fc.property(ordinalsOf(scheme), (ordinal) => {
        expect(boundsOf(scheme, ordinal).to).toBe(boundsOf(scheme, ordinal + 1).from);
        if (scheme.kind === "time")
          expect(startOf(scheme, ordinal + 1)).toBeGreaterThanOrEqual(startOf(scheme, ordinal));
      }),
      { numRuns: 40 },
    );
  });

  it("finds a partition by its lower bound and by its label", () => {
    fc.assert(
      fc.property(ordinalsOf(scheme), (ordinal) => {
        const { from, to } = boundsOf(scheme, ordinal);
        if (from !== to) expect(ordinalAt(scheme, from)).toBe(ordinal);
        expect(parsePartition(scheme, labelOf(scheme, ordinal))).toBe(ordinal);
      }),
      { numRuns: 40 },
    );
  });

  it("takes a window exactly at boundaries and never widens one", () => {
    fc.assert(
      fc.property(ordinalsOf(scheme), fc.integer({ min: 1, max: 50 }), (from, count) => {
        const bounds = boundsOfRange(scheme, [from, from + count]);
        if (bounds.from === bounds.to || boundsOf(scheme, from).to === bounds.from) return;
        const partitions = parseWindow(scheme, bounds);
        const [first, end] = partitions[0] ?? [0, 0];
        expect(boundsOfRange(scheme, [first, end])).toEqual(bounds);
        if (scheme.kind === "range" && scheme.width === 1) return;
        if (scheme.kind === "time" && scheme.unit === "day" && scheme.columnType === "date") return;
        expect(() => parseWindow(scheme, { from: bounds.from, to: inside(scheme, from + count) })).toThrow(
          /inside the partition|empty/,
        );
      }),
      { numRuns: 20 },
    );
  });
});

/** A text bound inside a partition. */
function inside(scheme: OrderedScheme, ordinal: number): string {
  const { from } = boundsOf(scheme, ordinal);
  if (scheme.kind === "range") return String(Number(from) + 1);
  if (scheme.columnType === "date") return new Date(Date.parse(from) + 86_400_000).toISOString().slice(0, 10);
  return scheme.columnType === "timestamp" ? from.replace(/:00$/, ":01") : new Date(Date.parse(from) + 1).toISOString();
}

describe("days of a zone", () => {
  it.each([
    ["Europe/Bratislava", "2001-03-25", 23],
    ["Europe/Bratislava", "2001-10-28", 25],
    ["America/New_York", "2001-04-01", 23],
    ["America/New_York", "2001-10-28", 25],
    ["Australia/Lord_Howe", "2001-03-25", 24.5],
    ["Australia/Lord_Howe", "2001-10-28", 23.5],
    ["Asia/Kolkata", "2001-03-25", 24],
    ["Pacific/Apia", "2011-12-30", 0],
    ["America/Sao_Paulo", "2001-10-14", 23],
  ])("%s %s lasts %d hours", (timeZone, day, hours) => {
    const scheme = daily(events.at, { timeZone });
    const { from, to } = boundsOf(scheme, parsePartition(scheme, day));
    expect((Date.parse(to) - Date.parse(from)) / 3_600_000).toBe(hours);
  });

  it("begins where the clock goes back over midnight at the first midnight", () => {
    const scheme = daily(events.at, { timeZone: "America/St_Johns" });
    // On 2001-10-28 the clock goes from 00:01 back to 23:01 of the 27th.
    const { from } = boundsOf(scheme, parsePartition(scheme, "2001-10-28"));
    expect(from).toBe("2001-10-28T02:30:00Z");
    expect(labelOf(scheme, ordinalAt(scheme, "2001-10-28T03:00:00Z"))).toBe("2001-10-28");
  });
});

describe("bounds and labels", () => {
  const bratislava = { timeZone: "Europe/Bratislava" };
  it.each<[OrderedScheme, string, string, string, string]>([
    [hourly(events.at), "2001-01-31 05:30:00+00", "2001-01-31T05Z", "2001-01-31T05:00:00Z", "2001-01-31T06:00:00Z"],
    [hourly(events.wall), "2001-01-31 05:30:00", "2001-01-31T05", "2001-01-31 05:00:00", "2001-01-31 06:00:00"],
    [
      daily(events.at, bratislava),
      "2001-01-31 23:30:00+00",
      "2001-02-01",
      "2001-01-31T23:00:00Z",
      "2001-02-01T23:00:00Z",
    ],
    [daily(events.wall, bratislava), "2001-01-31 23:30:00", "2001-01-31", "2001-01-31 00:00:00", "2001-02-01 00:00:00"],
    [daily(events.day), "2004-02-29", "2004-02-29", "2004-02-29", "2004-03-01"],
    [daily(events.at), "2000-02-29 23:59:59.999999+00", "2000-02-29", "2000-02-29T00:00:00Z", "2000-03-01T00:00:00Z"],
    [daily(events.at), "1969-12-31 23:59:59.999999+00", "1969-12-31", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"],
    [weekly(events.day), "2001-02-04", "2001-W05", "2001-01-29", "2001-02-05"],
    [weekly(events.day), "2004-12-31", "2004-W53", "2004-12-27", "2005-01-03"],
    [weekly(events.day), "2005-01-01", "2004-W53", "2004-12-27", "2005-01-03"],
    [monthly(events.day), "2004-02-29", "2004-02", "2004-02-01", "2004-03-01"],
    [
      monthly(events.at, bratislava),
      "2001-06-30 22:00:00+00",
      "2001-07",
      "2001-06-30T22:00:00Z",
      "2001-07-31T22:00:00Z",
    ],
    [yearly(events.day), "2001-12-31", "2001", "2001-01-01", "2002-01-01"],
    [range(events.id, 1000), "-1", "[-1000,0)", "-1000", "0"],
    [range(events.id, 1000), "-0.5", "[-1000,0)", "-1000", "0"],
    [range(events.id, 1000), "1999.9", "[1000,2000)", "1000", "2000"],
    [
      range(events.id, 1000),
      "9007199254740993",
      "[9007199254740000,9007199254741000)",
      "9007199254740000",
      "9007199254741000",
    ],
  ])("$kind %#: %s", (scheme, value, label, from, to) => {
    const ordinal = ordinalAt(scheme, value);
    expect(labelOf(scheme, ordinal)).toBe(label);
    expect(boundsOf(scheme, ordinal)).toEqual({ from, to });
  });

  it("labels fixed schemes and reads the labels back", () => {
    const values = ["EUR", "USD"];
    for (const scheme of [hash(events.code, 8), list(events.code, values), whole()]) {
      const ordinals = Array.from({ length: size(fixedExtent(scheme) ?? []) }, (_, ordinal) => ordinal);
      expect(ordinals.map((ordinal) => parsePartition(scheme, labelOf(scheme, ordinal)))).toEqual(ordinals);
    }
    expect(labelOf(hash(events.code, 8), 3)).toBe("bucket 3");
    expect(labelOf(list(events.code, values), 0)).toBe("EUR");
    expect(labelOf(whole(), 0)).toBe("all");
    expect(fixedExtent(daily(events.at))).toBeUndefined();
  });

  it.each(["2001-02-30", "bucket 8", "yesterday", "2001-01-01T24:00Z", "infinity", "2001-W54", ""])(
    "refuses the label %j",
    (label) => {
      expect(() => parsePartition(daily(events.at), label)).toThrow(/no partition/);
      expect(() => parsePartition(hash(events.code, 8), label)).toThrow(/no partition/);
    },
  );

  it("refuses a range label of another width", () => {
    expect(() => parsePartition(range(events.id, 1000), "[0,500)")).toThrow(
      /no partition "\[0,500\)" in range\(id, 1000\)/,
    );
  });
});

describe("parseWindow", () => {
  it.each<[OrderedScheme, string, string, number]>([
    [daily(events.at), "2001-01-01", "2001-02-01", 31],
    [daily(events.at), "2001-01", "2001-02", 31],
    [daily(events.at, { timeZone: "Europe/Bratislava" }), "2001-01-01", "2001-01-02T23:00:00Z", 2],
    [hourly(events.at, { timeZone: "America/New_York" }), "2001-01-01", "2001-01-02", 24],
    [monthly(events.day), "2001-01-01", "2002-01-01", 12],
    [weekly(events.day), "2001-W01", "2001-W05", 4],
    [range(events.id, 1000), "0", "5000", 5],
  ])("%#: %s", (scheme, from, to, count) => {
    expect(size(parseWindow(scheme, { from, to }))).toBe(count);
  });

  it("names the nearest boundaries", () => {
    expect(() => parseWindow(monthly(totals.day), { from: "2001-01-15", to: "2001-03-01" })).toThrow(
      '"from" is 2001-01-15, inside the partition 2001-01 of monthly(day, UTC); the nearest boundaries are 2001-01-01 and 2001-02-01',
    );
  });

  it("refuses microseconds past a boundary, empty windows, nonsense, and schemes without an order", () => {
    const scheme = daily(events.at);
    expect(() => parseWindow(scheme, { from: "2001-01-01T00:00:00.000001Z", to: "2001-01-02" })).toThrow(/inside/);
    expect(() => parseWindow(scheme, { from: "2001-01-02", to: "2001-01-02" })).toThrow(/is empty/);
    expect(() => parseWindow(scheme, { from: "tomorrow", to: "2001-01-02" })).toThrow(/no bound of daily/);
    expect(() => parseWindow(whole(), { from: "2001-01-01", to: "2001-01-02" })).toThrow(/has none/);
  });
});

describe("schemeFaults", () => {
  it.each([
    [
      daily(events.at, { timeZone: "Europe/Bratislav" }),
      'unknown time zone "Europe/Bratislav" (did you mean "Europe/Bratislava"?)',
    ],
    [hourly(events.day), "day is a date, which has no hours; use daily(day)"],
    [daily(events.code), "code is text; daily needs a timestamptz, timestamp or date column"],
    [range(events.id, 0), "width is 0; give a whole number of at least 1"],
    [range(events.code, 10), "code is text; range needs a number column"],
    [hash(events.code, 0.5), "buckets is 0.5; give a whole number from 1 to 65536"],
    [list(events.code, []), "values is empty; name at least one value"],
    [list(events.code, ["a", "a"]), 'value "a" is listed twice; name each value once'],
  ])("%#: tells what is wrong", (scheme, fault) => {
    expect(schemeFaults(scheme)[0]).toContain(fault);
  });

  it("is empty for usable schemes", () => {
    expect([...ordered, hash(events.code, 4), list(events.code, [1]), whole()].flatMap(schemeFaults)).toEqual([]);
  });
});
