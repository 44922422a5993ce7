/** Table `check_result`, and the holds that failed checks put on a dataset of a backfill. */
import { type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { CheckEvidence } from "../report.ts";
import type { Tx } from "../tx.ts";

export interface NewCheckResult {
  readonly name: string;
  readonly severity: "error" | "warn";
  readonly failures: number;
  /** With the short hash of the rule, where it is about the whole dataset. */
  readonly evidence: CheckEvidence & { readonly rule?: string };
}

/** A rule by name and short hash. */
export interface RuleVersion {
  readonly name: string;
  readonly rule: string;
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

/**
 * The same of the rules about the dataset as a whole alone. What else was found when the backfill was verified (anomalies,
 * baselines) is not asked again, and stays.
 */
export async function clearRuleResults(tx: Tx, of: Omit<CheckedPartition, "partition">): Promise<void> {
  await tx.query(
    `delete from rederive.check_result
     where backfill = $1::text and dataset = $2::text and partition is null and evidence ? 'rule'`,
    [of.backfill, of.dataset],
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

/** A partition whose content was stamped. */
export interface StampedContent {
  readonly partition: number;
  readonly stamp: string;
  /** Of the task that made it, live or not. */
  readonly backfill: string;
}

interface ContentSelection {
  readonly dataset: string;
  /** All where undefined. */
  readonly partitions: Ranges | undefined;
  /** Only content that was not judged by all of these rules, or broke one; all where undefined. */
  readonly notBy: readonly RuleVersion[] | undefined;
}

const selected = `($2::text is null or $2::text::int8multirange @> s.partition)
  and ($3::text is null or not s.checks @> $3::text::jsonb or s.checks @? '$[*] ? (@.failures > 0)')`;

function selectionParams({ dataset, partitions, notBy }: ContentSelection): (string | null)[] {
  return [
    dataset,
    partitions === undefined ? null : toMultirange(partitions),
    notBy === undefined ? null : JSON.stringify(notBy),
  ];
}

/** What a backfill computed of a dataset, in order. */
export async function candidateContents(
  tx: Tx,
  backfill: string,
  selection: ContentSelection,
): Promise<StampedContent[]> {
  return tx.query<StampedContent>(
    `select s.partition::float8 as partition, s.id::text as stamp, s.backfill
     from rederive.stamp s join rederive.task t on t.id = s.task
     where s.dataset = $1::text and ${selected} and s.backfill = $4::text and t.state = 'done' order by s.partition`,
    [...selectionParams(selection), backfill],
  );
}

/** What is live of a dataset, in order. */
export async function liveStamps(tx: Tx, selection: ContentSelection): Promise<StampedContent[]> {
  return tx.query<StampedContent>(
    `select l.partition::float8 as partition, s.id::text as stamp, s.backfill
     from rederive.live l join rederive.stamp s on s.id = l.stamp
     where l.dataset = $1::text and ${selected} order by s.partition`,
    selectionParams(selection),
  );
}

/**
 * Notes by which rules the content was judged now. False where it was computed anew meanwhile. A stamp that says so
 * already is not written again: scheduled looks would fill the table with dead rows.
 */
export async function restampChecks(tx: Tx, stamp: string, checks: readonly StampedCheck[]): Promise<boolean> {
  const rows = await tx.query(
    `with changed as (
       update rederive.stamp set checks = $2::text::jsonb where id = $1::int8 and checks <> $2::text::jsonb
     ) select id from rederive.stamp where id = $1::int8`,
    [stamp, JSON.stringify(checks)],
  );
  return rows.length > 0;
}

/** Notes that all of what is live was judged by the checks of this metadata, so that plans ask for it no more. */
export async function markValidated(
  tx: Tx,
  args: { readonly dataset: string; readonly metadata: string },
): Promise<void> {
  await tx.query(
    `update rederive.live set metadata = $2::text where dataset = $1::text and metadata is distinct from $2::text`,
    [args.dataset, args.metadata],
  );
}

/** The rules of the whole dataset that held when a backfill was judged last. */
export async function rulesAcross(tx: Tx, backfill: string, dataset: string): Promise<RuleVersion[]> {
  return tx.query<RuleVersion>(
    `select name, coalesce(evidence ->> 'rule', '') as rule from rederive.check_result
     where backfill = $1::text and dataset = $2::text and partition is null and failures = 0`,
    [backfill, dataset],
  );
}
