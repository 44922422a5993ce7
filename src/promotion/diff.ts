/** What a promotion would do, without doing it: counts, columns and samples per dataset, all under one snapshot. */
import type { Diff } from "../report.ts";
import { stampedPartitions } from "../store/live.ts";
import type { Database } from "../tx.ts";
import { describeDifferences, findDifferences } from "../warehouse/compare.ts";
import { pinTransaction } from "../warehouse/locks.ts";
import { createScratch } from "../warehouse/restore.ts";
import { loadTarget, type MergeInput } from "../warehouse/target.ts";

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
      const datasets = [];
      for (const [index, input] of request.datasets.entries()) {
        const target = await loadTarget(tx, { ...input, restorePoint: `pg_temp.rederive_diff_${index}` });
        const partitions = await stampedPartitions(tx, request.backfill, target.dataset);
        await createScratch(tx, target);
        const found = await findDifferences(tx, target, partitions);
        const rows = partitions.reduce((sum, partition) => sum + partition.rows, 0);
        datasets.push(await describeDifferences(tx, target, found, { rows, samples: request.samples ?? 3 }));
      }
      return { backfill: request.backfill, datasets };
    },
    { isolation: "repeatable read" },
  );
}
