/** What the use cases report: plain, JSON-serialisable values. The command line and the HTTP API print them as they are. */
import type { BackfillState, TaskState } from "./states.ts";

export type TaskCounts = Readonly<Record<TaskState, number>>;

export interface DatasetStatus {
  readonly dataset: string;
  readonly tasks: TaskCounts;
  readonly held: boolean;
  readonly holdReason?: string;
  /** Rows written into the candidate so far. */
  readonly rows: number;
}

/** A task that needs a person: failed or quarantined. */
export interface Trouble {
  readonly dataset: string;
  /** Human label, for example 2001-01-31. */
  readonly partition: string;
  readonly ordinal: number;
  readonly state: TaskState;
  readonly attempts: number;
  /** `code` is an error code of errors.ts or a SQLSTATE. */
  readonly error: { readonly code: string; readonly message: string };
}

export interface CheckOutcome {
  readonly dataset: string;
  /** Null for a check of the whole dataset. */
  readonly partition: string | null;
  readonly name: string;
  readonly severity: "error" | "warn";
  readonly failures: number;
  readonly evidence: CheckEvidence;
}

export interface CheckEvidence {
  readonly message: string;
  /** At most ten offending rows as text; values of masked columns are "(masked)". */
  readonly rows: readonly Readonly<Record<string, string | null>>[];
  /** The query that finds them; null where they were removed. */
  readonly sql?: string | null;
  /** What the failing partition was computed from; what this backfill computed comes first. */
  readonly suspects?: readonly Suspect[];
}

/** Partitions of an input that fed a failing partition. */
export interface Suspect {
  /** Handle of the input. */
  readonly input: string;
  readonly dataset: string;
  /** Labels, for example "2001-01-30 to 2001-01-31 (2)". */
  readonly partitions: string;
  /** "candidate": recomputed by the same backfill. "live": read as it was. */
  readonly from: "candidate" | "live";
}

/** What checking again found, of the candidates of one backfill or of what is live. */
export interface CheckReport {
  /** Null for live content. */
  readonly backfill: string | null;
  readonly scope: "candidates" | "live";
  /** A check of severity error failed. */
  readonly failed: boolean;
  readonly datasets: readonly CheckedDataset[];
}

export interface CheckedDataset {
  readonly dataset: string;
  /** Partitions that were looked at. */
  readonly checked: number;
  /** Partitions that were left out, because these very rules were known to hold. */
  readonly upToDate: number;
  /** How many checks failed, counted per partition. */
  readonly failing: number;
  /** The first 100 of them. */
  readonly failures: readonly CheckOutcome[];
}

/** What is known of the live data of a dataset that is validated on a schedule. */
export interface LiveValidation {
  readonly dataset: string;
  /** As it is declared, such as "1h". */
  readonly every: string;
  /** The last look; null where there was none yet. */
  readonly startedAt: string | null;
  /** Null while it is under way, or where its process died. */
  readonly finishedAt: string | null;
  /** Partitions that it read: 0 where nobody had written anything. */
  readonly checked: number | null;
  /** Checks that fail, counted per partition; null where the look could not be made. */
  readonly failing: number | null;
  /** Why it could not be made. */
  readonly error: string | null;
  /** The first 20, those of severity error first. */
  readonly failures: readonly CheckOutcome[];
}

/** What was counted in one partition; columns by database name. */
export interface PartitionMetrics {
  readonly partition: number;
  readonly rows: number;
  /** Nulls of columns that may have some. */
  readonly nulls: Readonly<Record<string, number>>;
  /** Distinct values of columns that cannot be added up. */
  readonly distinct: Readonly<Record<string, number>>;
  /** Sums of numbers, and how often a boolean is true. */
  readonly sums: Readonly<Record<string, number>>;
}

