/**
 * From a request to a plan: what exists, what is out of date, what that touches downstream, what is read as it is, and
 * why. Pure: the same catalog, request and live content give the same decision and so the same hash.
 *
 * A draft: extents of every dataset → the partitions to begin with (roots) → closure downstream, as far as changes are
 * not known to end → what is missing upstream → steps with reasons → limits and overlaps. Only then is it known which
 * partitions the plan depends on; with digests of their content the draft becomes a plan.
 */
import { noRanges, type Ranges, union } from "../catalog/ranges.ts";
import { hashOf } from "../hash.ts";
import { type Decision, makePlan, type Plan, type Step } from "../plan.ts";
import { staleValidation } from "./categories.ts";
import { pendingOf } from "./changes.ts";
import { expectationsOf } from "./expectations.ts";
import { forecastOf } from "./forecast.ts";
import {
  type Closure,
  closeDownstream,
  derivedInOrder,
  type Impact,
  mergeMaps,
  missingUpstreams,
  of,
  type PartitionMap,
} from "./impact.ts";
import type { PlannerInput } from "./input.ts";
import { phasesOf } from "./phases.ts";
import { refuseMissing } from "./refuse.ts";
import { canonicalRequest } from "./request.ts";
import { refuseOverlaps } from "./reservations.ts";
import { fingerprintsOf, type Scope, scopeOf } from "./scope.ts";
import { type KnownSpread, knownSpread } from "./spread.ts";
import { stepsOf } from "./steps.ts";
import { countTasks } from "./tasks.ts";

/** A plan that lacks the digest of the content that it was made on. */
export interface Draft {
  readonly input: PlannerInput;
  readonly decision: Omit<Decision, "basis">;
  readonly tasks: number;
}

/**
 * Drafts a plan. Throws `usage` or `not_found` for a request that makes no sense, `plan_refused` for one that cannot be
 * carried out, `plan_too_large` and `overlapping_plan`. A plan without recompute steps has nothing to do.
 */
export function draftPlan(input: PlannerInput): Draft {
  const request = canonicalRequest(input.catalog, input.request);
  const scope = scopeOf(input, request);
  const known = knownSpread(scope);
  const impact = request.kind === "changes" ? impactOfChanges(scope, request.datasets) : impactOfRequest(scope, known);
  // The closure was found with what was known on the way; the roots may have grown since, so it is known anew.
  const decision = decisionOf(scope, impact, knownSpread(scope));
  const { tasks } = countTasks(input.catalog, decision, input);
  const others = input.activeReservations.filter((active) => active.backfill !== request.continues);
  refuseOverlaps(input.catalog, decision, others);
  return { input, decision, tasks };
}

/** `digests` are those of the partitions that `basisPartitions` names; a dataset without live content has none. */
export function completePlan({ input, decision, tasks }: Draft, digests: ReadonlyMap<string, string>): Plan {
  const complete: Decision = { ...decision, basis: basisOf(decision.steps, digests) };
  return makePlan(complete, forecastOf(input, complete, tasks));
}

/** The live partitions that a plan depends on: those that it writes and those that it reads, and no others. */
export function basisPartitions(steps: readonly Step[]): { dataset: string; partitions: Ranges }[] {
  const used = new Map<string, Ranges>();
  for (const { action, dataset, partitions } of steps) {
    if (action !== "skip") used.set(dataset, union(used.get(dataset) ?? noRanges, partitions));
  }
  return [...used].map(([dataset, partitions]) => ({ dataset, partitions }));
}

/** Hash of the live content that a plan depends on; `start` compares it with the present. */
export function basisOf(steps: readonly Step[], digests: ReadonlyMap<string, string>): string {
  const names = basisPartitions(steps).map(({ dataset }) => dataset);
  return hashOf(Object.fromEntries(names.map((name) => [name, digests.get(name) ?? null])));
}

/** Everything out of date in the named datasets (all, where none is named), what that needs, and what it touches. */
function impactOfChanges(scope: Scope, datasets: readonly string[] | undefined): Impact {
  const { input, live, extents, own } = scope;
  const named = [...own].filter(([name]) => datasets === undefined || datasets.includes(name));
  let roots: PartitionMap = new Map(named.map(([name, changes]) => [name, pendingOf(changes)]));
  // A partition that is missing upstream joins the roots and may touch others; the sets only grow, so this ends.
  for (;;) {
    const closure: Closure = { roots, extents, spread: knownSpread(scope).spread };
    const impact = closeDownstream(input.catalog, closure);
    const missing = missingUpstreams(input.catalog, impact.recompute, extents, live);
    if (missing.size === 0) return impact;
    roots = mergeMaps(roots, missing);
  }
}

/** Exactly the requested partitions and what they touch. What they read must be there already. */
function impactOfRequest({ input, live, extents, requested }: Scope, { spread }: KnownSpread): Impact {
  const impact = closeDownstream(input.catalog, { roots: requested, extents, spread, computed: live });
  const missing = missingUpstreams(input.catalog, impact.recompute, extents, live);
  if (missing.size > 0) refuseMissing(input.catalog, missing);
  return impact;
}

function decisionOf(scope: Scope, impact: Impact, known: KnownSpread): Omit<Decision, "basis"> {
  const { input, request, changes } = scope;
  const { steps, unchanged } = stepsOf(scope, impact, known);
  const derived = derivedInOrder(input.catalog);
  return {
    format: 2,
    request,
    requestReason: input.requestReason,
    environment: input.environment,
    pins: { ...input.pins },
    changes: derived.flatMap(({ name }) => changes.get(name) ?? []),
    steps,
    unchanged,
    retired: [...scope.retired].map(([dataset, partitions]) => ({ dataset, partitions })),
    validation: derived.flatMap((each) =>
      staleValidation(input, each, fingerprintsOf(input, each), of(impact.recompute, each.name)),
    ),
    guarantees: {
      sources: "one snapshot a task",
      promotion: "one transaction",
      liveTables: "untouched before promotion",
      rollback: "until finalized",
      hashAlgorithm: input.hashAlgorithm,
    },
    ...expectationsOf(input.catalog, request.expect, steps),
    ...phasesOf(input.catalog, { request, steps }),
  };
}
