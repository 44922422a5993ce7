/** What was computed of some partitions beside what is live in them, partition by partition, as a promotion would find it. */
import type { DatasetDiff } from "../report.ts";
import type { Tx } from "../tx.ts";
import { describeDifferences, findDifferences, type PartitionRows } from "../warehouse/compare.ts";
import { createScratch, emptyScratch } from "../warehouse/restore.ts";
import type { Target } from "../warehouse/target.ts";

/** One entry a partition, in order; the samples, `samples` of each kind at most, are all with the first ones that differ. */
export async function comparePartitions(
  tx: Tx,
  target: Target,
  partitions: readonly PartitionRows[],
  samples: number,
): Promise<DatasetDiff[]> {
  const diffs: DatasetDiff[] = [];
  await createScratch(tx, target);
  for (const each of partitions) {
    const found = await findDifferences(tx, target, [each]);
    const shown = diffs.some((diff) => diff.samples.length > 0) ? 0 : samples;
    diffs.push(await describeDifferences(tx, target, found, { rows: each.rows, samples: shown }));
    await emptyScratch(tx, target);
  }
  return diffs;
}

/** Counts and columns of all of them; the samples of each. */
export function addUp(dataset: string, diffs: readonly DatasetDiff[]): DatasetDiff {
  const total = (pick: (diff: DatasetDiff) => number) => diffs.reduce((sum, diff) => sum + pick(diff), 0);
  const columns = new Map<string, number>();
  for (const diff of diffs) {
    for (const [name, count] of Object.entries(diff.columns)) columns.set(name, (columns.get(name) ?? 0) + count);
  }
  return {
    dataset,
    added: total(({ added }) => added),
    removed: total(({ removed }) => removed),
    changed: total(({ changed }) => changed),
    unchanged: total(({ unchanged }) => unchanged),
    columns: Object.fromEntries(columns),
    samples: diffs.flatMap(({ samples }) => samples),
  };
}
