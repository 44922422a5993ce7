/**
 * Is a partition like those before it? Scores of one partition's metrics against the dataset's own history: pure functions,
 * no clock, no database.
 *
 * 1. The nearest partitions of the history are taken, six seasons of them: what was usual then and there.
 * 2. Each season (a weekday, an hour of the day) gets its own median, and the spread is the median absolute deviation of
 *    what is left, or what its quartiles span where that is more: neither is moved by outliers in the history itself.
 * 3. A metric is anomalous where it is off by more than `spreads` spreads and by more than a least change, below which
 *    holidays and chance would be told every week. Both were chosen on the flights data; docs/proof.md has the rates.
 *
 * A metric whose history swings too widely for that is left alone. Sums are judged per row, so that missing rows are told once and not again by every column.
 */
import type { PartitionMetrics } from "../report.ts";

export interface Anomaly {
  /** `rows`, `nulls(column)`, `distinct(column)` or `mean(column)`. */
  readonly metric: string;
  readonly kind: "spike" | "trough" | "partial";
  readonly value: number;
  /** What the history makes of this partition. */
  readonly expected: number;
  /** How far off: a share of what is expected, of nulls a share of the rows. Signed. */
  readonly deviation: number;
  /** The deviation over the least one that is told; above 1. */
  readonly score: number;
}

export interface AnomalyOptions {
  /** Partitions a season: 7 for days, 24 for hours, 1 where there is none. Default 1. */
  readonly period?: number;
  /** Spreads from the expected value up to which a metric is usual. Default 6. */
  readonly spreads?: number;
}

/** Fewer partitions say too little about what is usual. */
export const leastHistory = 14;

const seasonsLookedAt = 6;
const looksWithoutSeasons = 42;
const usualSpreads = 6;
/** A normal distribution's standard deviation as multiples of its median absolute deviation. */
const normal = 1.4826;

/** The least deviation that is told, by what is measured. */
const leastDeviation = { rows: 0.18, mean: 0.1, distinct: 0.15, nulls: 0.025 } as const;
/** A metric that swings so widely by itself that only more than this would be told is not judged at all. */
const mostDeviation = 0.5;
type Measure = keyof typeof leastDeviation;

/** How many partitions of the history one partition is compared with. */
export function partitionsLookedAt(period = 1): number {
  return period > 1 ? seasonsLookedAt * period : looksWithoutSeasons;
}

/** What is unusual about a partition, worst first. Its own number in the history is left out. */
export function findAnomalies(
  subject: PartitionMetrics,
  history: readonly PartitionMetrics[],
  { period = 1, spreads = usualSpreads }: AnomalyOptions = {},
): Anomaly[] {
  const near = nearest(subject.partition, history, partitionsLookedAt(period));
  if (near.length < leastHistory) return [];
  const season = (partition: number) => ((partition % period) + period) % period;
  return metricsOf(subject)
    .flatMap(({ name, measure, of }) => {
      const value = of(subject);
      const known = near.flatMap((each) => {
        const past = of(each);
        return past === undefined ? [] : [{ season: season(each.partition), value: past }];
      });
      if (value === undefined || known.length < leastHistory) return [];
      const usual = usualValue(known, season(subject.partition));
      const unit = measure === "nulls" ? 1 : usual.magnitude;
      const deviation = distance(value - usual.expected, unit);
      // The fewer partitions, the less is known about the spread itself.
      const margin = spreads * (1 + leastHistory / known.length);
      const least = Math.max(leastDeviation[measure], margin * distance(usual.spread, unit));
      const score = Math.abs(deviation) / least;
      if (least > mostDeviation || !(score > 1)) return [];
      return [
        { metric: name, kind: kindOf(measure, deviation, value), value, expected: usual.expected, deviation, score },
      ];
    })
    .sort((a, b) => b.score - a.score);
}

function kindOf(measure: Measure, deviation: number, value: number): Anomaly["kind"] {
  if (deviation > 0) return "spike";
  return measure === "rows" && value > 0 ? "partial" : "trough";
}

/** As a share of the unit; of something that was always 0 any change is all there is. */
function distance(difference: number, unit: number): number {
  return unit === 0 ? Math.sign(difference) : difference / unit;
}

interface Metric {
  readonly name: string;
  readonly measure: Measure;
  /** Undefined where it is not known of a partition, as a mean of no rows. */
  readonly of: (metrics: PartitionMetrics) => number | undefined;
}

function metricsOf({ nulls, distinct, sums }: PartitionMetrics): Metric[] {
  const perRow = (value: number | undefined, rows: number) =>
    value === undefined || rows === 0 || !Number.isFinite(value) ? undefined : value / rows;
  return [
    { name: "rows", measure: "rows", of: ({ rows }) => rows },
    ...Object.keys(nulls).map(
      (column): Metric => ({
        name: `nulls(${column})`,
        measure: "nulls",
        of: (each) => perRow(each.nulls[column], each.rows),
      }),
    ),
    ...Object.keys(distinct).map(
      (column): Metric => ({
        name: `distinct(${column})`,
        measure: "distinct",
        of: (each) => (each.rows === 0 ? undefined : each.distinct[column]),
      }),
    ),
    ...Object.keys(sums).map(
      (column): Metric => ({
        name: `mean(${column})`,
        measure: "mean",
        of: (each) => perRow(each.sums[column], each.rows),
      }),
    ),
  ];
}

function nearest(partition: number, history: readonly PartitionMetrics[], count: number): PartitionMetrics[] {
  const away = (each: PartitionMetrics) => Math.abs(each.partition - partition);
  return history
    .filter((each) => each.partition !== partition)
    .sort((a, b) => away(a) - away(b) || a.partition - b.partition)
    .slice(0, count);
}

interface Known {
  readonly season: number;
  readonly value: number;
}

/** A season with fewer than three partitions has no median of its own. */
function usualValue(
  known: readonly Known[],
  season: number,
): { readonly expected: number; readonly spread: number; readonly magnitude: number } {
  const overall = median(known.map(({ value }) => value));
  const shifts = new Map<number, number>();
  for (const each of new Set(known.map((one) => one.season))) {
    const same = known.filter((one) => one.season === each).map(({ value }) => value);
    if (same.length >= 3) shifts.set(each, median(same) - overall);
  }
  const settled = known.map((one) => one.value - (shifts.get(one.season) ?? 0));
  const centre = median(settled);
  return {
    expected: centre + (shifts.get(season) ?? 0),
    spread: spreadOf(settled, centre),
    magnitude: median(known.map(({ value }) => Math.abs(value))),
  };
}

/** Where most values are the same the median deviation is 0, however far away the rest is; the quartiles see a third of it. */
function spreadOf(values: readonly number[], centre: number): number {
  const deviation = quantile(
    values.map((value) => Math.abs(value - centre)),
    0.5,
  );
  return Math.max(normal * deviation, (normal * (quantile(values, 0.75) - quantile(values, 0.25))) / 2);
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Between two values, in proportion. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)] ?? Number.NaN, sorted[Math.ceil(place)] ?? Number.NaN];
  return below + (above - below) * (place - Math.floor(place));
}
