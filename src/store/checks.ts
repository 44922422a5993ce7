/** Table `check_result`, and the holds that failed checks put on a dataset of a backfill. */
import type { CheckOutcome } from "../report.ts";
import type { Tx } from "../tx.ts";

export interface NewCheckResult {
  readonly name: string;
  readonly severity: "error" | "warn";
  readonly failures: number;
  readonly evidence: CheckOutcome["evidence"];
}

/** What a stamp tells of one check: which version of it judged the content, and how many rows failed. */
export interface StampedCheck {
  readonly name: string;
  readonly severity: "error" | "warn";
  readonly failures: number;
  /** Short hash of the rule as it was then; stamps of older versions have none. */
  readonly rule?: string;
}

interface CheckedPartition {
  readonly backfill: string;
  readonly dataset: string;
  /** Null for a check of the whole dataset. */
  readonly partition: string | null;
}

/** Failed checks are rows; that a check ran and held is in the stamp, because a row for each would dwarf the tasks. */
export async function insertCheckResults(
  tx: Tx,
  args: CheckedPartition & { readonly results: readonly NewCheckResult[] },
): Promise<void> {
  await tx.query(
    `insert into rederive.check_result (backfill, dataset, partition, name, severity, failures, evidence)
     select $1::text, $2::text, $3::int8, r.name, r.severity, r.failures, r.evidence
     from jsonb_to_recordset($4::text::jsonb) as r (name text, severity text, failures int8, evidence jsonb)`,
    [args.backfill, args.dataset, args.partition, JSON.stringify(args.results)],
  );
}

/** Forgets what an earlier attempt found, since its output is replaced. */
export async function clearCheckResults(tx: Tx, args: CheckedPartition): Promise<void> {
  await tx.query(
    `delete from rederive.check_result
     where backfill = $1::text and dataset = $2::text and partition is not distinct from $3::int8`,
    [args.backfill, args.dataset, args.partition],
  );
}

/** Nothing downstream of a held dataset starts. The first reason stays; false where it was held already. */
export async function holdDataset(
  tx: Tx,
  args: { readonly backfill: string; readonly dataset: string; readonly reason: string },
): Promise<boolean> {
  const rows = await tx.query(
    `update rederive.backfill_dataset set held = true, hold_reason = $3::text, held_at = clock_timestamp()
     where backfill = $1::text and dataset = $2::text and not held returning dataset`,
    [args.backfill, args.dataset, args.reason],
  );
  return rows.length > 0;
}
