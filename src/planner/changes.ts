/** What is out of date by itself: its definition changed, it was never computed, or its inputs are others now. Pure. */
import { startOfUnit, unitAt } from "../catalog/calendar.ts";
import type { Derived } from "../catalog/dataset.ts";
import { parseMoment } from "../catalog/moment.ts";
import { intersect, noRanges, type Ranges, subtract, union } from "../catalog/ranges.ts";
import type { TimeScheme } from "../catalog/scheme.ts";
import { of, type PartitionMap } from "./impact.ts";

/** Live partitions of one dataset that were computed under one fingerprint and promoted together. */
export interface LiveContent {
  readonly fingerprint: string;
  readonly partitions: Ranges;
  /** Hash of the metadata whose checks it was validated with; null or undefined where unknown. */
  readonly metadata?: string | null;
  /** Milliseconds since the epoch, as the next one. */
  readonly promotedAt?: number;
  /** When it was written down what it was computed from; null or undefined where that is unknown. */
  readonly readsAt?: number | null;
}

export type LiveMap = ReadonlyMap<string, readonly LiveContent[]>;

export interface OwnChanges {
  readonly definitionChanged: Ranges;
  readonly neverComputed: Ranges;
  /** Computed from other content than is live in the inputs now. */
  readonly inputsChanged: Ranges;
  /** The definition changed, but only from a later date on. */
  readonly beforeForward: Ranges;
}

/** Everything live, whatever it was computed by. */
export function livePartitions(live: LiveMap): PartitionMap {
  return new Map([...live].map(([name, contents]) => [name, union(...contents.map((content) => content.partitions))]));
}

export interface ChangedBy {
  readonly fingerprint: string;
  readonly live: LiveMap;
  readonly extents: PartitionMap;
  /** Live partitions whose inputs have other content than they were computed from. */
  readonly inputsChanged: PartitionMap;
  readonly forwardFrom: string | undefined;
  /** It was cut otherwise when it was computed, so none of its partitions is live under its number of now. */
  readonly recut: boolean;
}

/**
 * A partition is out of date by itself where its live content has another fingerprint than the catalog gives now, where
 * there is no live content for it, and where an input was promoted without it. What a plan changes upstream is not
 * looked at here.
 */
export function ownChanges(derived: Derived, by: ChangedBy): OwnChanges {
  const contents = by.live.get(derived.name) ?? [];
  const extent = of(by.extents, derived.name);
  const outdated = contents.filter((content) => content.fingerprint !== by.fingerprint);
  const changed = intersect(extent, union(...outdated.map((content) => content.partitions)));
  const neverComputed = subtract(extent, union(...contents.map((content) => content.partitions)));
  if (by.recut) {
    return { definitionChanged: extent, neverComputed: noRanges, inputsChanged: noRanges, beforeForward: noRanges };
  }
  const beforeForward = by.forwardFrom === undefined ? noRanges : beforeDate(derived, changed, by.forwardFrom);
  return {
    definitionChanged: subtract(changed, beforeForward),
    neverComputed,
    inputsChanged: intersect(extent, of(by.inputsChanged, derived.name)),
    beforeForward,
  };
}

export function pendingOf(changes: OwnChanges): Ranges {
  return union(changes.definitionChanged, changes.neverComputed, changes.inputsChanged);
}

/** Those that begin before a date. What is not cut by time has no past: none of it. */
function beforeDate(derived: Derived, partitions: Ranges, date: string): Ranges {
  const scheme = derived.partitions;
  if (scheme.kind !== "time") return noRanges;
  return intersect(partitions, [[Number.MIN_SAFE_INTEGER, firstFrom(scheme, date)]]);
}

/** The first partition that begins on the date or later, as the partitions' own clock has it. */
function firstFrom({ unit }: TimeScheme, date: string): number {
  const wall = parseMoment(date)?.ms ?? Number.NEGATIVE_INFINITY;
  const holding = unitAt(unit, wall);
  return startOfUnit(unit, holding) === wall ? holding : holding + 1;
}
