/**
 * What a promotion would do, without doing it: counts, columns and samples per dataset, all under one snapshot. Rows are
 * read only of partitions that the stamps do not prove equal.
 */
import { contains } from "../catalog/ranges.ts";
import type { DatasetDiff, Diff } from "../report.ts";
import { type StampedPartition, stampedPartitions } from "../store/live.ts";
import { provenEqual } from "../store/writes.ts";
import type { Database, Tx } from "../tx.ts";
import { type Differences, describeDifferences, findDifferences } from "../warehouse/compare.ts";
import { pinTransaction } from "../warehouse/locks.ts";
import { createScratch } from "../warehouse/restore.ts";
import { loadTarget, type MergeInput, type Target } from "../warehouse/target.ts";
import { writeCounts } from "../warehouse/writes.ts";
import { differenceDigest } from "./difference.ts";

export interface DiffRequest {
  readonly backfill: string;
  readonly datasets: readonly Omit<MergeInput, "restorePoint">[];
  /** Sample rows of each kind and dataset. Default 3. */
  readonly samples?: number;
}

/** Compares the partitions whose tasks are done with what is live. Writes temporary tables alone. */
export async function diff(database: Database, request: DiffRequest): Promise<Diff> {
  return database.transaction(
    async (tx) => {
      await pinTransaction(tx, { lockTimeoutMs: 500 });
      const datasets: DatasetDiff[] = [];
      for (const [index, input] of request.datasets.entries()) {
        const target = await loadTarget(tx, { ...input, restorePoint: `pg_temp.rederive_diff_${index}` });
        datasets.push(await diffDataset(tx, target, request));
      }
      return { backfill: request.backfill, digest: await differenceDigest(tx, request.backfill, datasets), datasets };
    },
    { isolation: "repeatable read" },
  );
}

async function diffDataset(tx: Tx, target: Target, { backfill, samples }: DiffRequest): Promise<DatasetDiff> {
  const { found, rows } = await differencesOf(tx, target, backfill);
  return describeDifferences(tx, target, found, { rows, samples: samples ?? 3 });
}

/** What differs in the partitions whose tasks are done. */
export interface Compared {
  readonly found: Differences;
  /** Rows that the candidate has in all of them. */
  readonly rows: number;
  readonly partitions: readonly StampedPartition[];
  /** Those that were read; of the others the stamps prove that they are equal. */
  readonly read: readonly StampedPartition[];
}

/** Fills a temporary restore point with what differs. */
export async function differencesOf(tx: Tx, target: Target, backfill: string): Promise<Compared> {
  const { dataset, derived } = target;
  const partitions = await stampedPartitions(tx, backfill, dataset);
  const equal = await provenEqual(tx, backfill, { dataset, ...(await writeCounts(tx, derived)) });
  await createScratch(tx, target);
  const read = partitions.filter(({ partition }) => !contains(equal, partition));
  const found = await findDifferences(tx, target, read);
  return { found, rows: partitions.reduce((sum, partition) => sum + partition.rows, 0), partitions, read };
}
