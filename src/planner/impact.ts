/**
 * Which partitions exist, what they read, and what a recomputation touches downstream.
 *
 * Everything is computed on ranges, in one pass over the datasets in topological order, so that the cost depends on the
 * number of ranges and not of partitions. Pure.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived, Input } from "../catalog/dataset.ts";
import { downstreamOf, homeOf, type MappedEdge, upstreamOf } from "../catalog/mapping.ts";
import { intersect, isEmpty, noRanges, type Ranges, subtract, union } from "../catalog/ranges.ts";
import { fixedExtent } from "../catalog/scheme.ts";

/** Partitions by dataset; a dataset that is not in the map has none. */
export type PartitionMap = ReadonlyMap<string, Ranges>;

export interface Impact {
  readonly recompute: PartitionMap;
  /** For each dataset, the partitions that are recomputed because of each recomputed input. */
  readonly causes: ReadonlyMap<string, PartitionMap>;
  /** Touched partitions that were never computed and read others that were not: there is nothing to correct yet. */
  readonly leftOut: PartitionMap;
}

export function edgeOf(consumer: Derived, input: Input): MappedEdge {
  return { consumer: consumer.partitions, input: input.dataset.partitions, mapping: input.mapping };
}

/** An input that is derived itself. */
export type DerivedInput = Input & { readonly dataset: Derived };

export function derivedInputs(consumer: Derived): DerivedInput[] {
  return consumer.inputs.filter((input): input is DerivedInput => input.dataset.kind === "derived");
}

/** Whether it reads no source: then the hashes of its inputs tell everything that its result depends on. */
export function readsDerivedAlone(derived: Derived): boolean {
  return derived.inputs.every((input) => input.dataset.kind === "derived");
}

/** The derived datasets of a catalog, upstreams first. */
export function derivedInOrder(catalog: Catalog): Derived[] {
  return catalog.order.flatMap((name) => {
    const dataset = catalog.datasets.get(name);
    return dataset?.kind === "derived" ? [dataset] : [];
  });
}

/**
 * The partitions that every dataset has: of a source, its extent; of a derived dataset, those that its inputs call for
 * and those that are live. Live content outside its inputs' extent stays known, so that it can be recomputed away.
 */
export function extentsOf(catalog: Catalog, sources: PartitionMap, live: PartitionMap): PartitionMap {
  const extents = new Map<string, Ranges>();
  for (const name of catalog.order) {
    const dataset = catalog.datasets.get(name);
    if (dataset === undefined) continue;
    const extent =
      dataset.kind === "source"
        ? (sources.get(name) ?? fixedExtent(dataset.partitions) ?? noRanges)
        : union(derivedExtent(dataset, extents), of(live, name));
    extents.set(name, extent);
  }
  return extents;
}

/** Whether any input says which partitions a dataset has. Without one, only live and requested partitions exist. */
export function hasHome(derived: Derived): boolean {
  if (fixedExtent(derived.partitions) !== undefined) return true;
  return derived.inputs.some((input) => homeOf(edgeOf(derived, input), [[0, 1]]) !== undefined);
}

function derivedExtent(derived: Derived, extents: PartitionMap): Ranges {
  const homes = derived.inputs.flatMap(
    (input) => homeOf(edgeOf(derived, input), of(extents, input.dataset.name)) ?? [],
  );
  const fixed = fixedExtent(derived.partitions);
  if (fixed === undefined) return union(homes);
  // Buckets and listed values exist as soon as there is any input at all.
  const anyInput = derived.inputs.some((input) => !isEmpty(of(extents, input.dataset.name)));
  return homes.length > 0 ? intersect(union(homes), fixed) : anyInput ? fixed : noRanges;
}

/** The existing partitions of one input that these partitions of a consumer read. */
export function readsOf(consumer: Derived, input: Input, partitions: Ranges, extents: PartitionMap): Ranges {
  const extent = of(extents, input.dataset.name);
  return intersect(upstreamOf(edgeOf(consumer, input), partitions, extent), extent);
}

/** The existing partitions of a consumer that read any of these partitions of one input. */
export function readersOf(consumer: Derived, input: Input, partitions: Ranges, extents: PartitionMap): Ranges {
  if (isEmpty(partitions)) return noRanges;
  const extent = of(extents, consumer.name);
  return intersect(downstreamOf(edgeOf(consumer, input), partitions, extent), extent);
}

/**
 * The recomputed partitions of an input that may come out other than they are for this reader. Asked upstreams first,
 * with what is known by then.
 */
export type Spread = (reader: Derived, input: DerivedInput, so: SoFar) => Ranges;

