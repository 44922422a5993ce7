/**
 * Changes planted into the daily metrics of the flights, and how many of them the anomaly detectors tell: 200 of the kinds
 * that people ask about, and the clean days for false alarms. Deterministic, so that a test can hold it to its figures.
 */
import type { PartitionMetrics } from "../src/report.ts";
import { findAnomalies } from "../src/validation/anomaly.ts";

/** What a day is compared with: every other day, as in a backfill, or those before it, as when a new day comes. */
export type Known = "all other days" | "earlier days";

export interface Rates {
  readonly known: Known;
  readonly planted: number;
  readonly found: number;
  /** By kind of change: found and planted. */
  readonly kinds: Readonly<Record<string, readonly [found: number, planted: number]>>;
  readonly cleanDays: number;
  /** Clean days of which anything at all was told. */
  readonly falseAlarms: number;
}

interface Planted {
  readonly kind: string;
  readonly metric: string;
  readonly change: (day: PartitionMetrics) => PartitionMetrics;
}

const week = 7;

/** `steady` are columns whose sums are changed; the others are judged too, and can only raise false alarms. */
export function ratesOf(days: readonly PartitionMetrics[], known: Known, steady: readonly string[]): Rates {
  const historyOf = (day: PartitionMetrics) =>
    known === "all other days" ? days : days.filter(({ partition }) => partition < day.partition);
  const judged = days.filter((day) => historyOf(day).length > 2 * week);
  const plants = Array.from({ length: 200 }, (_, index) => planted(index, steady));
  const kinds: Record<string, [number, number]> = {};
  for (const [index, { kind, metric, change }] of plants.entries()) {
    // A stride that shares no factor with a week or a year spreads the changes over the days.
    const day = judged[(index * 37) % judged.length] as PartitionMetrics;
    const told = findAnomalies(change(day), historyOf(day), { period: week }).some((each) => each.metric === metric);
    const [found, of] = kinds[kind] ?? [0, 0];
    kinds[kind] = [found + Number(told), of + 1];
  }
  const alarms = judged.filter((day) => findAnomalies(day, historyOf(day), { period: week }).length > 0);
  const found = Object.values(kinds).reduce((sum, [count]) => sum + count, 0);
  return { known, planted: plants.length, found, kinds, cleanDays: judged.length, falseAlarms: alarms.length };
}

/** How often a change of this share in one column's sum is told, over all days. */
export function toldOfSum(days: readonly PartitionMetrics[], column: string, share: number): number {
  const told = days.filter((day) =>
    findAnomalies(scaledSum(day, column, 1 + share), days, { period: week }).some(
      ({ metric }) => metric === `mean(${column})`,
    ),
  );
  return told.length / days.length;
}

function planted(index: number, steady: readonly string[]): Planted {
  const up = index % 8 < 4;
  switch (index % 4) {
    case 0:
      return { kind: "rows ±30 %", metric: "rows", change: (day) => scaled(day, up ? 1.3 : 0.7) };
    case 1: {
      const column = steady[(index >> 3) % steady.length] as string;
      const change = (day: PartitionMetrics) => scaledSum(day, column, up ? 1.2 : 0.8);
      return { kind: "sums ±20 %", metric: `mean(${column})`, change };
    }
    case 2:
      return { kind: "nulls +5 points", metric: "nulls(origin)", change: withNulls };
    default:
      return { kind: "half a partition missing", metric: "rows", change: (day) => scaled(day, 0.5) };
  }
}

/** More or fewer rows of the same kind. */
function scaled(day: PartitionMetrics, factor: number): PartitionMetrics {
  const all = (counts: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(counts).map(([column, count]) => [column, count * factor]));
  return { ...day, rows: Math.round(day.rows * factor), nulls: all(day.nulls), sums: all(day.sums) };
}

function scaledSum(day: PartitionMetrics, column: string, factor: number): PartitionMetrics {
  return { ...day, sums: { ...day.sums, [column]: (day.sums[column] ?? 0) * factor } };
}

function withNulls(day: PartitionMetrics): PartitionMetrics {
  return { ...day, nulls: { ...day.nulls, origin: (day.nulls["origin"] ?? 0) + day.rows * 0.05 } };
}
