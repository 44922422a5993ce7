/**
 * The plan: a frozen value. `decision` is what people approve and what runs; it is hashed as canonical JSON.
 * `forecast` is what we expect it to cost; it may be refined and is not part of the hash.
 *
 * Partitions are always ranges of ordinals, never lists of tasks, so a plan of a million tasks stays small.
 */
import type { Ranges } from "./catalog/ranges.ts";
import { hashOf } from "./hash.ts";
import type { DeadlineForecast, Preflight, Sample } from "./report.ts";

/** How far a backfill may reach; what differs beyond it holds the backfill. Nothing is said by what is left out. */
export interface Expectation {
  /**
   * Owned columns, by their database names, in which rows may differ. A row that appears or disappears is outside, unless
   * all columns of the key are named too.
   */
  readonly columns?: readonly string[];
  /** Rows of a dataset that are added, removed or changed, at most. */
  readonly maxChangedRows?: number;
  /** The same as a share, 0 to 1, of the rows that were or will be in the recomputed partitions, whichever are more. */
  readonly maxChangedRatio?: number;
  /** A condition in SQL over the owned columns, which every row that differs satisfies, before and after. */
  readonly where?: string;
}

/**
 * `maxChangedRows` and `maxChangedRatio` hold for every recomputed dataset; `columns` and `where` for those that are
 * recomputed because of themselves or the request, not only because of what they read. `datasets` says it anew, and in
 * full, for those that are named there.
 */
export interface RequestedExpectation extends Expectation {
  readonly datasets?: Readonly<Record<string, Expectation>>;
}

/** What a plan says of one of its datasets. */
export interface DatasetExpectation extends Expectation {
  readonly dataset: string;
}

/** A run that widens step by step, each step judged before the next begins. */
export interface RequestedPhases {
  /** Begin with a few partitions from all over, of what matters least. */
  readonly pilot: boolean;
  /** Of all partitions, rising, up to 1. */
  readonly shares: readonly number[];
  /** What stands after each but the last: go on if nothing is found, or wait for somebody. */
  readonly gate: "automatic" | "approval";
}

interface RequestOf {
  /** Which partitions go first where criticality does not decide. Default: the oldest. */
  readonly order?: "newest" | "oldest";
  /** When it should be done, an instant as ISO 8601 in UTC. The plan says whether that can be met. */
  readonly deadline?: string;
  /** An earlier backfill that is given up for this one: what it has computed and verified is taken over. */
  readonly continues?: string;
  /** What is expected to change, at most. */
  readonly expect?: RequestedExpectation;
  /** All at once where undefined. */
  readonly phases?: RequestedPhases;
}

export interface ChangesRequest extends RequestOf {
  readonly kind: "changes";
  readonly datasets?: readonly string[];
  /** Changed definitions hold from this date on; partitions that begin earlier stay as they are. */
  readonly forwardFrom?: string;
}

export interface DatasetsRequest extends RequestOf {
  readonly kind: "datasets";
  readonly datasets: readonly string[];
  /** Half-open; ISO dates or instants for time schemes. Everything that exists where left out. */
  readonly window?: { readonly from: string; readonly to: string };
  /** Ordinal ranges, as an alternative to a window. */
  readonly partitions?: Ranges;
}

/** What was asked for. Dates are what the person wrote; ranges are what the planner made of them. */
export type PlanRequest = ChangesRequest | DatasetsRequest;

export type ReasonCode =
  | "requested" // named in the request
  | "definition_changed" // its own data fingerprint differs from that of its live content
  | "never_computed" // there is no live content for these partitions
  | "inputs_changed" // an input was promoted since, with other content than these partitions were computed from
  | "upstream_recomputed" // an input partition that feeds it is recomputed
  | "up_to_date" // reused: nothing that it depends on changes
  | "unread_change" // reused: an input changes in columns alone that it does not read
  | "same_content" // reused: its recomputed inputs are known to come out as they are
  | "before_forward" // reused: its changed definition holds from a later date on
  | "outside_window" // affected, but not part of the request
  | "no_input"; // skip: there is no input data for it

export interface Reason {
  readonly code: ReasonCode;
  readonly partitions: Ranges;
  /** The input dataset that is the cause, for `upstream_recomputed`, `unread_change` and `same_content`. */
  readonly because?: string;
}

interface StepOf {
  readonly dataset: string;
  readonly partitions: Ranges;
  /** One sentence for people. */
  readonly reason: string;
  /** The same for programs; the ranges of the reasons cover `partitions` and may overlap. */
  readonly why: readonly Reason[];
}

export interface RecomputeStep extends StepOf {
  readonly action: "recompute";
  readonly transform: "select" | "map" | "fold";
  readonly version: number;
  /** Data fingerprint as analysed by Postgres; decides whether live content is up to date. */
  readonly fingerprint: string;
  /** Hash of the metadata, with the checks that the result is validated with. */
  readonly metadata: string;
  /** Hash of the definition as written; workers refuse a task whose definition they do not have. */
  readonly definition: string;
  readonly key: readonly string[];
  readonly ownedColumns: readonly string[];
  /** 0 none, 1 low, 2 medium, 3 high, 4 critical: the highest of the exposures downstream. */
  readonly criticality: number;
  /**
   * Partitions that are here for their recomputed inputs alone: where those come out as they were when the live content
   * was computed, the task is `unchanged` and computes nothing.
   */
  readonly prunable: Ranges;
  /** Partitions whose verified rows are taken from the candidate of the backfill that the request continues. */
  readonly adopted: Ranges;
}

