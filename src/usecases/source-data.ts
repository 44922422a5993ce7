/**
 * What is in the sources that a plan is about to read, by cheap looks at each of them:
 *
 * 1. Partitions without rows between others: one look into the index for each.
 * 2. Rows and nulls of partitions near the end of what is read, counted and compared with each other and with those that
 *    are not read, by the detectors that judge candidates, too.
 * 3. Rows that share the declared key, among the newest, unless a unique index forbids them.
 *
 * Each look is bounded, in rows and in seconds, and what it looked at is told with what it found.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Source } from "../catalog/dataset.ts";
import { describePartitions, labelOf } from "../catalog/label.ts";
import { contains, isEmpty, ordinalsOf, type Ranges, rangesOfOrdinals, size, union } from "../catalog/ranges.ts";
import type { OrderedScheme } from "../catalog/scheme.ts";
import { recomputeSteps, type Step } from "../plan.ts";
import { of, type PartitionMap, readsOf } from "../planner/impact.ts";
import { count } from "../planner/labels.ts";
import type { PartitionMetrics, Preflight, PreflightFinding } from "../report.ts";
import type { Database } from "../tx.ts";
import { type Anomaly, findAnomalies, leastHistory } from "../validation/anomaly.ts";
import { gapsIn } from "../validation/gaps.ts";
import { tableColumns } from "../warehouse/columns.ts";
import { partitionIndexWarning } from "../warehouse/extent.ts";
import { isProfiled, profile } from "../warehouse/profile.ts";
import { identifiers, tableName } from "../warehouse/quote.ts";
import { briefly, emptyPartitions, isUniqueByIndex, repeatedKeys, tableSize } from "../warehouse/source-facts.ts";
import { periodOf, shortNumber } from "./anomalies.ts";

/** Partitions that are looked at for gaps, and that are counted, of one source. */
const mostProbed = 10_000;
const mostCounted = 150;
/** Rows that are counted, and that are looked at for duplicates, of one source. */
const mostRows = 250_000;
const mostKeys = 100_000;
/** Of all sources together, after which the others are left out. */
const longestMs = 5_000;
/** Where Postgres has never analysed a table. */
const bytesOfRow = 100;

export interface SourcesOf {
  readonly catalog: Catalog;
  readonly steps: readonly Step[];
  /** The partitions that each source has. */
  readonly extents: PartitionMap;
}

/** Looks at each source that the recomputed partitions read. */
export async function lookAtSources(database: Database, plan: SourcesOf): Promise<Preflight> {
  const findings: PreflightFinding[] = [];
  const looked: string[] = [];
  const begun = performance.now();
  for (const [source, reads] of sourcesRead(plan)) {
    if (performance.now() - begun > longestMs) {
      looked.push(`nothing of ${source.name}, after five seconds`);
      continue;
    }
    const found = await lookAt(database, source, reads, of(plan.extents, source.name));
    findings.push(...found.findings);
    if (found.looked.length > 0) looked.push(`${source.name} (${found.looked.join(", ")})`);
  }
  return { findings, looked };
}

function sourcesRead({ catalog, steps, extents }: SourcesOf): Map<Source, Ranges> {
  const reads = new Map<Source, Ranges>();
  for (const { dataset, partitions } of recomputeSteps({ steps })) {
    const derived = catalog.datasets.get(dataset);
    if (derived?.kind !== "derived") continue;
    for (const input of derived.inputs) {
      if (input.dataset.kind !== "source") continue;
      const read = union(reads.get(input.dataset) ?? [], readsOf(derived, input, partitions, extents));
      if (!isEmpty(read)) reads.set(input.dataset, read);
    }
  }
  return reads;
}

/** A source, what a plan reads of it, and what a partition of it costs to read. */
interface Look {
  readonly source: Source;
  readonly reads: Ranges;
  readonly extent: Ranges;
  readonly rowsPerPartition: number;
}

async function lookAt(database: Database, source: Source, reads: Ranges, extent: Ranges): Promise<Preflight> {
  const table = await tableSize(database, tableName(source.table));
  const rows = table.rows === null || table.rows === 0 ? table.bytes / bytesOfRow : table.rows;
  const look = { source, reads, extent, rowsPerPartition: rows / Math.max(1, size(extent)) };
  const keys = await lookForDuplicates(database, look);
  if (!isProfiled(source)) return keys;
  if ((await partitionIndexWarning(database, source)) !== undefined) {
    // Without an index each look would read the whole table; the plan warns of that anyway.
    return { ...keys, looked: ["no partitions, for want of an index", ...keys.looked] };
  }
  const found = [
    await lookForGaps(database, { ...look, source }),
    await lookForAnomalies(database, { ...look, source }),
    keys,
  ];
  return { findings: found.flatMap(({ findings }) => findings), looked: found.flatMap(({ looked }) => looked) };
}

type OrderedLook = Look & { readonly source: Source & { readonly partitions: OrderedScheme } };

const nothing: Preflight = { findings: [], looked: [] };

async function lookForGaps(database: Database, { source, reads }: OrderedLook): Promise<Preflight> {
  const probed = [...ordinalsOf(reads)].slice(-mostProbed);
  const empty = await briefly(database, (tx) => emptyPartitions(tx, source, probed));
  if (empty === undefined) return { ...nothing, looked: ["no gaps, which took too long"] };
  const gaps = gapsIn(probed, empty, periodOf(source.partitions));
  const looked = [`${count(probed.length, "partition")} for gaps`];
  if (gaps.length === 0) return { findings: [], looked };
  const finding: PreflightFinding = {
    code: "missing_partitions",
    severity: "warn",
    dataset: source.name,
    what: `${source.name} has no rows in ${count(gaps.length, "partition")} between others that the plan reads`,
    seen: `nothing in ${describePartitions(source.partitions, rangesOfOrdinals(gaps))}`,
    mitigation: "load them first, or go on if there is nothing to load: what is computed from them has no rows either",
  };
  return { findings: [finding], looked };
}

