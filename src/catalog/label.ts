/** What people call partitions, and how they name one or a window of them: labels out, text in. */
import { RederiveError } from "../errors.ts";
import { boundsOf, nearestBoundary } from "./bounds.ts";
import { startOfUnit } from "./calendar.ts";
import { labelOfTime } from "./moment.ts";
import { type Ranges, size } from "./ranges.ts";
import {
  describeScheme,
  type HashScheme,
  type ListScheme,
  type OrderedScheme,
  type PartitionScheme,
  type WholeScheme,
} from "./scheme.ts";

/** What people call a partition: 2001-01-31, 2001-01, 2001, 2001-W05, 2001-01-31T05Z, [0,1000), bucket 3, EUR, all. */
export function labelOf(scheme: PartitionScheme, ordinal: number): string {
  switch (scheme.kind) {
    case "time": {
      const label = labelOfTime(scheme.unit, startOfUnit(scheme.unit, ordinal));
      return scheme.unit === "hour" && scheme.columnType === "timestamptz" ? `${label}Z` : label;
    }
    case "range": {
      const { from, to } = boundsOf(scheme, ordinal);
      return `[${from},${to})`;
    }
    case "hash":
      return `bucket ${ordinal}`;
    case "list":
      return String(scheme.values[ordinal] ?? `value ${ordinal}`);
    case "whole":
      return "all";
  }
}

/**
 * The partition with this label, as `labelOf` writes it. A date, a time or a number that begins a partition is taken
 * too. Throws `not_found` for anything else.
 */
export function parsePartition(scheme: PartitionScheme, label: string): number {
  const ordinal =
    scheme.kind === "time" || scheme.kind === "range" ? orderedLabel(scheme, label) : fixedLabel(scheme, label);
  if (ordinal !== undefined) return ordinal;
  const example = labelOf(scheme, 0);
  throw new RederiveError(
    "not_found",
    `no partition "${label}" in ${describeScheme(scheme)}; labels look like ${example}`,
  );
}

function orderedLabel(scheme: OrderedScheme, label: string): number | undefined {
  const bound = scheme.kind === "range" ? (/^\[(-?\d+),-?\d+\)$/.exec(label)?.[1] ?? label) : label;
  const boundary = nearestBoundary(scheme, bound);
  if (boundary === undefined || !boundary.exact) return undefined;
  const given = label.startsWith("[") && labelOf(scheme, boundary.ordinal) !== label;
  return given ? undefined : boundary.ordinal;
}

function fixedLabel(scheme: HashScheme | ListScheme | WholeScheme, label: string): number | undefined {
  if (scheme.kind === "whole") return label === "all" ? 0 : undefined;
  if (scheme.kind === "list") {
    const index = scheme.values.findIndex((value) => String(value) === label);
    return index < 0 ? undefined : index;
  }
  const bucket = /^(?:bucket )?(\d{1,6})$/.exec(label)?.[1];
  return bucket !== undefined && Number(bucket) < scheme.buckets ? Number(bucket) : undefined;
}

/**
 * The partitions from `from` to `to`, half-open. Bounds are dates, times, labels (2001-01 stands for its beginning) or
 * whole numbers, read in the scheme's zone. A window is never widened: a bound inside a partition is refused with
 * `usage`, naming the boundaries on both sides, and so is any window over a scheme without an order.
 */
export function parseWindow(scheme: PartitionScheme, window: { readonly from: string; readonly to: string }): Ranges {
  if (scheme.kind !== "time" && scheme.kind !== "range") {
    const message = `a window needs an order, and ${describeScheme(scheme)} has none; name partitions instead`;
    throw new RederiveError("usage", message);
  }
  const from = exactBoundary(scheme, "from", window.from);
  const to = exactBoundary(scheme, "to", window.to);
  if (from < to) return [[from, to]];
  const message = `the window from ${window.from} to ${window.to} is empty; "to" is exclusive and must be later than "from"`;
  throw new RederiveError("usage", message);
}

function exactBoundary(scheme: OrderedScheme, side: "from" | "to", text: string): number {
  const boundary = nearestBoundary(scheme, text);
  if (boundary === undefined) {
    const example = scheme.kind === "time" ? "2001-01-31 or 2001-01-31T05:00Z" : "1000";
    throw new RederiveError(
      "usage",
      `"${side}" is "${text}", which is no bound of ${describeScheme(scheme)}; write ${example}`,
    );
  }
  if (boundary.exact) return boundary.ordinal;
  const { from: earlier, to: later } = boundsOf(scheme, boundary.ordinal);
  const message = `"${side}" is ${text}, inside the partition ${labelOf(scheme, boundary.ordinal)} of ${describeScheme(scheme)}; `;
  throw new RederiveError("usage", `${message}the nearest boundaries are ${earlier} and ${later}`, {
    details: { bound: side, earlier, later },
  });
}

/** Partitions as people read them: one label, or `2001-01-01 to 2001-01-31 (31)`, at most three ranges. */
export function describePartitions(scheme: PartitionScheme, ranges: Ranges): string {
  const shown = ranges.slice(0, 3).map((part) => {
    const [from, to] = part;
    if (to - from === 1) return labelOf(scheme, from);
    return `${labelOf(scheme, from)} to ${labelOf(scheme, to - 1)} (${size([part])})`;
  });
  const more = ranges.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more ranges` : shown.join(", ");
}
