import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ratesOf } from "../../bench/planted.ts";
import type { PartitionMetrics } from "../../src/report.ts";
import { findAnomalies } from "../../src/validation/anomaly.ts";

/** Weeks of 1,000 rows a weekday and 600 on the two last days, with a little life in them. */
function weeks(count: number): PartitionMetrics[] {
  return Array.from({ length: count * 7 }, (_, partition) => {
    const rows = (partition % 7 < 5 ? 1_000 : 600) + ((partition * 7) % 11) - 5;
    return {
      partition,
      rows,
      nulls: { email: Math.round(rows * 0.1) },
      distinct: { country: 40 + (partition % 2) },
      sums: { amount: rows * (20 + (partition % 3) / 10) },
    };
  });
}

const history = weeks(8);
const friday = history[25] as PartitionMetrics;
const saturday = history[26] as PartitionMetrics;
const told = (day: PartitionMetrics) =>
  findAnomalies(day, history, { period: 7 }).map(({ metric, kind }) => `${kind} of ${metric}`);

describe("what is told of one partition", () => {
  it.each([
    ["a usual day", friday, []],
    ["a usual day of a quiet weekday", saturday, []],
    [
      "a quiet day on a busy weekday",
      { ...friday, rows: 600, nulls: { email: 60 }, sums: { amount: 12_000 } },
      ["partial of rows"],
    ],
    [
      "a busy day on a quiet weekday",
      { ...saturday, rows: 1_000, nulls: { email: 100 }, sums: { amount: 20_000 } },
      ["spike of rows"],
    ],
    ["half of the rows", { ...friday, rows: 500, nulls: { email: 50 }, sums: { amount: 10_000 } }, ["partial of rows"]],
    [
      "no row at all",
      { ...friday, rows: 0, nulls: { email: 0 }, distinct: { country: 0 }, sums: { amount: 0 } },
      ["trough of rows"],
    ],
    ["more nulls", { ...friday, nulls: { email: 160 } }, ["spike of nulls(email)"]],
    ["no nulls any more", { ...friday, nulls: { email: 0 } }, ["trough of nulls(email)"]],
    ["amounts a fifth higher", { ...friday, sums: { amount: 24_200 } }, ["spike of mean(amount)"]],
    ["amounts of the other sign", { ...friday, sums: { amount: -20_000 } }, ["trough of mean(amount)"]],
    ["fewer countries", { ...friday, distinct: { country: 20 } }, ["trough of distinct(country)"]],
    ["a sum that nobody knows", { ...friday, sums: { amount: Number.NaN } }, []],
  ])("%s", (_what, day, expected) => expect(told(day).sort()).toEqual([...expected].sort()));

  it("says what was usual and how far off it is", () => {
    const [anomaly] = findAnomalies({ ...friday, sums: { amount: friday.rows * 30 } }, history, { period: 7 });
    expect(anomaly).toMatchObject({ metric: "mean(amount)", kind: "spike", value: 30 });
    expect(anomaly?.expected).toBeCloseTo(20.1, 1);
    expect(anomaly?.deviation).toBeCloseTo(0.49, 1);
    expect(anomaly?.score).toBeGreaterThan(4);
  });

  it("is nothing where the history is short, or swings more than what could be told", () => {
    const half = { ...friday, rows: 10 };
    expect(findAnomalies(half, history.slice(0, 13))).toEqual([]);
    const wild = history.map((day, index) => ({ ...day, rows: index % 2 === 0 ? 100 : 1_900 }));
    expect(findAnomalies(half, wild)).toEqual([]);
  });

  it("does not take the partition's own past for its history", () => {
    const changed = history.map((day) => (day.partition === friday.partition ? { ...day, rows: 500 } : day));
    const half = { ...friday, rows: 500 };
    expect(findAnomalies(half, changed, { period: 7 })).toEqual(findAnomalies(half, history, { period: 7 }));
  });
});

describe("any history", () => {
  const days = fc.array(fc.record({ rows: fc.nat(10_000), amount: fc.integer({ min: -1e6, max: 1e6 }) }), {
    minLength: 14,
    maxLength: 60,
  });
  const metrics = (partition: number, { rows, amount }: { rows: number; amount: number }): PartitionMetrics => {
    return { partition, rows, nulls: {}, distinct: {}, sums: { amount } };
  };

  it("gives finite scores above 1, and the same in any order", () => {
    fc.assert(
      fc.property(days, fc.nat(10_000), (past, rows) => {
        const known = past.map((day, partition) => metrics(partition, day));
        const subject = metrics(past.length, { rows, amount: rows });
        const found = findAnomalies(subject, known, { period: 7 });
        for (const { score, deviation } of found) {
          expect(score).toBeGreaterThan(1);
          expect(Number.isFinite(score) && Number.isFinite(deviation)).toBe(true);
        }
        expect(findAnomalies(subject, [...known].reverse(), { period: 7 })).toEqual(found);
      }),
    );
  });

  it("is blind to the unit: rows and sums a hundredfold give the same scores", () => {
    fc.assert(
      fc.property(days, fc.nat(10_000), (past, rows) => {
        const scores = (factor: number) => {
          const known = past.map((day, at) => metrics(at, { rows: day.rows * factor, amount: day.amount * factor }));
          const subject = metrics(past.length, { rows: rows * factor, amount: 5 * factor });
          return findAnomalies(subject, known).map(({ metric, score }) => [metric, score.toPrecision(6)]);
        };
        expect(scores(128)).toEqual(scores(1));
      }),
    );
  });

  it("that always was the same has nothing unusual in one more of it", () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.integer({ min: -1e6, max: 1e6 }), (rows, amount) => {
        const known = Array.from({ length: 20 }, (_, partition) => metrics(partition, { rows, amount }));
        expect(findAnomalies(metrics(20, { rows, amount }), known)).toEqual([]);
      }),
    );
  });
});

describe("half a year of flights", () => {
  const path = new URL("../fixtures/flights-days.ndjson", import.meta.url);
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const flights = lines.map((line) => JSON.parse(line) as PartitionMetrics);

  it.each(["all other days", "earlier days"] as const)(
    "compared with %s: 95 % of 200 planted changes are told, and at most 1 % of the clean days",
    (known) => {
      const rates = ratesOf(flights, known, ["distance", "departure_hour"]);
      expect(rates.planted).toBe(200);
      expect(rates.found / rates.planted).toBeGreaterThanOrEqual(0.95);
      for (const [found, of] of Object.values(rates.kinds)) expect(found / of).toBeGreaterThanOrEqual(0.9);
      expect(rates.cleanDays).toBeGreaterThan(150);
      expect(rates.falseAlarms / rates.cleanDays).toBeLessThanOrEqual(0.01);
    },
  );
});