async function lookForAnomalies(
  database: Database,
  { source, reads, extent, rowsPerPartition }: OrderedLook,
): Promise<Preflight> {
  const affordable = Math.min(mostCounted, Math.floor(mostRows / Math.max(1, rowsPerPartition)));
  if (affordable <= leastHistory) {
    const each = count(Math.round(rowsPerPartition), "row");
    return { ...nothing, looked: [`no rows, about ${each} a partition being too many to count`] };
  }
  const chosen = nearestTo(reads, extent, affordable);
  const columns = (await tableColumns(database, tableName(source.table))).filter(({ notNull }) => !notNull);
  const subject = { derived: source, relation: tableName(source.table), columns, nullsAlone: true };
  const counted = await briefly(database, (tx) => profile(tx, subject, chosen));
  if (counted === undefined) return { ...nothing, looked: ["no rows, which took too long to count"] };
  const filled = counted.filter(({ rows }) => rows > 0);
  const total = filled.reduce((sum, { rows }) => sum + rows, 0);
  const looked = [`${count(total, "row")} of ${count(chosen.length, "partition")} counted`];
  return { findings: anomalyFindings(source, reads, filled), looked };
}

/** Partitions that there are, nearest to the last one that is read, in order. */
function nearestTo(reads: Ranges, extent: Ranges, most: number): number[] {
  const last = (reads.at(-1)?.[1] ?? 1) - 1;
  const near: number[] = [];
  for (let away = 0; near.length < most && away <= 2 * mostProbed; away += 1) {
    for (const ordinal of away === 0 ? [last] : [last - away, last + away]) {
      if (near.length < most && contains(extent, ordinal)) near.push(ordinal);
    }
  }
  return near.sort((a, b) => a - b);
}

interface Off {
  readonly partition: number;
  readonly anomaly: Anomaly;
}

/** One finding a metric. What is not read is the history, where there is enough of it. */
function anomalyFindings(
  source: OrderedLook["source"],
  reads: Ranges,
  counted: readonly PartitionMetrics[],
): PreflightFinding[] {
  const subjects = counted.filter(({ partition }) => contains(reads, partition));
  const others = counted.filter(({ partition }) => !contains(reads, partition));
  const history = others.length >= leastHistory ? others : counted;
  const period = periodOf(source.partitions);
  const off = subjects.flatMap((subject) => {
    const found = findAnomalies(subject, history, { period });
    // Of the few rows of a partition that is not full, the share of nulls says nothing more.
    const told = found.some(({ metric }) => metric === "rows")
      ? found.filter(({ metric }) => metric === "rows")
      : found;
    return told.map((anomaly): Off => ({ partition: subject.partition, anomaly }));
  });
  return [...new Set(off.map(({ anomaly }) => anomaly.metric))].map((metric) => {
    const same = off
      .filter(({ anomaly }) => anomaly.metric === metric)
      .sort((a, b) => b.anomaly.score - a.anomaly.score);
    return anomalyFinding(source, metric, same as [Off, ...Off[]], subjects.length);
  });
}

function anomalyFinding(
  { name, partitions }: OrderedLook["source"],
  metric: string,
  [worst, ...rest]: readonly [Off, ...Off[]],
  of: number,
): PreflightFinding {
  const { value, expected } = worst.anomaly;
  const isRows = metric === "rows";
  const column = /^nulls\((.*)\)$/.exec(metric)?.[1];
  const share = (part: number) => (isRows ? shortNumber(part) : `${(part * 100).toFixed(1)} %`);
  return {
    code: "unusual_rows",
    severity: "warn",
    dataset: name,
    ...(column === undefined ? {} : { column }),
    what: `${name} has unusually ${isRows ? "many or few rows" : `many or few nulls in ${column}`} in ${rest.length + 1} of ${count(of, "partition")} that the plan reads`,
    seen: `${labelOf(partitions, worst.partition)} has ${share(value)} where ${share(expected)} is usual`,
    mitigation: isRows
      ? "look whether these partitions were loaded in full; while they still fill, plan up to the one before"
      : `look at what fills ${column} since then, and correct it before anything is computed from it`,
  };
}

async function lookForDuplicates(database: Database, { source, reads, rowsPerPartition }: Look): Promise<Preflight> {
  const key = (source.key ?? []).map((column) => column.name);
  if (key.length === 0) return nothing;
  const [table, names] = [tableName(source.table), identifiers(key)];
  if (await isUniqueByIndex(database, table, key)) return { ...nothing, looked: ["a key that an index keeps unique"] };
  const newest = [...ordinalsOf(reads)].slice(-Math.max(1, Math.floor(mostKeys / Math.max(1, rowsPerPartition))));
  const found = await briefly(database, (tx) => repeatedKeys(tx, source, key, rangesOfOrdinals(newest), mostKeys));
  if (found === undefined) return { ...nothing, looked: ["no keys, which took too long"] };
  const looked = [`the keys of ${count(found.looked, "row")}`];
  if (found.repeated === 0) return { findings: [], looked };
  const finding: PreflightFinding = {
    code: "duplicate_keys",
    severity: "warn",
    dataset: source.name,
    what: `${source.name} has rows that share the key (${key.join(", ")})`,
    seen: `${count(found.repeated, "key")} of ${count(found.looked, "row")} more than once`,
    mitigation:
      `find them with: select ${names}, count(*) from ${table} group by ${names} having count(*) > 1; remove them, ` +
      `or take one of each in the transform; this keeps them out: create unique index concurrently on ${table} (${names})`,
  };
  return { findings: [finding], looked };
}
