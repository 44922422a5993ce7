/**
 * Live partitions whose inputs were promoted after it was written down what they were computed from. Only these can have
 * been computed from other content than is live now; whether they were is then looked up. Pure.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { isEmpty, type Range, type Ranges, rangesOf } from "../catalog/ranges.ts";
import { type LiveMap, livePartitions } from "./changes.ts";
import { type DerivedInput, derivedInOrder, derivedInputs, extentsOf, type PartitionMap, readersOf } from "./impact.ts";

interface Segment {
  readonly range: Range;
  readonly readsAt: number;
}

export function suspectReads(catalog: Catalog, sources: PartitionMap, live: LiveMap): Map<string, Ranges> {
  const extents = extentsOf(catalog, sources, livePartitions(live));
  const suspects = new Map<string, Ranges>();
  for (const derived of derivedInOrder(catalog)) {
    const segments = segmentsOf(live, derived);
    const found = derivedInputs(derived).flatMap((input) => readBefore(live, derived, input, segments, extents));
    if (found.length > 0) suspects.set(derived.name, rangesOf(found));
  }
  return suspects;
}

/** In order of partition. What is not known to have been read is not suspected. */
function segmentsOf(live: LiveMap, derived: Derived): Segment[] {
  const segments = (live.get(derived.name) ?? []).flatMap(({ partitions, readsAt }) =>
    readsAt == null ? [] : partitions.map((range) => ({ range, readsAt })),
  );
  return segments.sort((a, b) => a.range[0] - b.range[0]);
}

function readBefore(
  live: LiveMap,
  derived: Derived,
  input: DerivedInput,
  segments: readonly Segment[],
  extents: PartitionMap,
): Range[] {
  const oldest = segments.reduce((least, segment) => Math.min(least, segment.readsAt), Number.POSITIVE_INFINITY);
  const found: Range[] = [];
  for (const { partitions, promotedAt = 0 } of live.get(input.dataset.name) ?? []) {
    if (promotedAt <= oldest || isEmpty(partitions)) continue;
    for (const readers of readersOf(derived, input, partitions, extents)) {
      found.push(...olderWithin(segments, readers, promotedAt));
    }
  }
  return found;
}

/** The parts of a range that were read before an instant. */
function olderWithin(segments: readonly Segment[], [from, to]: Range, instant: number): Range[] {
  const found: Range[] = [];
  for (let index = firstEndingAfter(segments, from); index < segments.length; index += 1) {
    const { range, readsAt } = segments[index] as Segment;
    if (range[0] >= to) break;
    if (readsAt < instant) found.push([Math.max(range[0], from), Math.min(range[1], to)]);
  }
  return found;
}

function firstEndingAfter(segments: readonly Segment[], ordinal: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((segments[middle] as Segment).range[1] <= ordinal) low = middle + 1;
    else high = middle;
  }
  return low;
}
