/**
 * The plan: a frozen value. `decision` is what people approve and what runs; it is hashed as canonical JSON.
 * `forecast` is what we expect it to cost; it may be refined and is not part of the hash.
 *
 * Partitions are always ranges of ordinals, never lists of tasks, so a plan of a million tasks stays small.
 */
import type { Ranges } from "./catalog/ranges.ts";
import { hashOf } from "./hash.ts";

/** What was asked for. Dates are what the person wrote; ranges are what the planner made of them. */
export type PlanRequest =
  | { readonly kind: "changes"; readonly datasets?: readonly string[] }
  | {
      readonly kind: "datasets";
      readonly datasets: readonly string[];
      /** Half-open; ISO dates or instants for time schemes. Everything that exists where left out. */
      readonly window?: { readonly from: string; readonly to: string };
      /** Ordinal ranges, as an alternative to a window. */
      readonly partitions?: Ranges;
    };

export type ReasonCode =
  | "requested" // named in the request
  | "definition_changed" // its own data fingerprint differs from that of its live content
  | "never_computed" // there is no live content for these partitions
  | "upstream_recomputed" // an input partition that feeds it is recomputed
  | "up_to_date" // reused: nothing that it depends on changes
  | "outside_window" // affected, but not part of the request
  | "no_input"; // skip: there is no input data for it

export interface Reason {
  readonly code: ReasonCode;
  readonly partitions: Ranges;
  /** The input dataset that is the cause, for `upstream_recomputed`. */
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
  /** Hash of the definition as written; workers refuse a task whose definition they do not have. */
  readonly definition: string;
  readonly key: readonly string[];
  readonly ownedColumns: readonly string[];
  /** 0 none, 1 low, 2 medium, 3 high, 4 critical: the highest of the exposures downstream. */
  readonly criticality: number;
}

export interface ReuseStep extends StepOf {
  readonly action: "reuse";
}

export interface SkipStep extends StepOf {
  readonly action: "skip";
}

export type Step = RecomputeStep | ReuseStep | SkipStep;

export interface Decision {
  readonly format: 1;
  readonly request: PlanRequest;
  readonly requestReason: string;
  readonly environment: string;
  /** The session settings under which every task runs (see warehouse/session.ts). */
  readonly pins: Readonly<Record<string, string>>;
  /** Hash of the live content that the plan was made on; `start` refuses when it has changed. */
  readonly basis: string;
  /** Topological order; a dataset may have a recompute and a reuse step. */
  readonly steps: readonly Step[];
  /** Live partitions whose content is proved equal under a new fingerprint; stamped on promotion. */
  readonly unchanged: readonly {
    readonly dataset: string;
    readonly partitions: Ranges;
    readonly fingerprint: string;
  }[];
  readonly guarantees: {
    readonly promotion: "one transaction";
    readonly rollback: "until finalized";
    readonly hashAlgorithm: string;
  };
}

export interface Forecast {
  readonly tasks: number;
  /** Undefined where nothing like it has run before. */
  readonly seconds?: number;
  /** Things that will not stop the plan but should be known, each with what to do. */
  readonly warnings: readonly string[];
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

export function recomputeSteps(decision: Decision): RecomputeStep[] {
  return decision.steps.filter((step): step is RecomputeStep => step.action === "recompute");
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) deepFreeze(child);
  }
  return value;
}
