/** What an attempt at tasks needs of its worker, and what its steps share. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import type { ClaimRow } from "../store/claims.ts";
import type { Database } from "../tx.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Lane } from "./lane.ts";
import type { TaskOutcome, TaskRef } from "./outcome.ts";
import type { RunPlans } from "./run-plan.ts";
import type { Attempt, Part, TaskPoint } from "./work.ts";

export interface TaskContext {
  readonly worker: string;
  readonly catalog: Catalog;
  /** Own definition hashes by dataset. */
  readonly definitions: Readonly<Record<string, string>>;
  readonly database: Database;
  readonly plans: RunPlans;
  readonly lane: Lane;
  readonly heartbeat: Heartbeat;
  readonly maxLosses: number;
  /** False where other tasks may run in this process. Default true. */
  readonly alone?: boolean;
  /** After the commit: makes consumers ready. Idempotent. */
  readonly settle: (refs: readonly TaskRef[]) => Promise<void>;
  /** Aborted when the worker stops at once. */
  readonly signal: AbortSignal;
  /** Tests stop, kill or break an attempt here. */
  readonly at?: ((point: TaskPoint, ref: TaskRef) => void | Promise<void>) | undefined;
}

/** What the attempts at the tasks of one claim share. */
export type Shared = Omit<Attempt, "dataset" | "parts"> & { readonly context: TaskContext };
/** A claimed task. */
export type Claimed = Pick<Part, "ref" | "epoch"> & { readonly claim: ClaimRow };

/** By task. */
export type Outcomes = Map<string, TaskOutcome>;

export function ofAll(refs: readonly TaskRef[], outcome: TaskOutcome): Outcomes {
  return new Map(refs.map(({ task }) => [task, outcome]));
}

export function derivedOf(catalog: Catalog, name: string): Derived | undefined {
  const dataset = catalog.datasets.get(name);
  return dataset?.kind === "derived" ? dataset : undefined;
}

export function requireDerived(catalog: Catalog, name: string): Derived {
  const derived = derivedOf(catalog, name);
  if (derived === undefined) throw new RederiveError("code_drift", `this worker has no derived dataset ${name}`);
  return derived;
}