/** One version of a golden baseline. */
export interface Baseline {
  readonly name: string;
  readonly version: number;
  readonly dataset: string;
  /** Labels; null for all partitions, and for a query. */
  readonly partitions: string | null;
  /** Null where it holds rows of the dataset itself. */
  readonly query: string | null;
  /** What tells rows apart; empty where they are compared as a whole. */
  readonly key: readonly string[];
  /** How far numbers may be off, by column. */
  readonly tolerance: Readonly<Record<string, { readonly absolute: number } | { readonly relative: number }>>;
  readonly severity: "error" | "warn";
  readonly rows: number;
  readonly contentHash: string;
  /** Where the rows came from. */
  readonly provenance: {
    /** Of the definitions that the live content was computed with. */
    readonly fingerprints: readonly string[];
    /** Those that it was promoted by, at most twenty. */
    readonly backfills: readonly string[];
    /** Digest of the live stamps; null where nothing was promoted. */
    readonly stamps: string | null;
    /** Version of Postgres. */
    readonly server: string;
  };
  readonly state: "captured" | "approved" | "retired";
  readonly reason: string;
  readonly capturedBy: string;
  readonly capturedAt: string;
  readonly decidedBy: string | null;
  readonly decidedAt: string | null;
}

/** Whether a deadline can be met, and whether it was. Instants as ISO 8601. */
export interface DeadlineForecast {
  readonly at: string;
  /** `met`: even the slow end of the interval is in time. `missed`: not even the fast end. */
  readonly verdict: "met" | "at_risk" | "missed" | "unknown";
  /** Set once, when the run is seen to miss it. */
  readonly late?: Lateness;
}

export interface Lateness {
  readonly seenAt: string;
  /** When the run will end at its pace so far; null where there is none. */
  readonly expected: string | null;
}

/** One phase of a backfill that widens step by step. */
export interface PhaseStatus {
  readonly name: string;
  readonly tasks: number;
  /** What stands after it. */
  readonly gate: "automatic" | "approval";
  /** waiting: not begun. judged: nothing was found, and somebody has to approve it. */
  readonly state: "waiting" | "open" | "judged" | "passed";
  readonly judgedAt: string | null;
  readonly passedAt: string | null;
  readonly passedBy: string | null;
  /** What differed from live at its gate, of all that was computed by then. */
  readonly found: readonly Pick<DatasetDiff, "dataset" | "added" | "removed" | "changed" | "unchanged">[] | null;
}

export interface Status {
  readonly backfill: string;
  readonly planHash: string;
  readonly state: BackfillState;
  readonly stateReason: string | null;
  readonly reason: string;
  readonly requestedBy: string;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Where the plan has one. */
  readonly deadline?: DeadlineForecast;
  readonly tasks: TaskCounts;
  readonly total: number;
  readonly datasets: readonly DatasetStatus[];
  /** In order; absent where everything runs at once. */
  readonly phases?: readonly PhaseStatus[];
  readonly troubles: readonly Trouble[];
  /** Failed checks alone, newest first, at most 100. */
  readonly failedChecks: readonly CheckOutcome[];
  /** Wall-clock seconds from start to the last change of state, or to now. */
  readonly seconds: number;
  readonly workers: number;
}

export interface DatasetDiff {
  readonly dataset: string;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly unchanged: number;
  /** How many changed rows differ in each column. */
  readonly columns: Readonly<Record<string, number>>;
  /** A few differing rows as text, keyed by column. */
  readonly samples: readonly {
    readonly kind: "added" | "removed" | "changed";
    readonly before: Readonly<Record<string, string | null>> | null;
    readonly after: Readonly<Record<string, string | null>> | null;
  }[];
}

/** What a plan needs before it starts, and before it is promoted. */
export interface Requirement {
  /** Approvals of the plan by people other than the one who asked for it. */
  readonly start: number;
  /** Approvals of what the promotion would change, by people other than the one who asked for it. */
  readonly promote: number;
  /** Owner groups of which somebody has to be among those who approve the plan. */
  readonly signOff: readonly string[];
}

/** What was said of a plan, oldest first. */
export interface Approvals {
  readonly backfill: string;
  readonly planHash: string;
  /** Cannot approve. */
  readonly requestedBy: string;
  readonly needed: Requirement;
  readonly entries: readonly ApprovalEntry[];
}

