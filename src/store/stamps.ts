/** Table `stamp`: what each task read, ran and wrote. `finishTask` in claims.ts writes it with the task's last update. */

import type { Tx } from "../tx.ts";
import type { StampInput } from "./claims.ts";

export interface StampRow {
  readonly id: string;
  readonly task: string;
  readonly backfill: string;
  readonly dataset: string;
  readonly partition: number;
  readonly epoch: number;
  readonly fingerprint: string;
  readonly definition: string;
  readonly inputs: readonly StampInput[];
  readonly snapshot: string;
  readonly rowsRead: number | null;
  readonly rowsWritten: number;
  readonly hashAlgorithm: string;
  readonly outputHash: string;
  readonly checks: readonly { readonly name: string; readonly severity: "error" | "warn"; readonly failures: number }[];
  readonly worker: string;
  readonly traceId: string | null;
  readonly seconds: number;
}

/** The stamp of one partition in one backfill; undefined where it has not been computed. */
export async function readStamp(
  tx: Tx,
  args: { readonly backfill: string; readonly dataset: string; readonly partition: number },
): Promise<StampRow | undefined> {
  const [row] = await tx.query<StampRow>(
    `select id::text as id, task::text as task, backfill, dataset, partition::float8 as partition, epoch, fingerprint,
       definition, inputs, snapshot, rows_read::float8 as "rowsRead", rows_written::float8 as "rowsWritten",
       hash_algorithm as "hashAlgorithm", output_hash as "outputHash", checks, worker, trace_id as "traceId",
       extract(epoch from finished_at - started_at)::float8 as seconds
     from rederive.stamp
     where dataset = $2::text and partition = $3::int8 and backfill = $1::text`,
    [args.backfill, args.dataset, args.partition],
  );
  return row;
}
