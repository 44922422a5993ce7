/**
 * Partition mappings: which partitions of an input a consumer's partition reads, and the way back.
 *
 * Same and rollup are inferred from the two schemes. A rollup over time is by overlap: on the wall clock where both
 * sides count in one zone, else on the instants. Lookback and lookahead count in the consumer's unit, rolling windows in
 * the input's. All functions turn ranges into ranges without walking their ordinals, except for custom mappings, which
 * only know single partitions.
 */
import { RederiveError } from "../errors.ts";
import { countingZone, ordinalAtInstant, startOf } from "./bounds.ts";
import { startOfUnit, type TimeUnit, unitAt } from "./calendar.ts";
import { intersect, isEmpty, ordinalsOf, type Range, type Ranges, rangesOf, size } from "./ranges.ts";
import { describeScheme, type HashScheme, type PartitionScheme, type TimeScheme } from "./scheme.ts";

export interface CustomMapping {
  readonly kind: "custom";
  /** Enters the fingerprint in place of the two functions: give another name when they change. */
  readonly name: string;
  /** Input partitions that one consumer partition reads. */
  readonly upstream: (ordinal: number) => Ranges;
  /** Consumer partitions that read one input partition: exactly the reverse of `upstream`. */
  readonly downstream: (ordinal: number) => Ranges;
}

/** The partition's own period, widened by partitions of the input: a month and the seven days before it. */
export interface RollingMapping {
  readonly kind: "rolling";
  readonly before: number;
  readonly after: number;
}

export type Mapping =
  | { readonly kind: "same" }
  | { readonly kind: "rollup" }
  | { readonly kind: "lookback"; readonly partitions: number }
  | { readonly kind: "lookahead"; readonly partitions: number }
  | RollingMapping
  | { readonly kind: "all" }
  | CustomMapping;

/** A consumer, one of its inputs, and how their partitions belong together. */
export interface MappedEdge {
  readonly consumer: PartitionScheme;
  readonly input: PartitionScheme;
  readonly mapping: Mapping;
}

/**
 * Input partitions that these consumer partitions read. Not clipped to what exists, except where all of the input is
 * read: then it is `inputExtent`.
 */
export function upstreamOf(edge: MappedEdge, consumerPartitions: Ranges, inputExtent: Ranges): Ranges {
  const { mapping, consumer, input } = edge;
  if (isEmpty(consumerPartitions)) return [];
  if (readsEverything(edge)) return inputExtent;
  switch (mapping.kind) {
    case "same":
      return consumerPartitions;
    case "rollup":
      return project(consumer, input, consumerPartitions);
    case "lookback":
      return project(consumer, input, widen(consumerPartitions, mapping.partitions, 0));
    case "lookahead":
      return project(consumer, input, widen(consumerPartitions, 0, mapping.partitions));
    case "rolling":
      return widen(project(consumer, input, consumerPartitions), mapping.before, mapping.after);
    case "all":
      return inputExtent;
    case "custom":
      return perOrdinal(mapping.upstream, consumerPartitions);
  }
}

/** Consumer partitions that read any of these input partitions, as far as they are in `consumerExtent`. */
export function downstreamOf(edge: MappedEdge, inputPartitions: Ranges, consumerExtent: Ranges): Ranges {
  const { mapping, consumer, input } = edge;
  if (isEmpty(inputPartitions)) return [];
  if (readsEverything(edge)) return consumerExtent;
  switch (mapping.kind) {
    case "same":
      return intersect(inputPartitions, consumerExtent);
    case "rollup":
      return intersect(project(input, consumer, inputPartitions), consumerExtent);
    case "lookback": {
      const own = project(input, consumer, inputPartitions);
      return intersect(widen(own, 0, mapping.partitions), consumerExtent);
    }
    case "lookahead": {
      const own = project(input, consumer, inputPartitions);
      return intersect(widen(own, mapping.partitions, 0), consumerExtent);
    }
    case "rolling": {
      const near = widen(inputPartitions, mapping.after, mapping.before);
      return intersect(project(input, consumer, near), consumerExtent);
    }
    case "all":
      return consumerExtent;
    case "custom":
      return intersect(perOrdinal(mapping.downstream, inputPartitions), consumerExtent);
  }
}

