/** What is out of date by itself: its definition changed, or it was never computed. Pure. */
import type { Derived } from "../catalog/dataset.ts";
import { intersect, type Ranges, subtract, union } from "../catalog/ranges.ts";
import { of, type PartitionMap } from "./impact.ts";

/** Live partitions of one dataset that were computed under one fingerprint. */
export interface LiveContent {
  readonly fingerprint: string;
  readonly partitions: Ranges;
}

export type LiveMap = ReadonlyMap<string, readonly LiveContent[]>;

export interface OwnChanges {
  readonly definitionChanged: Ranges;
  readonly neverComputed: Ranges;
}

/** Everything live, whatever it was computed by. */
export function livePartitions(live: LiveMap): PartitionMap {
  return new Map([...live].map(([name, contents]) => [name, union(...contents.map((content) => content.partitions))]));
}

/**
 * A partition is out of date by itself where its live content has another fingerprint than the catalog gives now, and
 * where there is no live content for it. What changed upstream is not looked at here: parents enter by content.
 */
export function ownChanges(derived: Derived, fingerprint: string, live: LiveMap, extents: PartitionMap): OwnChanges {
  const contents = live.get(derived.name) ?? [];
  const extent = of(extents, derived.name);
  const outdated = contents.filter((content) => content.fingerprint !== fingerprint);
  return {
    definitionChanged: intersect(extent, union(...outdated.map((content) => content.partitions))),
    neverComputed: subtract(extent, union(...contents.map((content) => content.partitions))),
  };
}

export function pendingOf(changes: OwnChanges): Ranges {
  return union(changes.definitionChanged, changes.neverComputed);
}