export interface ApprovalEntry {
  readonly act: "start" | "promote" | "rollback";
  readonly verdict: "approved" | "changes_requested" | "commented";
  readonly approver: string;
  readonly comment: string | null;
  /** ISO instants in UTC. */
  readonly at: string;
  readonly expiresAt: string;
  /** Of the difference that was approved; only for promotions. */
  readonly digest?: string;
  /** Why it does not count, where it does not. */
  readonly void?: VoidReason;
}

export type VoidReason =
  | "withdrawn"
  | "expired"
  | "self_approval"
  | "rights_lost"
  | "plan_changed"
  | "schema_changed"
  | "difference_changed"
  | "changes_requested";

export interface Diff {
  readonly backfill: string;
  /** What whoever approves the promotion approves: it changes with the counts and with the candidates' contents. */
  readonly digest: string;
  readonly datasets: readonly DatasetDiff[];
}

/** A number that is only known of a part: what is expected of all, and between what it lies in 19 of 20 cases. */
export interface Estimate {
  readonly expected: number;
  readonly low: number;
  readonly high: number;
}

/** Some partitions of a plan, computed apart and compared with what is live before anything runs. */
export interface Sample {
  /** How many tasks of the plan were tried, and how long that took. */
  readonly tasks: number;
  readonly seconds: number;
  readonly datasets: readonly SampledDataset[];
}

export interface SampledDataset extends DatasetDiff {
  /** Half-open ranges of the partitions that were computed. */
  readonly partitions: readonly (readonly [from: number, to: number])[];
  /** Partitions that the plan recomputes. */
  readonly of: number;
  /** Rows of all these, and seconds of work. Absent where no partition could be computed. */
  readonly estimates?: {
    readonly added: Estimate;
    readonly removed: Estimate;
    readonly changed: Estimate;
    readonly seconds: Estimate;
  };
  /** Partitions of recomputed inputs that were read from the sample, and those that were read as they are live instead. */
  readonly reads: { readonly sampled: number; readonly live: number };
  /** Checks that failed, the first 20. */
  readonly failedChecks: readonly CheckOutcome[];
  /** Partitions that could not be computed; `code` is an error code of errors.ts or a SQLSTATE. */
  readonly failures: readonly { readonly partition: string; readonly code: string; readonly message: string }[];
}

/** A divergence, from datasets to partitions, to rows, to the rows that these were computed from. */
export interface Bisection {
  readonly backfill: string;
  readonly datasets: readonly DatasetBisection[];
}

export interface DatasetBisection {
  readonly dataset: string;
  /** Partitions that the backfill computed. */
  readonly compared: number;
  /** Of these, the ones that the stamps prove equal: no row of them was read. */
  readonly proven: number;
  /** Those in which something differs. */
  readonly divergent: number;
  /** The 20 with the most differences, worst first. */
  readonly partitions: readonly PartitionDivergence[];
  /** A few differing rows, of as many partitions as possible. */
  readonly rows: readonly BisectedRow[];
}

export interface PartitionDivergence {
  /** Label. */
  readonly partition: string;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** In how many changed rows each column differs. */
  readonly columns: Readonly<Record<string, number>>;
  /** The live content has another definition. */
  readonly redefined: boolean;
}

type TextRow = Readonly<Record<string, string | null>>;

export interface BisectedRow {
  readonly partition: string;
  readonly kind: "added" | "removed" | "changed";
  readonly key: TextRow;
  /** Columns that differ, where the row is on both sides. */
  readonly columns: readonly string[];
  /** As it is live. Values as text; those of masked columns are "(masked)". */
  readonly before: TextRow | null;
  /** As the candidate has it. */
  readonly after: TextRow | null;
  /** Sentences: another definition, input rows that differ, writes of others, or what else is left. */
  readonly causes: readonly string[];
  readonly inputs: readonly BisectedInput[];
}