/**
 * Consumer partitions that exist because these inputs exist: `downstreamOf` without what a wider window adds. Undefined
 * where the mapping does not tell, as for a partitioned dataset that reads all of an input.
 */
export function homeOf(edge: MappedEdge, inputPartitions: Ranges): Ranges | undefined {
  const { mapping, consumer, input } = edge;
  if (consumer.kind === "whole") return isEmpty(inputPartitions) ? [] : [[0, 1]];
  switch (mapping.kind) {
    case "same":
      return inputPartitions;
    case "rollup":
    case "lookback":
    case "lookahead":
    case "rolling":
      return project(input, consumer, inputPartitions);
    case "all":
      return undefined;
    case "custom":
      return perOrdinal(mapping.downstream, inputPartitions);
  }
}

/** The mapping that two schemes imply, or what is wrong and what to write instead. */
export function inferMapping(consumer: PartitionScheme, input: PartitionScheme): Mapping | { readonly fault: string } {
  if (consumer.kind === "whole") return input.kind === "whole" ? same : rollup;
  if (input.kind === "whole") return all;
  const inferred = inferPartitioned(consumer, input);
  if (inferred !== undefined) return inferred;
  const seen = `${describeScheme(consumer)} cannot be mapped to ${describeScheme(input)}`;
  return { fault: `${seen}; ${remedyFor(consumer, input)}, or wrap the input in custom(...)` };
}

/** What is wrong with a mapping that was written out for these schemes; undefined when it is possible. */
export function mappingFault({ consumer, input, mapping }: MappedEdge): string | undefined {
  switch (mapping.kind) {
    case "all":
      return undefined;
    case "same":
    case "rollup": {
      const inferred = inferMapping(consumer, input);
      return "fault" in inferred ? inferred.fault : undefined;
    }
    case "lookback":
    case "lookahead":
      return countFault(mapping.kind, mapping.partitions) ?? orderFault(mapping.kind, consumer, input);
    case "rolling":
      return rollingFault(mapping) ?? orderFault(mapping.kind, consumer, input);
    case "custom":
      return mapping.name === "" ? `custom needs a name, which enters the fingerprint` : undefined;
  }
}

function countFault(kind: "lookback" | "lookahead", partitions: number): string | undefined {
  if (Number.isInteger(partitions) && partitions >= 1) return undefined;
  return `${kind} over ${partitions} partitions; give a whole number of at least 1`;
}

function rollingFault({ before, after }: RollingMapping): string | undefined {
  const whole = [before, after].every((reach) => Number.isInteger(reach) && reach >= 0);
  if (whole && before + after >= 1) return undefined;
  return `rolling over ${before} partitions before and ${after} after; give whole numbers of at least 0, one of them at least 1`;
}

function orderFault(kind: Mapping["kind"], consumer: PartitionScheme, input: PartitionScheme): string | undefined {
  const ordered = consumer.kind === input.kind && (consumer.kind === "time" || consumer.kind === "range");
  if (!ordered) {
    const seen = `${kind} from ${describeScheme(consumer)} over ${describeScheme(input)} has no order to look along`;
    return `${seen}; cut both by time or both by range, or use all(...) or custom(...)`;
  }
  const inferred = inferMapping(consumer, input);
  return "fault" in inferred ? inferred.fault : undefined;
}

/** A mapping as plain JSON, for fingerprints; a custom one is known by its name. */
export function shapeOfMapping(mapping: Mapping): Record<string, unknown> {
  return mapping.kind === "custom" ? { kind: mapping.kind, name: mapping.name } : { ...mapping };
}

