/**
 * Sets of partition ordinals as sorted, disjoint, non-touching half-open ranges: the in-memory form of a Postgres
 * int8multirange. All functions are pure and return that canonical form.
 */

/** [from, to): `from` is in the range, `to` is not. Both are safe integers. */
export type Range = readonly [from: number, to: number];
export type Ranges = readonly Range[];

export const noRanges: Ranges = [];

/** The canonical form of ranges in any order: sorted, merged where they touch, empty ones dropped. */
export function rangesOf(ranges: Iterable<Range>): Ranges {
  const sorted = [...ranges].filter(([from, to]) => from < to).sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [from, to] of sorted) {
    const last = merged.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

/** The ranges that hold exactly these ordinals. */
export function rangesOfOrdinals(ordinals: Iterable<number>): Ranges {
  return rangesOf([...ordinals].map((ordinal) => [ordinal, ordinal + 1] as const));
}

export function union(...sets: Ranges[]): Ranges {
  return rangesOf(sets.flat());
}

export function intersect(a: Ranges, b: Ranges): Ranges {
  const result: Range[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const [aFrom, aTo] = a[i] as Range;
    const [bFrom, bTo] = b[j] as Range;
    const from = Math.max(aFrom, bFrom);
    const to = Math.min(aTo, bTo);
    if (from < to) result.push([from, to]);
    if (aTo < bTo) i += 1;
    else j += 1;
  }
  return result;
}

/** What is in `a` and not in `b`. */
export function subtract(a: Ranges, b: Ranges): Ranges {
  const result: Range[] = [];
  let j = 0;
  for (const [from, to] of a) {
    let start = from;
    while (j < b.length && (b[j] as Range)[1] <= start) j += 1;
    for (let k = j; k < b.length && (b[k] as Range)[0] < to; k += 1) {
      const [cutFrom, cutTo] = b[k] as Range;
      if (start < cutFrom) result.push([start, cutFrom]);
      start = Math.max(start, cutTo);
    }
    if (start < to) result.push([start, to]);
  }
  return result;
}

/** How many ordinals are in the set. */
export function size(ranges: Ranges): number {
  return ranges.reduce((sum, [from, to]) => sum + (to - from), 0);
}

export function isEmpty(ranges: Ranges): boolean {
  return ranges.length === 0;
}

export function contains(ranges: Ranges, ordinal: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [from, to] = ranges[middle] as Range;
    if (ordinal < from) high = middle - 1;
    else if (ordinal >= to) low = middle + 1;
    else return true;
  }
  return false;
}

export function* ordinalsOf(ranges: Ranges): Generator<number> {
  for (const [from, to] of ranges) for (let ordinal = from; ordinal < to; ordinal += 1) yield ordinal;
}

/** `{[1,3),[7,9)}`, the text form of an int8multirange. */
export function toMultirange(ranges: Ranges): string {
  return `{${ranges.map(([from, to]) => `[${from},${to})`).join(",")}}`;
}

/** Reads the text form of an int8multirange as Postgres prints it. */
export function fromMultirange(text: string): Ranges {
  return [...text.matchAll(/\[(-?\d+),(-?\d+)\)/g)].map((match) => [Number(match[1]), Number(match[2])] as const);
}
