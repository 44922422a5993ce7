/**
 * What a worker knows of a backfill that it works on: the verified plan, and each dataset made ready to compute.
 *
 * Both are loaded once and kept while the worker runs tasks of them. The stored decision is trusted only after its hash
 * has been computed again; the claim then compares that hash with the backfill's row for every single task.
 */
import type { Derived } from "../catalog/dataset.ts";
import { upstreamOf } from "../catalog/mapping.ts";
import { intersect, noRanges, type Ranges, subtract, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { hashOf, sha256 } from "../hash.ts";
import { type Decision, type RecomputeStep, recomputeSteps } from "../plan.ts";
import { decisionOf, readBackfill, readDatasets } from "../store/backfills.ts";
import type { Database } from "../tx.ts";
import { taskProbes } from "../validation/compile.ts";
import type { Binding } from "../warehouse/bind.ts";
import { candidateNames } from "../warehouse/candidate.ts";
import { type LiveColumn, liveColumns, ownedOf } from "../warehouse/columns.ts";
import { liveConstraints } from "../warehouse/constraints.ts";
import type { Probe } from "../warehouse/probe.ts";
import { pins } from "../warehouse/session.ts";

export interface RunPlan {
  readonly backfill: string;
  readonly planHash: string;
  readonly traceparent: string | null;
  readonly steps: ReadonlyMap<string, RecomputeStep>;
  /** Partitions that this backfill has a say about, by dataset: recomputed and reused ones. */
  readonly known: ReadonlyMap<string, Ranges>;
  readonly candidates: ReadonlyMap<string, string>;
  /** False where tasks would run under other session settings than those of the plan. */
  readonly samePins: boolean;
  /** The backfill whose verified rows are taken over. */
  readonly continues?: string | undefined;
}

/** One dataset of one backfill, ready to be computed partition by partition. */
export interface RunDataset {
  readonly derived: Derived;
  readonly step: RecomputeStep;
  readonly candidate: string;
  readonly columns: readonly LiveColumn[];
  readonly probes: readonly Probe[];
  /** What exists of each derived input, for the mappings that read all of it. */
  readonly extents: ReadonlyMap<string, Ranges>;
  /** The backfill whose verified rows are taken over, and its candidate's quoted, qualified name. */
  readonly earlier: { readonly backfill: string; readonly candidate: string } | undefined;
}

/** Backfills that are kept at a time: more than ever run at once, few enough for a worker that lives for months. */
const keptPlans = 32;

export class RunPlans {
  readonly #database: Database;
  readonly #plans = new Map<string, Promise<RunPlan>>();
  readonly #datasets = new Map<string, Promise<RunDataset>>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Throws `not_found`, or `verification_failed` where the stored plan is not the one that its hash names. */
  plan(backfill: string): Promise<RunPlan> {
    return remember(this.#plans, backfill, () => loadPlan(this.#database, backfill), keptPlans);
  }

  dataset(plan: RunPlan, derived: Derived): Promise<RunDataset> {
    const key = `${plan.backfill} ${derived.name}`;
    return remember(this.#datasets, key, () => this.#loadDataset(plan, derived), keptPlans * 16);
  }

  /** After a refused claim: what is kept may be out of date. */
  forget(backfill: string): void {
    this.#plans.delete(backfill);
    for (const key of this.#datasets.keys()) if (key.startsWith(`${backfill} `)) this.#datasets.delete(key);
  }

  async #loadDataset(plan: RunPlan, derived: Derived): Promise<RunDataset> {
    const database = this.#database;
    const step = plan.steps.get(derived.name);
    const candidate = plan.candidates.get(derived.name);
    if (step === undefined || candidate === undefined) {
      throw new RederiveError("verification_failed", `the plan of ${plan.backfill} does not recompute ${derived.name}`);
    }
    const columns = ownedOf(derived, await liveColumns(database, derived));
    const probes = taskProbes(derived, columns, await liveConstraints(database, derived));
    const extents = extentsOf(plan, derived);
    return { derived, step, candidate, columns, probes, extents, earlier: earlierOf(plan, derived) };
  }
}

function earlierOf({ continues }: RunPlan, { name }: Derived): RunDataset["earlier"] {
  if (continues === undefined) return undefined;
  return { backfill: continues, candidate: candidateNames(name, continues).candidate };
}

/** What a task that reads all of a derived input reads: the partitions that the plan recomputes or reuses. */
function extentsOf(plan: RunPlan, derived: Derived): ReadonlyMap<string, Ranges> {
  const read = derived.inputs.map(({ dataset }) => [dataset.name, plan.known.get(dataset.name) ?? noRanges] as const);
  return new Map(read);
}

/**
 * Where the rows of each input come from for one partition. `unchanged` are partitions by dataset that the backfill found
 * to be as they are: the candidate has none of their rows.
 */
export function bindingsOf(
  plan: Pick<RunPlan, "steps" | "candidates">,
  dataset: Pick<RunDataset, "derived" | "extents">,
  ordinal: number,
  unchanged: ReadonlyMap<string, Ranges> = new Map(),
): Binding[] {
  const { derived } = dataset;
  return derived.inputs.map((input) => {
    const { name, partitions } = input.dataset;
    const edge = { consumer: derived.partitions, input: partitions, mapping: input.mapping };
    const reads = upstreamOf(edge, [[ordinal, ordinal + 1]], dataset.extents.get(name) ?? noRanges);
    const computed = subtract(plan.steps.get(name)?.partitions ?? noRanges, unchanged.get(name) ?? noRanges);
    const recomputed = intersect(reads, computed);
    const candidate = plan.candidates.get(name) ?? "";
    // A source is in no step of the plan, so its extent is unknown here, and it grows while the backfill runs.
    const everything =
      input.dataset.kind === "source" && (input.mapping.kind === "all" || derived.partitions.kind === "whole");
    return { input, recomputed, candidate, live: subtract(reads, recomputed), everything };
  });
}

/** Whether any partition of its inputs may turn out to be unchanged. */
export function readsPrunable({ steps }: Pick<RunPlan, "steps">, derived: Derived): boolean {
  return derived.inputs.some(({ dataset }) => (steps.get(dataset.name)?.prunable.length ?? 0) > 0);
}

/** Everything upstream of a dataset, near and far. */
export function upstreamsOf(derived: Derived): string[] {
  const found = new Set<string>();
  const visit = (dataset: Derived) => {
    for (const input of dataset.inputs) {
      if (found.has(input.dataset.name)) continue;
      found.add(input.dataset.name);
      if (input.dataset.kind === "derived") visit(input.dataset);
    }
  };
  visit(derived);
  return [...found];
}

async function loadPlan(database: Database, backfill: string): Promise<RunPlan> {
  const row = await readBackfill(database, backfill);
  if (row === undefined) throw new RederiveError("not_found", `there is no backfill ${backfill}`);
  if (sha256(row.decision) !== row.planHash) {
    throw new RederiveError(
      "verification_failed",
      `the stored plan of ${backfill} does not have the hash ${row.planHash}: it was changed after it was made; cancel it and plan again`,
      { details: { backfill, planHash: row.planHash } },
    );
  }
  const decision = decisionOf(row);
  const datasets = await readDatasets(database, backfill);
  return {
    backfill,
    planHash: row.planHash,
    traceparent: row.traceparent,
    steps: new Map(recomputeSteps(decision).map((step) => [step.dataset, step])),
    known: knownOf(decision),
    candidates: new Map(datasets.map((dataset) => [dataset.dataset, dataset.candidate])),
    samePins: hashOf(decision.pins) === hashOf(pins),
    continues: decision.request.continues,
  };
}

/** Partitions that a decision has a say about: recomputed and reused ones, by dataset. */
export function knownOf(decision: Decision): Map<string, Ranges> {
  const known = new Map<string, Ranges>();
  for (const step of decision.steps) {
    if (step.action !== "skip") known.set(step.dataset, union(known.get(step.dataset) ?? noRanges, step.partitions));
  }
  return known;
}

/** Loads once for all who ask at the same time; a failure is not kept, and the oldest entry makes room. */
function remember<Value>(
  kept: Map<string, Promise<Value>>,
  key: string,
  load: () => Promise<Value>,
  limit: number,
): Promise<Value> {
  const found = kept.get(key);
  if (found !== undefined) return found;
  const loading = load();
  kept.set(key, loading);
  loading.catch(() => {
    if (kept.get(key) === loading) kept.delete(key);
  });
  if (kept.size > limit) kept.delete(kept.keys().next().value as string);
  return loading;
}