export interface BisectedInput {
  /** Handle of the input. */
  readonly input: string;
  readonly dataset: string;
  /** "candidate": recomputed by the same backfill. "live": read as it is. */
  readonly from: "candidate" | "live";
  /** Labels of the partitions that the mapping names. */
  readonly partitions: string;
  /** Columns of the key that the input has as well: rows with other values were left out. */
  readonly narrowedBy: readonly string[];
  /** Rows that differ between candidate and live table; null where no earlier rows are kept to compare with. */
  readonly differing: number | null;
  /** At most three: those that differ (`before` live, `after` candidate), or of what is live those that are read (`after`). */
  readonly rows: readonly { readonly before: TextRow | null; readonly after: TextRow | null }[];
}

/** What was looked at before anybody approves a plan, and what was found. */
export interface Preflight {
  /** Those that stop first. */
  readonly findings: readonly PreflightFinding[];
  /** What was looked at, and how much of it; a few words each. */
  readonly looked: readonly string[];
}

/** The same, asked again of a stored plan. */
export interface PreflightReport extends Preflight {
  readonly backfill: string;
  /** A finding stops it. */
  readonly stopped: boolean;
}

export type PreflightCode =
  | "incompatible_schema" // a column that somebody reads is not there, or holds less
  | "assumption_broken" // rows break what a dataset takes for granted
  | "schema_drift" // a table is not as it was when a run last started
  | "deprecated" // somebody reads what will go away
  | "past_removal" // somebody still reads what may be gone already
  | "missing_partitions" // a source has none of the rows of a partition between others
  | "unusual_rows" // a partition of a source is unlike the others in rows or nulls
  | "duplicate_keys" // rows of a source share its key
  | "disk_space"; // candidates and restore points may not fit

export interface PreflightFinding {
  readonly code: PreflightCode;
  /** `stop`: nothing is planned or started. */
  readonly severity: "stop" | "warn";
  readonly dataset: string;
  /** The dataset or exposure that is hurt, where it is another one. */
  readonly reader?: string;
  readonly column?: string;
  /** What is the matter, as a sentence. */
  readonly what: string;
  /** What was seen. */
  readonly seen: string;
  /** What to do about it. */
  readonly mitigation: string;
}

/** How the data behind an exposure is. */
export interface ExposureStatus {
  readonly exposure: string;
  readonly criticality: string;
  /** `diverged`: checks fail on live content. `unknown`: nothing that it reads was ever promoted. */
  readonly status: "fresh" | "recomputing" | "held" | "diverged" | "unknown";
  /** When the oldest of what it reads was promoted last; null where nothing was. */
  readonly asOf: string | null;
  readonly reads: readonly string[];
  /** Backfills under way of what it depends on. */
  readonly backfills: readonly string[];
  /** Datasets whose live content fails checks. */
  readonly diverged: readonly string[];
  readonly description?: string;
  readonly owner?: string;
}

export interface MergeCounts {
  readonly dataset: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

export interface MergeReport {
  readonly backfill: string;
  readonly state: BackfillState;
  readonly datasets: readonly MergeCounts[];
}

export interface Finding {
  readonly check: string;
  readonly level: "ok" | "warn" | "error";
  readonly message: string;
  /** What to do, often a command. */
  readonly remedy?: string;
}

export interface LimitSetting {
  /** A dataset or a shared resource. */
  readonly name: string;
  readonly rate: { readonly max: number; readonly perMs: number } | null;
  readonly concurrency: number | null;
}

/** The kind of progress line that `run` shows; the last one has event "finished". */
export type RunEvent =
  | {
      readonly event: "progress";
      readonly backfill: string;
      readonly state: BackfillState;
      readonly tasks: TaskCounts;
      readonly total: number;
      readonly rows: number;
      readonly seconds: number;
    }
  | { readonly event: "held"; readonly backfill: string; readonly dataset: string; readonly reason: string }
  | {
      /** The deadline will be missed, or has passed. Once a run. */
      readonly event: "late";
      readonly backfill: string;
      readonly deadline: string;
      /** When the run will end at its pace so far. */
      readonly expected: string | null;
      readonly message: string;
    }
  | {
      readonly event: "finished";
      readonly backfill: string;
      readonly state: BackfillState;
      readonly tasks: Pick<TaskCounts, "done" | "unchanged" | "failed" | "quarantined" | "cancelled">;
      readonly seconds: number;
    };