export interface ReuseStep extends StepOf {
  readonly action: "reuse";
}

export interface SkipStep extends StepOf {
  readonly action: "skip";
}

export type Step = RecomputeStep | ReuseStep | SkipStep;

/** Columns by what happens to them. */
export interface ColumnChanges {
  readonly added: readonly string[];
  readonly dropped: readonly string[];
  readonly changed: readonly string[];
}

/**
 * A definition that is not the one of its live content. Proved `non_breaking`: its rows stay, and only `columns` differ,
 * so who does not read them is not affected. `breaking`: not proved. `metadata`: nothing is computed differently.
 */
export interface DatasetChange {
  readonly dataset: string;
  readonly category: "breaking" | "non_breaking" | "metadata";
  /** What differs, as people call it: the statement, its checks. */
  readonly aspects: readonly string[];
  /** Only where it is proved that no other column and no row changes. */
  readonly columns?: ColumnChanges;
  /** Why it is not proved to be harmless. */
  readonly because?: string;
}

/** Live content that stays, and was validated with other checks than the catalog has now. */
export interface StaleValidation {
  readonly dataset: string;
  readonly partitions: Ranges;
  /** Names of checks that are new or say something else now. */
  readonly checks: readonly string[];
}

/** A part of the run; what comes in a later one is not begun before its gate has passed. */
export interface Phase {
  /** `pilot`, or the share that is reached, such as `10%`. */
  readonly name: string;
  /** What stands after it. After the last one everything is verified. */
  readonly gate: "automatic" | "approval";
  /** What it adds to the phases before it, in plan order. */
  readonly partitions: readonly { readonly dataset: string; readonly partitions: Ranges }[];
}

export interface Decision {
  readonly format: 2;
  readonly request: PlanRequest;
  readonly requestReason: string;
  readonly environment: string;
  /** The session settings under which every task runs (see warehouse/session.ts). */
  readonly pins: Readonly<Record<string, string>>;
  /** Hash of the live content of the partitions that the plan writes or reads; `start` refuses when it has changed. */
  readonly basis: string;
  /** Definitions that changed by themselves; what follows from them downstream is in the steps. */
  readonly changes: readonly DatasetChange[];
  /** Topological order; a dataset may have a recompute, a reuse and a skip step. */
  readonly steps: readonly Step[];
  /** Live partitions that stay as they are although something above them changes; stamped on promotion. */
  readonly unchanged: readonly {
    readonly dataset: string;
    readonly partitions: Ranges;
    /** The one that they have from the promotion on. */
    readonly fingerprint: string;
    readonly because: "unread_change" | "same_content" | "before_forward";
  }[];
  /** Pointers to live content that was cut otherwise: its numbers mean other partitions now. Forgotten on promotion. */
  readonly retired: readonly { readonly dataset: string; readonly partitions: Ranges }[];
  /** To be validated anew, without computing anything: `rederive check --stale`. */
  readonly validation: readonly StaleValidation[];
  readonly guarantees: Guarantees;
  /** In plan order; absent where nothing was said. Compared with the candidates before the backfill is verified. */
  readonly expect?: readonly DatasetExpectation[];
  /** In order; absent where everything runs at once. */
  readonly phases?: readonly Phase[];
}

/** What holds however the run goes. */
export interface Guarantees {
  /** Every task reads sources and live inputs in one snapshot of its own, taken when it starts. */
  readonly sources: "one snapshot a task";
  /** All recomputed datasets become visible at one instant, or none does. */
  readonly promotion: "one transaction";
  /** Live tables are written by the promotion alone. */
  readonly liveTables: "untouched before promotion";
  readonly rollback: "until finalized";
  readonly hashAlgorithm: string;
}

/** Seconds from the start to the last task. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface Forecast {
  readonly tasks: number;
  /** Of these tasks, those that compute nothing if what they read comes out as it was. */
  readonly prunable: number;
  /** Of these tasks, those that take over rows of an earlier backfill. */
  readonly adopted: number;
  /** Undefined where nothing like it has run before. */
  readonly seconds?: number;
  /** Where the duration most likely lies; undefined together with `seconds`. */
  readonly interval?: Interval;
  readonly deadline?: DeadlineForecast;
  /** Tasks and expected seconds of work by dataset, without dividing by how many run at a time. */
  readonly datasets: readonly {
    readonly dataset: string;
    readonly tasks: number;
    readonly rows?: number;
    readonly seconds?: number;
  }[];
  /** Things that will not stop the plan but should be known, each with what to do. */
  readonly warnings: readonly string[];
  /** What was found in tables and sources when the plan was made; absent in plans of older versions. */
  readonly preflight?: Preflight;
  /** What some partitions came out as, where that was asked for. */
  readonly sample?: Sample;
}

export interface Plan {
  readonly hash: string;
  readonly decision: Decision;
  readonly forecast: Forecast;
}

/** Freezes a decision and its forecast into a plan; the hash covers the decision alone. */
export function makePlan(decision: Decision, forecast: Forecast): Plan {
  return deepFreeze({ hash: hashOf(decision), decision, forecast });
}

export function recomputeSteps(decision: Pick<Decision, "steps">): RecomputeStep[] {
  return decision.steps.filter((step): step is RecomputeStep => step.action === "recompute");
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) deepFreeze(child);
  }
  return value;
}
