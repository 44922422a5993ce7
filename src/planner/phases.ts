/**
 * A plan that widens step by step: which partitions belong to which phase. Pure.
 *
 * Partitions that read nothing recomputed are shared out: a pilot takes a few of them from all over, and each step as many
 * as it takes to reach its share, in the order in which the plan runs. What reads recomputed partitions comes in the phase
 * in which the last of these is done, so a month comes when all of its days are.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import {
  intersect,
  isEmpty,
  noRanges,
  type Range,
  type Ranges,
  rangesOf,
  rangesOfOrdinals,
  size,
  subtract,
  union,
} from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { type Decision, type Phase, type RecomputeStep, type RequestedPhases, recomputeSteps } from "../plan.ts";
import type { PhaseStatus } from "../report.ts";
import { derivedInputs, of, type PartitionMap, readersOf } from "./impact.ts";
import { count, labelRanges } from "./labels.ts";
import { listOf } from "./reasons.ts";
import { requireDerived } from "./refuse.ts";

/** What a pilot has of each dataset, at least and at most, and never more than a tenth of it. */
const pilotLeast = 3;
const pilotMost = 8;

/** Rising shares that end with everything. Throws `usage` for shares that make no sense. */
export function canonicalPhases({ pilot, shares, gate }: RequestedPhases): RequestedPhases {
  const rising = shares.every((share, index) => share > (shares[index - 1] ?? 0) && share <= 1);
  if (!rising || (shares.length === 0 && !pilot)) {
    const shown = shares.map(percent).join(", ");
    throw new RederiveError(
      "usage",
      `phases of ${shown === "" ? "nothing" : shown} make no sense; give rising shares such as 1%, 10%, 100%`,
    );
  }
  return { pilot, shares: shares.at(-1) === 1 ? [...shares] : [...shares, 1], gate };
}

/** The phases that a plan was asked to have; those that would add nothing are left out. */
export function phasesOf(
  catalog: Catalog,
  { request, steps }: Pick<Decision, "request" | "steps">,
): Pick<Decision, "phases"> {
  const recompute = recomputeSteps({ steps });
  if (request.phases === undefined || recompute.length === 0) return {};
  const { pilot, shares, gate } = request.phases;
  const first = pilot ? pilotOf(catalog, recompute) : new Map<string, Ranges>();
  const stages = [
    ...(pilot ? [{ name: "pilot", reached: first }] : []),
    ...shares.map((share) => ({
      name: percent(share),
      reached: reachedBy(catalog, recompute, (step, free) => {
        const backwards = request.order === "newest" && isOrdered(requireDerived(catalog, step.dataset));
        return union(of(first, step.dataset), leading(free, Math.ceil(share * size(free)), backwards));
      }),
    })),
  ];
  const phases = stages.map(({ name, reached }, index): Phase => {
    const before = stages[index - 1]?.reached ?? new Map<string, Ranges>();
    const partitions = recompute.flatMap(({ dataset }) => {
      const added = subtract(of(reached, dataset), of(before, dataset));
      return isEmpty(added) ? [] : [{ dataset, partitions: added }];
    });
    // What comes after the last one is the verification of all.
    return { name, gate: index === stages.length - 1 ? "automatic" : gate, partitions };
  });
  return { phases: phases.filter(({ partitions }) => partitions.length > 0) };
}

/** What the phases up to this one have of each dataset. */
export function reachedIn(phases: readonly Phase[], ordinal: number): Map<string, Ranges> {
  const reached = new Map<string, Ranges>();
  for (const { partitions } of phases.slice(0, ordinal + 1)) {
    for (const each of partitions) {
      reached.set(each.dataset, union(reached.get(each.dataset) ?? noRanges, each.partitions));
    }
  }
  return reached;
}

/** `pilot: 3 tasks (facts 2026-01-05, …)`, and what stands between one and the next. */
export function phaseTexts(catalog: Catalog, { phases = [] }: Pick<Decision, "phases">): string[] {
  return phases.map(({ name, gate, partitions }, index) => {
    const tasks = partitions.reduce((sum, each) => sum + size(each.partitions), 0);
    const parts = partitions.map((each) => {
      const scheme = catalog.datasets.get(each.dataset)?.partitions;
      return scheme === undefined ? each.dataset : `${each.dataset} ${labelRanges(scheme, each.partitions)}`;
    });
    const after =
      index === phases.length - 1
        ? ""
        : gate === "approval"
          ? "; then somebody has to approve"
          : "; goes on by itself if nothing is found";
    return `${name}: ${count(tasks, "task")}, ${listOf(parts)}${after}`;
  });
}