/** In words: same, rollup, lookback 7, lookahead 2, rolling -7 +0, all, or custom with its name. */
export function describeMapping(mapping: Mapping): string {
  switch (mapping.kind) {
    case "lookback":
    case "lookahead":
      return `${mapping.kind} ${mapping.partitions}`;
    case "rolling":
      return `rolling -${mapping.before} +${mapping.after}`;
    case "custom":
      return `custom ${mapping.name}`;
    case "same":
    case "rollup":
    case "all":
      return mapping.kind;
  }
}

const same: Mapping = Object.freeze({ kind: "same" });
const rollup: Mapping = Object.freeze({ kind: "rollup" });
const all: Mapping = Object.freeze({ kind: "all" });

/** Whole is the coarsest scheme, so a whole dataset is a rollup of all that exists. */
function readsEverything({ consumer, input, mapping }: MappedEdge): boolean {
  return mapping.kind === "rollup" && (consumer.kind === "whole" || input.kind === "whole");
}

function inferPartitioned(consumer: PartitionScheme, input: PartitionScheme): Mapping | undefined {
  if (consumer.kind === "time" && input.kind === "time") return inferTime(consumer, input);
  if (consumer.kind === "range" && input.kind === "range") return inferMultiple(consumer.width, input.width);
  // h mod 4 follows from h mod 8, so fewer buckets roll up more of them where the numbers divide.
  if (consumer.kind === "hash" && input.kind === "hash") return inferMultiple(input.buckets, consumer.buckets);
  if (consumer.kind === "list" && input.kind === "list") {
    const equal = JSON.stringify(consumer.values) === JSON.stringify(input.values);
    return equal ? same : undefined;
  }
  return undefined;
}

/** From finest to coarsest. Weeks do not divide months, but the days of a month touch few weeks: overlap handles it. */
const coarseness: readonly TimeUnit[] = ["hour", "day", "week", "month", "year"];

function inferTime(consumer: TimeScheme, input: TimeScheme): Mapping | undefined {
  const difference = coarseness.indexOf(consumer.unit) - coarseness.indexOf(input.unit);
  if (difference > 0) return rollup;
  if (difference < 0) return undefined;
  return countingZone(consumer) === countingZone(input) ? same : rollup;
}

function inferMultiple(coarse: number, fine: number): Mapping | undefined {
  if (coarse === fine) return same;
  return coarse % fine === 0 ? rollup : undefined;
}

function remedyFor(consumer: PartitionScheme, input: PartitionScheme): string {
  if (consumer.kind === "time" && input.kind === "time") {
    return `cut the consumer at least as coarsely as its input, wrap the input in all(...) to read all of it`;
  }
  if (consumer.kind === "range" && input.kind === "range") {
    return `make the width ${consumer.width} a multiple of ${input.width}, wrap the input in all(...) to read all of it`;
  }
  if (consumer.kind === "hash" && input.kind === "hash") {
    return `make ${input.buckets} a multiple of ${consumer.buckets} buckets, wrap the input in all(...) to read all of it`;
  }
  if (consumer.kind === "list" && input.kind === "list") {
    return "list the same values in the same order on both sides, wrap the input in all(...) to read all of it";
  }
  return `cut both the same way, wrap the input in all(...) to read all of it`;
}

/** Partitions of `to` that overlap those of `from`. Symmetric: a overlaps b if and only if b overlaps a. */
function project(from: PartitionScheme, to: PartitionScheme, ranges: Ranges): Ranges {
  if (from.kind === "time" && to.kind === "time") return projectTime(from, to, ranges);
  if (from.kind === "range" && to.kind === "range") return projectSpans(from.width, to.width, ranges);
  if (from.kind === "hash" && to.kind === "hash") return projectBuckets(from, to, ranges);
  // Equal lists, the only other pair that can be mapped partition by partition.
  return ranges;
}

