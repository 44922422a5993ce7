/**
 * From a request to a plan: what exists, what is out of date, what that touches downstream, what is read as it is, and
 * why. Pure: the same catalog, request and live content give the same decision and so the same hash.
 *
 * Steps: extents of every dataset → the partitions to begin with (roots) → closure downstream → what is missing
 * upstream → steps with reasons → limits and overlaps → decision and forecast.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { parseWindow } from "../catalog/label.ts";
import { intersect, isEmpty, type Ranges, rangesOf, size, subtract, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { hashOf } from "../hash.ts";
import {
  type Decision,
  type Forecast,
  makePlan,
  type Plan,
  type PlanRequest,
  type RecomputeStep,
  recomputeSteps,
  type Step,
} from "../plan.ts";
import { type LiveMap, livePartitions, type OwnChanges, ownChanges, pendingOf } from "./changes.ts";
import {
  closeDownstream,
  derivedInOrder,
  extentsOf,
  hasHome,
  type Impact,
  mergeMaps,
  missingUpstreams,
  of,
  type PartitionMap,
  reusedBy,
} from "./impact.ts";
import { labelRanges } from "./labels.ts";
import { sentenceOf, whyRecompute, whyReuse } from "./reasons.ts";
import {
  refuseEmpty,
  refuseMissing,
  refuseNothingNamed,
  refusePartitions,
  refuseWindowAndPartitions,
  requireDerived,
} from "./refuse.ts";
import { type ActiveReservation, refuseOverlaps } from "./reservations.ts";
import { countTasks, type TaskLimits } from "./tasks.ts";

export interface PlannerInput extends TaskLimits {
  readonly catalog: Catalog;
  readonly request: PlanRequest;
  /** Why somebody wants this; part of the decision that others approve. */
  readonly requestReason: string;
  readonly environment: string;
  /** The session settings under which tasks run. */
  readonly pins: Readonly<Record<string, string>>;
  readonly hashAlgorithm: string;
  /** What is live, by derived dataset and fingerprint. */
  readonly live: LiveMap;
  /** A digest of the live content of each derived dataset; a dataset without one has no live content. */
  readonly digests: ReadonlyMap<string, string>;
  /** The partitions that each source has. */
  readonly extents: PartitionMap;
  readonly fingerprints: ReadonlyMap<string, Fingerprints>;
  readonly activeReservations: readonly ActiveReservation[];
  /** Seconds that a task of a dataset took before, for the forecast. */
  readonly secondsPerTask?: ReadonlyMap<string, number>;
  /** Tasks at the same time, for the forecast. Default 1. */
  readonly concurrency?: number;
  /** Things to know about a dataset (an unindexed partition column), shown when the plan uses it. */
  readonly notices?: ReadonlyMap<string, readonly string[]>;
}

export interface Fingerprints {
  /** Data fingerprint as analysed by Postgres. */
  readonly fingerprint: string;
  /** Hash of the definition as written. */
  readonly definition: string;
}

/** What planning works with: the input, and what follows from it before any request is looked at. */
interface Scope {
  readonly input: PlannerInput;
  readonly live: PartitionMap;
  readonly extents: PartitionMap;
  readonly changes: ReadonlyMap<string, OwnChanges>;
  /** The request as ranges; empty when it asks for changes. */
  readonly requested: PartitionMap;
}

/**
 * Plans a request. Throws `usage` or `not_found` for a request that makes no sense, `plan_refused` for one that cannot be
 * carried out, `plan_too_large` and `overlapping_plan`. A plan without recompute steps has nothing to do.
 */
export function planBackfill(input: PlannerInput): Plan {
  const request = canonicalRequest(input.catalog, input.request);
  const scope = scopeOf(input, request);
  const impact = request.kind === "changes" ? impactOfChanges(scope, request.datasets) : impactOfRequest(scope);
  const steps = stepsOf(scope, impact);
  const decision = decisionOf(input, request, steps);
  const { tasks } = countTasks(input.catalog, decision, input);
  refuseOverlaps(input.catalog, decision, input.activeReservations);
  return makePlan(decision, forecastOf(scope, decision, tasks));
}

/** Hash of the live content of the datasets that a decision writes or reads; `start` compares it with the present. */
export function basisOf(steps: readonly Step[], digests: ReadonlyMap<string, string>): string {
  const names = [...new Set(steps.filter((step) => step.action !== "skip").map((step) => step.dataset))];
  return hashOf(Object.fromEntries(names.map((name) => [name, digests.get(name) ?? null])));
}