/** What a closure knows when it comes to a dataset: everything about the datasets before it. */
export interface SoFar {
  readonly recompute: PartitionMap;
  readonly causes: ReadonlyMap<string, PartitionMap>;
}

export interface Closure {
  /** The partitions to begin with. */
  readonly roots: PartitionMap;
  readonly extents: PartitionMap;
  /** Default: every recomputed partition may come out other than it is. */
  readonly spread?: Spread;
  /**
   * With it, touched partitions outside it (never computed) are taken along only where everything that they read will
   * be there; otherwise they are left out.
   */
  readonly computed?: PartitionMap;
}

/** Closes a set of recomputed partitions downstream. */
export function closeDownstream(catalog: Catalog, closure: Closure): Impact {
  const recompute = new Map<string, Ranges>();
  const causes = new Map<string, PartitionMap>();
  const leftOut = new Map<string, Ranges>();
  for (const consumer of derivedInOrder(catalog)) {
    const touched = touchedBy(consumer, { recompute, causes }, closure);
    const own = of(closure.roots, consumer.name);
    const all = union(own, ...touched.values());
    const { computed, extents } = closure;
    const blocked =
      computed === undefined ? noRanges : blockedOf(consumer, subtract(all, own), recompute, extents, computed);
    const partitions = subtract(all, blocked);
    if (!isEmpty(blocked)) leftOut.set(consumer.name, blocked);
    if (isEmpty(partitions)) continue;
    recompute.set(consumer.name, partitions);
    causes.set(consumer.name, clipAll(touched, partitions));
  }
  return { recompute, causes, leftOut };
}

function touchedBy(consumer: Derived, so: SoFar, { extents, spread }: Closure): Map<string, Ranges> {
  const touched = new Map<string, Ranges>();
  for (const input of derivedInputs(consumer)) {
    const { name } = input.dataset;
    if (isEmpty(of(so.recompute, name))) continue;
    const changing = spread === undefined ? of(so.recompute, name) : spread(consumer, input, so);
    const readers = readersOf(consumer, input, changing, extents);
    if (!isEmpty(readers)) touched.set(name, union(of(touched, name), readers));
  }
  return touched;
}

function blockedOf(
  consumer: Derived,
  touched: Ranges,
  recompute: PartitionMap,
  extents: PartitionMap,
  computed: PartitionMap,
): Ranges {
  const fresh = subtract(touched, of(computed, consumer.name));
  if (isEmpty(fresh)) return noRanges;
  const waiting = derivedInputs(consumer).map((input) => {
    const name = input.dataset.name;
    const absent = subtract(of(extents, name), union(of(computed, name), of(recompute, name)));
    return readersOf(consumer, input, absent, extents);
  });
  return intersect(fresh, union(...waiting));
}

/** Existing partitions of derived datasets that recomputed ones read and that are neither recomputed nor live. */
export function missingUpstreams(
  catalog: Catalog,
  recompute: PartitionMap,
  extents: PartitionMap,
  live: PartitionMap,
): PartitionMap {
  const missing = new Map<string, Ranges>();
  for (const [name, reads] of reusedBy(catalog, recompute, extents)) {
    const absent = subtract(reads, of(live, name));
    if (!isEmpty(absent)) missing.set(name, absent);
  }
  return missing;
}

/** Existing partitions of derived datasets that recomputed ones read as they are. */
export function reusedBy(catalog: Catalog, recompute: PartitionMap, extents: PartitionMap): PartitionMap {
  const reused = new Map<string, Ranges>();
  for (const consumer of derivedInOrder(catalog)) {
    const partitions = of(recompute, consumer.name);
    if (isEmpty(partitions)) continue;
    for (const input of derivedInputs(consumer)) {
      const name = input.dataset.name;
      const reads = subtract(readsOf(consumer, input, partitions, extents), of(recompute, name));
      if (!isEmpty(reads)) reused.set(name, union(of(reused, name), reads));
    }
  }
  return reused;
}

/** The partitions of a dataset in a map. */
export function of(map: PartitionMap, name: string): Ranges {
  return map.get(name) ?? noRanges;
}

export function mergeMaps(a: PartitionMap, b: PartitionMap): PartitionMap {
  const merged = new Map(a);
  for (const [name, partitions] of b) merged.set(name, union(of(a, name), partitions));
  return merged;
}

function clipAll(map: PartitionMap, clip: Ranges): PartitionMap {
  const clipped = [...map].map(([name, partitions]) => [name, intersect(partitions, clip)] as const);
  return new Map(clipped.filter(([, partitions]) => !isEmpty(partitions)));
}
