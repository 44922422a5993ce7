/** The steps of a plan, upstreams first, each with its reasons; and what is only stamped on promotion. Pure. */
import type { Derived } from "../catalog/dataset.ts";
import { intersect, isEmpty, noRanges, type Ranges, subtract, union } from "../catalog/ranges.ts";
import type { Decision, Reason, RecomputeStep, Step } from "../plan.ts";
import { pendingOf } from "./changes.ts";
import { derivedInOrder, type Impact, of, type PartitionMap, readsDerivedAlone, reusedBy } from "./impact.ts";
import { sentenceOf, whyRecompute, whyReuse } from "./reasons.ts";
import { fingerprintsOf, ownOf, provedCurrent, type Scope } from "./scope.ts";
import { type KnownSpread, type Spared, sparedOf } from "./spread.ts";

export interface Steps {
  readonly steps: readonly Step[];
  readonly unchanged: Decision["unchanged"];
}

/** Of one dataset: recompute, reuse, skip. */
export function stepsOf(scope: Scope, impact: Impact, known: KnownSpread): Steps {
  const reused = reusedBy(scope.input.catalog, impact.recompute, scope.extents);
  const steps: Step[] = [];
  const unchanged: Decision["unchanged"][number][] = [];
  for (const derived of derivedInOrder(scope.input.catalog)) {
    const spared = sparedOf(scope, known, derived, impact);
    const kept = keptOf(scope, derived, impact, spared);
    unchanged.push(...kept);
    steps.push(...stepsOfDataset({ scope, derived, impact, known, spared }, reused, kept));
  }
  return { steps, unchanged };
}

interface At {
  readonly scope: Scope;
  readonly derived: Derived;
  readonly impact: Impact;
  readonly known: KnownSpread;
  readonly spared: Spared;
}

function stepsOfDataset(at: At, reused: PartitionMap, kept: Decision["unchanged"]): Step[] {
  const { scope, derived, impact } = at;
  const recompute = of(impact.recompute, derived.name);
  const reuse = union(of(reused, derived.name), ...kept.map((each) => each.partitions));
  const pending = union(pendingOf(ownOf(scope, derived)), of(impact.leftOut, derived.name));
  const steps: Step[] = [];
  if (!isEmpty(recompute)) steps.push(recomputeStep(at, recompute));
  if (!isEmpty(reuse)) steps.push(reuseStep(at, reuse, pending));
  const outside = subtract(pending, union(recompute, reuse));
  if (!isEmpty(outside) || steps.length === 0) steps.push(skipStep(scope, derived, outside));
  return steps;
}

function recomputeStep({ scope, derived, impact, known }: At, partitions: Ranges): RecomputeStep {
  const own = ownOf(scope, derived);
  const requested = of(scope.requested, derived.name);
  const why = whyRecompute(partitions, { requested, own, upstream: impact.causes.get(derived.name) ?? new Map() });
  const { fingerprint, definition, metadata } = fingerprintsOf(scope.input, derived);
  return {
    action: "recompute",
    dataset: derived.name,
    partitions,
    reason: sentenceOf(why, { version: derived.version, change: scope.changes.get(derived.name) }),
    why,
    transform: derived.transform.kind,
    version: derived.version,
    fingerprint,
    definition,
    metadata,
    key: derived.key.map((column) => column.name),
    ownedColumns: derived.owned.map((column) => column.name),
    criticality: scope.input.catalog.criticalityOf(derived.name),
    prunable: subtract(prunableOf(scope, derived, partitions), known.adopted(derived, impact)),
    adopted: known.adopted(derived, impact),
  };
}

/** Here for their recomputed inputs alone, and with a record of what the live rows were computed from. */
function prunableOf(scope: Scope, derived: Derived, partitions: Ranges): Ranges {
  if (!readsDerivedAlone(derived)) return noRanges;
  const asked = union(of(scope.requested, derived.name), pendingOf(ownOf(scope, derived)));
  return intersect(subtract(partitions, asked), provedCurrent(scope, derived));
}

function reuseStep({ scope, derived, spared }: At, partitions: Ranges, pending: Ranges): Step {
  const why = whyReuse(partitions, { pending, beforeForward: ownOf(scope, derived).beforeForward, ...spared });
  const reason = sentenceOf(why, { version: derived.version, change: scope.changes.get(derived.name) });
  return { action: "reuse", dataset: derived.name, partitions, reason, why };
}

/** A skip step without partitions is up to date; with partitions, it names what stays out of date. */
function skipStep({ extents, changes }: Scope, derived: Derived, outside: Ranges): Step {
  const step = (why: readonly Reason[], reason?: string): Step => {
    const words = reason ?? sentenceOf(why, { version: derived.version, change: undefined });
    return { action: "skip", dataset: derived.name, partitions: outside, reason: words, why };
  };
  if (!isEmpty(outside)) return step([{ code: "outside_window", partitions: outside }]);
  if (isEmpty(of(extents, derived.name))) return step([{ code: "no_input", partitions: outside }]);
  const change = changes.get(derived.name);
  const note =
    change?.category === "metadata" ? `up to date; only its ${change.aspects.join(", ")} changed` : undefined;
  return step([{ code: "up_to_date", partitions: outside }], note ?? "up to date; nothing to do");
}

/** Live content that stays by proof or by request. What has another definition than now is not promised anything. */
function keptOf(scope: Scope, derived: Derived, impact: Impact, spared: Spared): Decision["unchanged"] {
  const { fingerprint } = fingerprintsOf(scope.input, derived);
  const recomputed = of(impact.recompute, derived.name);
  const own = ownOf(scope, derived);
  const outdated = union(own.definitionChanged, own.inputsChanged, own.beforeForward);
  const beforeForward = subtract(own.beforeForward, recomputed);
  const unread = subtract(union(...spared.unread.values()), outdated);
  const same = subtract(union(...spared.same.values()), union(outdated, unread));
  const kept = [
    { because: "before_forward", partitions: beforeForward },
    { because: "unread_change", partitions: unread },
    { because: "same_content", partitions: same },
  ] as const;
  return kept
    .filter(({ partitions }) => !isEmpty(partitions))
    .map(({ because, partitions }) => ({ dataset: derived.name, partitions, fingerprint, because }));
}