/** Names sorted and once each, so that the order in which they were typed does not change the hash. */
function canonicalRequest(catalog: Catalog, request: PlanRequest): PlanRequest {
  if (request.datasets === undefined) return { kind: "changes" };
  const datasets = [...new Set(request.datasets)].sort();
  if (datasets.length === 0) refuseNothingNamed();
  for (const name of datasets) requireDerived(catalog, name);
  if (request.kind === "changes") return { kind: "changes", datasets };
  const { window, partitions } = request;
  if (window !== undefined && partitions !== undefined) refuseWindowAndPartitions();
  return {
    kind: "datasets",
    datasets,
    ...(window === undefined ? {} : { window: { from: window.from, to: window.to } }),
    ...(partitions === undefined ? {} : { partitions: checkedRanges(partitions) }),
  };
}

function checkedRanges(partitions: Ranges): Ranges {
  const valid = partitions.every(([from, to]) => Number.isSafeInteger(from) && Number.isSafeInteger(to) && from < to);
  if (!valid || partitions.length === 0) refusePartitions(partitions);
  return rangesOf(partitions);
}

function scopeOf(input: PlannerInput, request: PlanRequest): Scope {
  const live = livePartitions(input.live);
  const asked = askedFor(input.catalog, request);
  // Where no input says which partitions a dataset has, asking for one makes it exist.
  const known = mergeMaps(live, new Map([...asked].filter(([name]) => !hasHome(requireDerived(input.catalog, name)))));
  const extents = extentsOf(input.catalog, input.extents, known);
  const changes = new Map(
    derivedInOrder(input.catalog).map((derived) => [
      derived.name,
      ownChanges(derived, fingerprintsOf(input, derived).fingerprint, input.live, extents),
    ]),
  );
  return { input, live, extents, changes, requested: requestedOf(input.catalog, request, asked, extents) };
}

/** The window or partitions of a request as ranges by dataset; no entry where everything that exists is asked for. */
function askedFor(catalog: Catalog, request: PlanRequest): PartitionMap {
  if (request.kind === "changes") return new Map();
  const { window, partitions } = request;
  return new Map(
    request.datasets.flatMap((name) => {
      const asked = window === undefined ? partitions : parseWindow(requireDerived(catalog, name).partitions, window);
      return asked === undefined ? [] : [[name, asked] as const];
    }),
  );
}

/** Exactly what was asked for, as far as it exists; a dataset of which nothing exists there is refused. */
function requestedOf(catalog: Catalog, request: PlanRequest, asked: PartitionMap, extents: PartitionMap): PartitionMap {
  if (request.kind === "changes") return new Map();
  return new Map(
    request.datasets.map((name) => {
      const extent = of(extents, name);
      const partitions = intersect(asked.get(name) ?? extent, extent);
      if (isEmpty(partitions)) refuseEmpty(requireDerived(catalog, name), asked.get(name), extent);
      return [name, partitions] as const;
    }),
  );
}

/** Everything out of date in the named datasets (all, where none is named), what that needs, and what it touches. */
function impactOfChanges({ input, live, extents, changes }: Scope, datasets: readonly string[] | undefined): Impact {
  const named = [...changes].filter(([name]) => datasets === undefined || datasets.includes(name));
  let roots: PartitionMap = new Map(named.map(([name, own]) => [name, pendingOf(own)]));
  // A partition that is missing upstream joins the roots and may touch others; the sets only grow, so this ends.
  for (;;) {
    const impact = closeDownstream(input.catalog, roots, extents);
    const missing = missingUpstreams(input.catalog, impact.recompute, extents, live);
    if (missing.size === 0) return impact;
    roots = mergeMaps(roots, missing);
  }
}

/** Exactly the requested partitions and what they touch. What they read must be there already. */
function impactOfRequest({ input, live, extents, requested }: Scope): Impact {
  const impact = closeDownstream(input.catalog, requested, extents, live);
  const missing = missingUpstreams(input.catalog, impact.recompute, extents, live);
  if (missing.size > 0) refuseMissing(input.catalog, missing);
  return impact;
}

/** Upstreams first; of one dataset: recompute, reuse, skip. */
function stepsOf(scope: Scope, impact: Impact): Step[] {
  const reused = reusedBy(scope.input.catalog, impact.recompute, scope.extents);
  return derivedInOrder(scope.input.catalog).flatMap((derived) => {
    const recompute = of(impact.recompute, derived.name);
    const reuse = of(reused, derived.name);
    const pending = union(pendingOf(changesOf(scope, derived)), of(impact.leftOut, derived.name));
    const steps: Step[] = [];
    if (!isEmpty(recompute)) steps.push(recomputeStep(scope, derived, recompute, impact));
    if (!isEmpty(reuse)) steps.push(reuseStep(derived, reuse, pending));
    const outside = subtract(pending, union(recompute, reuse));
    if (!isEmpty(outside) || steps.length === 0) steps.push(skipStep(scope, derived, outside));
    return steps;
  });
}