/** What differed at a gate: `248 changed, 3 added in facts; nothing differs in revenue`. */
export function foundText(found: NonNullable<PhaseStatus["found"]>): string {
  const parts = found.map(({ dataset, ...counts }) => {
    const kinds = (["changed", "added", "removed"] as const).filter((kind) => counts[kind] > 0);
    const text = kinds.map((kind) => `${counts[kind].toLocaleString("en-US")} ${kind}`).join(", ");
    return text === "" ? `nothing differs in ${dataset}` : `${text} in ${dataset}`;
  });
  return parts.join("; ");
}

/** `1%`, `0.5%`. */
export function percent(share: number): string {
  return `${Number((share * 100).toPrecision(6))}%`;
}

/** Everything that can be computed when `begin` is, of what reads nothing recomputed (`free`). */
function reachedBy(
  catalog: Catalog,
  steps: readonly RecomputeStep[],
  begin: (step: RecomputeStep, free: Ranges) => Ranges,
): PartitionMap {
  const recompute = new Map(steps.map(({ dataset, partitions }) => [dataset, partitions]));
  const reached = new Map<string, Ranges>();
  for (const step of steps) {
    const derived = requireDerived(catalog, step.dataset);
    const readers = (read: (name: string) => Ranges): Ranges =>
      union(
        ...derivedInputs(derived)
          .filter(({ dataset }) => recompute.has(dataset.name))
          .map((input) => readersOf(derived, input, read(input.dataset.name), recompute)),
      );
    const bound = readers((name) => of(recompute, name));
    const late = readers((name) => subtract(of(recompute, name), of(reached, name)));
    const free = subtract(step.partitions, bound);
    reached.set(step.dataset, union(intersect(begin(step, free), free), subtract(bound, late)));
  }
  return reached;
}

/** A few partitions from all over, of what matters least and of what that needs: the rest comes after its gate. */
function pilotOf(catalog: Catalog, steps: readonly RecomputeStep[]): PartitionMap {
  const least = Math.min(...steps.map(({ criticality }) => criticality));
  const wanted = new Set(steps.filter(({ criticality }) => criticality === least).map(({ dataset }) => dataset));
  for (const { dataset } of steps.toReversed()) {
    if (!wanted.has(dataset)) continue;
    for (const input of derivedInputs(requireDerived(catalog, dataset))) wanted.add(input.dataset.name);
  }
  const reached = reachedBy(catalog, steps, (step, free) =>
    wanted.has(step.dataset) ? spread(free, pilotSize(size(free))) : noRanges,
  );
  return new Map([...reached].filter(([dataset]) => wanted.has(dataset)));
}

function pilotSize(total: number): number {
  return Math.min(Math.max(pilotLeast, Math.ceil(total / 100)), pilotMost, Math.ceil(total / 10));
}

function isOrdered({ partitions }: Derived): boolean {
  return partitions.kind === "time" || partitions.kind === "range";
}

/** The first partitions, or the last. */
function leading(ranges: Ranges, wanted: number, backwards: boolean): Ranges {
  let left = wanted;
  const taken: Range[] = [];
  for (const [from, to] of backwards ? ranges.toReversed() : ranges) {
    const part = Math.min(left, to - from);
    taken.push(backwards ? [to - part, to] : [from, from + part]);
    left -= part;
  }
  return rangesOf(taken);
}

/** So many, each from the middle of an equal part. */
function spread(ranges: Ranges, wanted: number): Ranges {
  const total = size(ranges);
  const places = Array.from({ length: wanted }, (_, index) => Math.floor(((index + 0.5) * total) / wanted));
  return rangesOfOrdinals(places.map((place) => ordinalAt(ranges, place)));
}

function ordinalAt(ranges: Ranges, place: number): number {
  let before = 0;
  for (const [from, to] of ranges) {
    if (place < before + to - from) return from + place - before;
    before += to - from;
  }
  throw new RederiveError("internal", `there is no partition at place ${place}`);
}