function projectSpans(from: number, to: number, ranges: Ranges): Ranges {
  // One width is a multiple of the other, so whole ratios keep large values exact where products would not.
  if (from === to) return ranges;
  if (from > to) return ranges.map(([start, end]) => [start * (from / to), end * (from / to)]);
  const ratio = to / from;
  return rangesOf(ranges.map(([start, end]) => [Math.floor(start / ratio), Math.ceil(end / ratio)]));
}

function projectBuckets(from: HashScheme, to: HashScheme, ranges: Ranges): Ranges {
  if (from.buckets >= to.buckets) return rangesOf(ranges.flatMap((part) => modulo(part, to.buckets)));
  const copies = Array.from({ length: to.buckets / from.buckets }, (_, copy) => copy * from.buckets);
  return rangesOf(ranges.flatMap(([start, end]) => copies.map((by): Range => [start + by, end + by])));
}

function modulo([start, end]: Range, buckets: number): Range[] {
  if (end - start >= buckets) return [[0, buckets]];
  const first = start % buckets;
  const last = first + (end - start);
  return last <= buckets
    ? [[first, last]]
    : [
        [first, buckets],
        [0, last - buckets],
      ];
}

/** A line on which both schemes have their boundaries: where a partition begins, and which one holds a point. */
interface Axis {
  readonly start: (ordinal: number) => number;
  readonly at: (point: number) => number;
}

function projectTime(from: TimeScheme, to: TimeScheme, ranges: Ranges): Ranges {
  const oneClock = countingZone(from) === countingZone(to);
  if (oneClock && from.unit === to.unit) return ranges;
  const axisOf = oneClock ? wallAxis : instantAxis;
  const source = axisOf(from);
  const target = axisOf(to);
  return rangesOf(ranges.map((part) => overlap(source, target, part)));
}

function wallAxis({ unit }: TimeScheme): Axis {
  return { start: (ordinal) => startOfUnit(unit, ordinal), at: (point) => unitAt(unit, point) };
}

function instantAxis(scheme: TimeScheme): Axis {
  return { start: (ordinal) => startOf(scheme, ordinal), at: (point) => ordinalAtInstant(scheme, point) };
}

/**
 * The target partitions that overlap a run of source partitions. A period that a zone's clock left out is empty: it
 * stands for its point, and overlaps what holds that point, so that the relation reads the same from both ends.
 */
function overlap(source: Axis, target: Axis, [first, end]: Range): Range {
  const start = source.start(first);
  const stop = source.start(end);
  const lastIsEmpty = source.start(end - 1) === stop;
  return [firstTouching(target, start), lastIsEmpty ? target.at(stop) + 1 : firstFrom(target, stop)];
}

/** The first target partition that begins at the point or holds it. */
function firstTouching(target: Axis, point: number): number {
  const holding = target.at(point);
  return target.start(holding) === point ? firstFrom(target, point) : holding;
}

/** The first target partition that begins at the point or later; empty ones at the point come before the one that holds it. */
function firstFrom(target: Axis, point: number): number {
  let ordinal = target.at(point) + 1;
  while (target.start(ordinal - 1) >= point) ordinal -= 1;
  return ordinal;
}

function widen(ranges: Ranges, before: number, after: number): Ranges {
  return rangesOf(ranges.map(([from, to]) => [from - before, to + after]));
}

/** More partitions than any plan has; a custom mapping would be asked about each of them. */
const maxWalked = 2_000_000;

function perOrdinal(mapped: (ordinal: number) => Ranges, partitions: Ranges): Ranges {
  const walked = size(partitions);
  if (walked > maxWalked) {
    throw new RederiveError(
      "plan_too_large",
      `a custom mapping would be asked about ${walked.toLocaleString("en-US")} partitions one by one; ask for a narrower window, ` +
        "or check the sources for rows far outside their time",
      { details: { partitions: walked } },
    );
  }
  const parts: Range[] = [];
  for (const ordinal of ordinalsOf(partitions)) parts.push(...mapped(ordinal));
  return rangesOf(parts);
}
