/** Partitions in words: ordinals mean nothing to a person, so every message shows labels. Pure. */

import { describePartitions, labelOf } from "../catalog/label.ts";
import { type Ranges, size } from "../catalog/ranges.ts";
import type { PartitionScheme } from "../catalog/scheme.ts";

/** `2001-01-01 to 2001-01-31 (31), 2001-03-02`: both ends are inside; at most three ranges. */
export function labelRanges(scheme: PartitionScheme, ranges: Ranges): string {
  return ranges.length === 0 ? "no partitions" : describePartitions(scheme, ranges);
}

/** One text a range, none left out: `2001-01-01 to 2001-01-31`. */
export function windowsOf(scheme: PartitionScheme, ranges: Ranges): string[] {
  return ranges.map(([from, to]) => {
    const first = labelOf(scheme, from);
    return to - from === 1 ? first : `${first} to ${labelOf(scheme, to - 1)}`;
  });
}

/** `1 partition`, `2,345 partitions`. */
export function count(amount: number, noun: string): string {
  return `${amount.toLocaleString("en-US")} ${noun}${amount === 1 ? "" : "s"}`;
}

export function countPartitions(ranges: Ranges): string {
  return count(size(ranges), "partition");
}

/** `40 s`, `12 min`, `3 h 20 min`. */
export function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest === 0 ? "" : ` ${rest} min`}`;
}
