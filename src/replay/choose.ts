/**
 * Which partitions of a plan are tried before it runs. Pure, and the same for the same plan: what looks like chance comes
 * from the plan's hash.
 *
 * 1. From the consumers up, because what a chosen partition reads is best chosen too; then its own change reaches it.
 * 2. Of each dataset, classes by size with about as many rows each, so that large partitions are looked at more often.
 * 3. Of each class, partitions at even distances in time.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { upstreamOf } from "../catalog/mapping.ts";
import {
  contains,
  intersect,
  noRanges,
  ordinalsOf,
  type Ranges,
  rangesOfOrdinals,
  size,
  union,
} from "../catalog/ranges.ts";
import { sha256 } from "../hash.ts";
import type { RecomputeStep } from "../plan.ts";

/** A partition and its size: live rows, or the mean where there are none; at least 1. */
export interface Weighed {
  readonly partition: number;
  readonly weight: number;
}

/** Partitions of about the same size, in order, and those of them that are tried. */
export interface Stratum {
  readonly partitions: readonly Weighed[];
  readonly chosen: readonly Weighed[];
}

/** By dataset. */
export type Choice = ReadonlyMap<string, readonly Stratum[]>;

/** Live rows by partition; a partition that is not in it has none, or is not live. */
export type RowsOf = (dataset: string) => ReadonlyMap<number, number>;

/** Fewer than these say nothing about the spread. */
const fewest = 4;
const mostClasses = 4;
/** For its consumers' sake a dataset is tried in so many times the partitions that the share asks for, or in as many as they. */
const forConsumers = 3;

/** At least four partitions of each dataset, where it has them, else `share` (0 to 1) of them. */
export function chooseShare(
  catalog: Catalog,
  steps: readonly RecomputeStep[],
  args: { readonly share: number; readonly seed: string; readonly rowsOf: RowsOf },
): Choice {
  const wanted = new Map(steps.map(({ dataset, partitions }) => [dataset, wantedOf(size(partitions), args.share)]));
  const byName = new Map(steps.map((step) => [step.dataset, step]));
  const needs = new Map<string, Ranges>();
  const choice = new Map<string, readonly Stratum[]>();
  for (const step of steps.toReversed()) {
    const { dataset } = step;
    const partitions = weighed(step.partitions, args.rowsOf(dataset));
    const strata = stratified(partitions, {
      wanted: wanted.get(dataset) ?? 0,
      needed: needs.get(dataset) ?? noRanges,
      seed: `${args.seed} ${dataset}`,
    });
    choice.set(dataset, strata);
    const derived = catalog.datasets.get(dataset);
    if (derived?.kind !== "derived") continue;
    const chosen = chosenOf(strata);
    for (const [name, reads] of readsOf(derived, chosen, byName)) {
      const together = union(needs.get(name) ?? noRanges, reads);
      const most = Math.max(forConsumers * (wanted.get(name) ?? 0), size(chosen));
      if (size(together) <= most) needs.set(name, together);
    }
  }
  return new Map(steps.map(({ dataset }) => [dataset, choice.get(dataset) ?? []]));
}

/** Exactly these partitions; of a dataset that is not named, none. */
export function chooseThese(
  steps: readonly RecomputeStep[],
  named: ReadonlyMap<string, Ranges>,
  rowsOf: RowsOf,
): Choice {
  const chosen = steps.flatMap(({ dataset, partitions }) => {
    const these = intersect(named.get(dataset) ?? noRanges, partitions);
    const all = weighed(partitions, rowsOf(dataset));
    const stratum = { partitions: all, chosen: all.filter(({ partition }) => contains(these, partition)) };
    return stratum.chosen.length === 0 ? [] : [[dataset, [stratum]] as const];
  });
  return new Map(chosen);
}

/** The partitions that are tried, in order. */
export function chosenOf(strata: readonly Stratum[]): Ranges {
  return rangesOfOrdinals(strata.flatMap(({ chosen }) => chosen.map(({ partition }) => partition)));
}

function wantedOf(total: number, share: number): number {
  return Math.min(total, Math.max(fewest, Math.ceil(share * total)));
}

function weighed(partitions: Ranges, rows: ReadonlyMap<number, number>): Weighed[] {
  const known = [...rows.values()].filter((count) => count > 0);
  const mean = known.length === 0 ? 1 : known.reduce((sum, count) => sum + count, 0) / known.length;
  return [...ordinalsOf(partitions)].map((partition) => {
    const count = rows.get(partition) ?? 0;
    return { partition, weight: count > 0 ? count : mean };
  });
}

/** What each chosen partition reads of the recomputed ones, one by one, so that some fit where not all do. */
function* readsOf(
  derived: Derived,
  chosen: Ranges,
  steps: ReadonlyMap<string, RecomputeStep>,
): Generator<readonly [string, Ranges]> {
  for (const partition of ordinalsOf(chosen)) {
    for (const { dataset, mapping } of derived.inputs) {
      const recomputed = steps.get(dataset.name)?.partitions;
      if (recomputed === undefined) continue;
      const edge = { consumer: derived.partitions, input: dataset.partitions, mapping };
      yield [dataset.name, intersect(upstreamOf(edge, [[partition, partition + 1]], recomputed), recomputed)];
    }
  }
}

function stratified(
  partitions: readonly Weighed[],
  args: { readonly wanted: number; readonly needed: Ranges; readonly seed: string },
): Stratum[] {
  const classes = classesOf(partitions, Math.max(1, Math.min(mostClasses, Math.floor(args.wanted / 2))));
  return classes.map((members, index) => {
    const count = Math.min(members.length, Math.max(2, Math.round(args.wanted / classes.length)));
    const needed = members.filter(({ partition }) => contains(args.needed, partition));
    const spread = spreadOver(members, count, `${args.seed} ${index}`).filter((each) => !needed.includes(each));
    return { partitions: members, chosen: [...needed, ...spread].slice(0, Math.max(count, needed.length)) };
  });
}

/** Cut where the sizes, in rising order, add up to equal parts; each class in order of partitions. */
function classesOf(partitions: readonly Weighed[], count: number): Weighed[][] {
  const rising = [...partitions].sort((a, b) => a.weight - b.weight || a.partition - b.partition);
  const total = rising.reduce((sum, { weight }) => sum + weight, 0);
  const classes: Weighed[][] = Array.from({ length: count }, () => []);
  let before = 0;
  for (const each of rising) {
    classes[Math.min(count - 1, Math.floor((before / total) * count))]?.push(each);
    before += each.weight;
  }
  return classes
    .filter((members) => members.length > 0)
    .map((members) => members.sort((a, b) => a.partition - b.partition));
}

/** At even distances, beginning somewhere in the first of them. */
function spreadOver(members: readonly Weighed[], count: number, seed: string): Weighed[] {
  const start = Number.parseInt(sha256(seed).slice(0, 8), 16) / 2 ** 32;
  const places = Array.from({ length: count }, (_, index) => Math.floor(((index + start) * members.length) / count));
  return places.map((place) => members[place] as Weighed);
}
