/**
 * What of a backfill is unlike the history of its datasets, told before it is verified.
 *
 * 1. Rows of the partitions are in their stamps, those of the run and those of what is live, so they cost nothing.
 * 2. Where the definition asks for columns, the candidate is measured in one statement, and those live partitions near it
 *    that were not measured yet in another; both are kept with the stamps, so that what is promoted is not measured twice.
 * 3. One result a metric: how many partitions are off, and the worst of them.
 */

import type { Derived } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import type { AnomalyRule } from "../catalog/model.ts";
import type { PartitionScheme } from "../catalog/scheme.ts";
import type { PartitionMetrics } from "../report.ts";
import type { BackfillDataset } from "../store/backfills.ts";
import { candidateMetrics, historyMetrics, keepMetrics, type StampedMetrics } from "../store/metrics.ts";
import type { Tx } from "../tx.ts";
import { type Anomaly, findAnomalies, leastHistory, partitionsLookedAt } from "../validation/anomaly.ts";
import type { Outcome } from "../validation/verdict.ts";
import { liveColumns, ownedOf } from "../warehouse/columns.ts";
import { isProfiled, measurable, type Profiled, profile } from "../warehouse/profile.ts";
import { tableName } from "../warehouse/quote.ts";

const shown = 10;

/** One outcome a metric; none where there is too little history or partitions have no order. */
export async function anomaliesOf(
  tx: Tx,
  derived: Derived,
  { candidate }: Pick<BackfillDataset, "candidate">,
  backfill: string,
): Promise<Outcome[]> {
  const { anomalies: rule = { columns: [] } } = derived;
  if (rule === false || !isProfiled(derived)) return [];
  const history = await historyMetrics(tx, backfill, derived.name);
  if (history.length < leastHistory) return [];
  const period = periodOf(derived.partitions);
  const computed = await candidateMetrics(tx, backfill, derived.name);
  const near = nearTo(computed, history, partitionsLookedAt(period));
  const columns = chosen(rule, measurable(derived, ownedOf(derived, await liveColumns(tx, derived))));
  const subjects = await measured(tx, { derived, relation: candidate, columns }, computed);
  const past = await measured(tx, { derived, relation: tableName(derived.table), columns }, near);
  const options = { period, ...(rule.spreads === undefined ? {} : { spreads: rule.spreads }) };
  const found = subjects.flatMap((subject) =>
    findAnomalies(subject, past, options).map((anomaly) => ({ partition: subject.partition, anomaly })),
  );
  return outcomesOf(found, derived.partitions, rule.severity ?? "warn", computed.length);
}

/** Weekdays repeat, and hours of the day. */
export function periodOf(scheme: PartitionScheme): number {
  if (scheme.kind !== "time") return 1;
  return scheme.unit === "day" ? 7 : scheme.unit === "hour" ? 24 : 1;
}

function chosen({ columns }: AnomalyRule, possible: Profiled["columns"]): Profiled["columns"] {
  if (columns === undefined) return possible;
  return possible.filter(({ name }) => columns.some((column) => column.name === name));
}

/** The part of the history that any of the partitions is compared with: a window over all of it, moved along. */
function nearTo(
  computed: readonly StampedMetrics[],
  history: readonly StampedMetrics[],
  count: number,
): readonly StampedMetrics[] {
  const wanted = new Set<StampedMetrics>();
  let start = 0;
  for (const { partition } of computed) {
    const away = (index: number) => Math.abs((history[index]?.partition ?? Number.POSITIVE_INFINITY) - partition);
    // One more than are compared: the partition's own number may be among them.
    while (start + count + 1 < history.length && away(start + count + 1) <= away(start)) start += 1;
    for (const each of history.slice(start, start + count + 1)) wanted.add(each);
  }
  return [...wanted];
}

/** Metrics of these stamps: those that are known, and the others measured now and kept. */
async function measured(tx: Tx, profiled: Profiled, stamped: readonly StampedMetrics[]): Promise<PartitionMetrics[]> {
  const { columns, derived } = profiled;
  if (columns.length === 0) return stamped.map(rowsAlone);
  const isKnown = ({ values }: StampedMetrics) =>
    values !== null && columns.every(({ name }) => name in values.sums || name in values.distinct);
  const missing = stamped.filter((each) => !isKnown(each));
  const metrics = await profile(
    tx,
    profiled,
    missing.map(({ partition }) => partition),
  );
  const stamps = missing.map(({ stamp }) => stamp);
  if (missing.length > 0) await keepMetrics(tx, { dataset: derived.name, stamps, metrics });
  return [...stamped.filter(isKnown).map(known), ...metrics];
}

function known({ partition, values }: StampedMetrics): PartitionMetrics {
  return { partition, ...(values as NonNullable<typeof values>) };
}

function rowsAlone({ partition, rows }: StampedMetrics): PartitionMetrics {
  return { partition, rows, nulls: {}, distinct: {}, sums: {} };
}

interface Found {
  readonly partition: number;
  readonly anomaly: Anomaly;
}

function outcomesOf(
  found: readonly Found[],
  scheme: PartitionScheme,
  severity: Outcome["severity"],
  total: number,
): Outcome[] {
  const metrics = [...new Set(found.map(({ anomaly }) => anomaly.metric))].sort();
  return metrics.map((metric) => {
    const off = found
      .filter(({ anomaly }) => anomaly.metric === metric)
      .sort((a, b) => b.anomaly.score - a.anomaly.score);
    const [worst] = off as [Found];
    const message = `${metric} is unlike the history in ${off.length} of ${total} partitions; ${sentence(worst, scheme)}`;
    const rows = off.slice(0, shown).map((each) => rowOf(each, scheme));
    return { name: `anomaly(${metric})`, severity, failures: off.length, evidence: { message, sql: null, rows } };
  });
}

function sentence({ partition, anomaly }: Found, scheme: PartitionScheme): string {
  const { value, expected, kind } = anomaly;
  const seen = `${labelOf(scheme, partition)} has ${shortNumber(value)} where ${shortNumber(expected)} is usual`;
  return kind === "partial" ? `${seen}: part of it may be missing` : seen;
}

function rowOf({ partition, anomaly }: Found, scheme: PartitionScheme): Record<string, string> {
  return {
    partition: labelOf(scheme, partition),
    kind: anomaly.kind,
    value: shortNumber(anomaly.value),
    usual: shortNumber(anomaly.expected),
    deviation: `${(anomaly.deviation * 100).toFixed(1)} %`,
  };
}

export function shortNumber(value: number): string {
  return String(Number(value.toPrecision(6)));
}