function recomputeStep(scope: Scope, derived: Derived, partitions: Ranges, impact: Impact): RecomputeStep {
  const why = whyRecompute(partitions, {
    requested: of(scope.requested, derived.name),
    own: changesOf(scope, derived),
    upstream: impact.causes.get(derived.name) ?? new Map(),
  });
  return {
    action: "recompute",
    dataset: derived.name,
    partitions,
    reason: sentenceOf(why, derived.version),
    why,
    transform: derived.transform.kind,
    version: derived.version,
    ...fingerprintsOf(scope.input, derived),
    key: derived.key.map((column) => column.name),
    ownedColumns: derived.owned.map((column) => column.name),
    criticality: scope.input.catalog.criticalityOf(derived.name),
  };
}

function reuseStep(derived: Derived, partitions: Ranges, pending: Ranges): Step {
  const why = whyReuse(partitions, pending, subtract(partitions, pending));
  return { action: "reuse", dataset: derived.name, partitions, reason: sentenceOf(why, derived.version), why };
}

/** A skip step without partitions is up to date; with partitions, it names what stays out of date. */
function skipStep({ extents }: Scope, derived: Derived, outside: Ranges): Step {
  const base = { action: "skip", dataset: derived.name, partitions: outside } as const;
  if (!isEmpty(outside)) {
    const why = [{ code: "outside_window", partitions: outside }] as const;
    return { ...base, reason: sentenceOf(why, derived.version), why };
  }
  if (isEmpty(of(extents, derived.name))) {
    const why = [{ code: "no_input", partitions: outside }] as const;
    return { ...base, reason: sentenceOf(why, derived.version), why };
  }
  return { ...base, reason: "up to date; nothing to do", why: [{ code: "up_to_date", partitions: outside }] };
}

function decisionOf(input: PlannerInput, request: PlanRequest, steps: readonly Step[]): Decision {
  return {
    format: 1,
    request,
    requestReason: input.requestReason,
    environment: input.environment,
    pins: { ...input.pins },
    basis: basisOf(steps, input.digests),
    steps,
    unchanged: [],
    guarantees: { promotion: "one transaction", rollback: "until finalized", hashAlgorithm: input.hashAlgorithm },
  };
}

function forecastOf(scope: Scope, decision: Decision, tasks: number): Forecast {
  const seconds = forecastSeconds(scope.input, recomputeSteps(decision));
  return { tasks, ...(seconds === undefined ? {} : { seconds }), warnings: warningsOf(scope, decision) };
}

/** Work divided by concurrency; undefined as soon as one dataset has never been measured. */
function forecastSeconds(input: PlannerInput, steps: readonly RecomputeStep[]): number | undefined {
  let work = 0;
  for (const step of steps) {
    const each = input.secondsPerTask?.get(step.dataset);
    if (each === undefined) return undefined;
    work += each * size(step.partitions);
  }
  return work / Math.max(1, input.concurrency ?? 1);
}

function warningsOf(scope: Scope, decision: Decision): string[] {
  const steps = decision.steps.filter((step) => step.action !== "skip");
  const used = new Set(steps.map((step) => step.dataset));
  for (const step of recomputeSteps(decision)) {
    for (const input of requireDerived(scope.input.catalog, step.dataset).inputs) used.add(input.dataset.name);
  }
  const notices = scope.input.catalog.order.flatMap((name) =>
    used.has(name) ? (scope.input.notices?.get(name) ?? []) : [],
  );
  return [...new Set([...notices, ...outdatedReads(scope, decision), ...unboundedDatasets(scope, used)])];
}

/** Reading content of an older definition is legitimate (its readers are corrected with it later), but worth knowing. */
function outdatedReads(scope: Scope, decision: Decision): string[] {
  return decision.steps.flatMap((step) => {
    const outdated = step.why.find((entry) => entry.code === "outside_window")?.partitions;
    if (step.action !== "reuse" || outdated === undefined) return [];
    const { partitions } = requireDerived(scope.input.catalog, step.dataset);
    return (
      `${step.dataset} (${labelRanges(partitions, outdated)}) is read as it is, although its definition has changed since; ` +
      "to bring it up to date first, plan without naming datasets"
    );
  });
}

function unboundedDatasets(scope: Scope, used: ReadonlySet<string>): string[] {
  return derivedInOrder(scope.input.catalog)
    .filter((derived) => used.has(derived.name) && !hasHome(derived))
    .map(
      (derived) =>
        `no input says which partitions ${derived.name} has, so only live and requested ones are planned; ` +
        "read an input by the same partitions, by rollup, or by a custom mapping",
    );
}

function changesOf(scope: Scope, derived: Derived): OwnChanges {
  const changes = scope.changes.get(derived.name);
  if (changes === undefined) throw new RederiveError("internal", `the changes of ${derived.name} were not computed`);
  return changes;
}

function fingerprintsOf(input: PlannerInput, derived: Derived): Fingerprints {
  const found = input.fingerprints.get(derived.name);
  if (found === undefined) throw new RederiveError("internal", `no fingerprint was given for ${derived.name}`);
  return { fingerprint: found.fingerprint, definition: found.definition };
}
