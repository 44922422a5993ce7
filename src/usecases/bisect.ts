/**
 * Why candidates differ from what is live: from datasets to partitions, to rows and columns, to the input rows.
 *
 * 1. The differences of every dataset are found as a promotion would find them, of what the stamps do not prove equal.
 * 2. They are counted by partition and column, and a few rows are taken, of as many partitions as possible.
 * 3. Each of these rows is traced to the input rows behind it (trace.ts).
 */
import { labelOf } from "../catalog/label.ts";
import { contains } from "../catalog/ranges.ts";
import { type RunDataset, RunPlans } from "../executor/run-plan.ts";
import type { DatasetChange } from "../plan.ts";
import { type Compared, differencesOf } from "../promotion/diff.ts";
import type { BisectedRow, Bisection, DatasetBisection } from "../report.ts";
import { decisionOf } from "../store/backfills.ts";
import { redefinedPartitions } from "../store/divergence.ts";
import { unchangedPartitions } from "../store/live.ts";
import { withSpan } from "../telemetry/spans.ts";
import type { Tx } from "../tx.ts";
import {
  addedRows,
  type DifferingRow,
  differencesByPartition,
  differingRows,
  movedInto,
  type PartitionDifference,
} from "../warehouse/bisect.ts";
import { pinTransaction } from "../warehouse/locks.ts";
import { loadTarget, type MergeInput, type Target } from "../warehouse/target.ts";
import { type Context, requireBackfill } from "./context.ts";
import { mergeInputs, requireComparable } from "./publish.ts";
import { type Divergence, traceRows } from "./trace.ts";

export interface BisectOptions {
  /** Differing rows to trace for each dataset. Default 5, at most 50. */
  readonly rows?: number | undefined;
}

const partitionsShown = 20;
const mostRows = 50;

/** Under one snapshot; writes temporary tables alone. Throws `wrong_state` where there is nothing to compare. */
export async function bisect(context: Context, id: string, options: BisectOptions): Promise<Bisection> {
  return withSpan("rederive bisect", { "rederive.backfill": id }, () => bisectAll(context, id, options));
}

async function bisectAll(context: Context, id: string, { rows = 5 }: BisectOptions): Promise<Bisection> {
  const row = await requireBackfill(context.database, id);
  requireComparable(row);
  const inputs = await mergeInputs(context, id);
  const plans = new RunPlans(context.database);
  const plan = await plans.plan(id);
  const runs = await Promise.all(inputs.map(({ derived }) => plans.dataset(plan, derived)));
  const { changes } = decisionOf(row);
  return context.database.transaction(
    async (tx) => {
      await pinTransaction(tx, { lockTimeoutMs: context.settings.lockTimeoutMs });
      const divergences = new Map<string, Divergence>();
      for (const [index, run] of runs.entries()) {
        const merged = { ...(inputs[index] as MergeInput), restorePoint: `pg_temp.rederive_bisect_${index}` };
        const divergence = await divergenceOf(tx, id, run, await loadTarget(tx, merged), changes);
        divergences.set(run.derived.name, divergence);
      }
      const unchanged = await unchangedPartitions(tx, id);
      const scene = { tx, catalog: context.catalog, plan, unchanged, divergences };
      const datasets: DatasetBisection[] = [];
      for (const divergence of divergences.values()) {
        const chosen = await rowsToTrace(tx, divergence, Math.min(Math.max(1, rows), mostRows));
        datasets.push(reportOf(divergence, await traceRows(scene, divergence, chosen)));
      }
      return { backfill: id, datasets };
    },
    { isolation: "repeatable read" },
  );
}

async function divergenceOf(
  tx: Tx,
  backfill: string,
  run: RunDataset,
  target: Target,
  changes: readonly DatasetChange[],
): Promise<Divergence> {
  const compared = await differencesOf(tx, target, backfill);
  const noted = await differencesByPartition(tx, target, ordinalsOf(compared));
  const partitions = [...noted, ...(await filledPartitions(tx, target, compared))]
    .filter((each) => sizeOf(each) > 0)
    .sort((a, b) => sizeOf(b) - sizeOf(a) || a.partition - b.partition);
  const redefined = await redefinedPartitions(tx, backfill, target.dataset);
  const change = changes.find(({ dataset }) => dataset === target.dataset);
  return { target, run, compared, redefined, change, partitions };
}

/** Partitions that had no row: all of their rows were added, but for those that moved there. */
async function filledPartitions(tx: Tx, target: Target, { found, read }: Compared): Promise<PartitionDifference[]> {
  const filled = read.filter(({ partition, rows }) => rows > 0 && contains(found.wasEmpty, partition));
  const ordinals = filled.map(({ partition }) => partition);
  const moved = found.movedIntoEmpty === 0 ? new Map<number, number>() : await movedInto(tx, target, ordinals);
  return filled.map(({ partition, rows }) => {
    return { partition, added: rows - (moved.get(partition) ?? 0), removed: 0, changed: 0, columns: {} };
  });
}

/** Rows of the worst partitions; of partitions that had no row only where others give too few. */
async function rowsToTrace(
  tx: Tx,
  { target, compared, partitions }: Divergence,
  limit: number,
): Promise<DifferingRow[]> {
  const isFilled = ({ partition }: PartitionDifference) => contains(compared.found.wasEmpty, partition);
  const worst = (some: readonly PartitionDifference[]) => some.slice(0, limit).map(({ partition }) => partition);
  const wanted = worst(partitions.filter((each) => !isFilled(each)));
  const rows = await differingRows(tx, target, ordinalsOf(compared), { wanted, limit });
  for (const partition of worst(partitions.filter(isFilled))) {
    if (rows.length >= limit) break;
    rows.push(...(await addedRows(tx, target, partition, limit - rows.length)));
  }
  return rows;
}

function reportOf({ target, compared, partitions, redefined }: Divergence, rows: BisectedRow[]): DatasetBisection {
  return {
    dataset: target.dataset,
    compared: compared.partitions.length,
    proven: compared.partitions.length - compared.read.length,
    divergent: partitions.length,
    partitions: partitions.slice(0, partitionsShown).map(({ partition, ...counts }) => ({
      partition: labelOf(target.derived.partitions, partition),
      ...counts,
      redefined: contains(redefined, partition),
    })),
    rows,
  };
}

function ordinalsOf({ read }: Compared): number[] {
  return read.map(({ partition }) => partition);
}

function sizeOf({ added, removed, changed }: PartitionDifference): number {
  return added + removed + changed;
}
