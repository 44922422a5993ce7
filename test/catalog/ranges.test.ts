import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  contains,
  fromMultirange,
  intersect,
  ordinalsOf,
  type Ranges,
  rangesOf,
  rangesOfOrdinals,
  size,
  subtract,
  toMultirange,
  union,
} from "../../src/catalog/ranges.ts";

const ordinals = fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 25 });
const setOf = (ranges: Ranges) => new Set(ordinalsOf(ranges));

describe("ranges agree with sets", () => {
  it("in union, intersection, difference, size and membership", () => {
    fc.assert(
      fc.property(ordinals, ordinals, fc.integer({ min: -25, max: 25 }), (a, b, ordinal) => {
        const [left, right] = [rangesOfOrdinals(a), rangesOfOrdinals(b)];
        const [setA, setB] = [new Set(a), new Set(b)];
        expect(setOf(union(left, right))).toEqual(new Set([...[...setA, ...setB].sort((x, y) => x - y)]));
        expect(setOf(intersect(left, right))).toEqual(
          new Set([...setA].filter((each) => setB.has(each)).sort((x, y) => x - y)),
        );
        expect(setOf(subtract(left, right))).toEqual(
          new Set([...setA].filter((each) => !setB.has(each)).sort((x, y) => x - y)),
        );
        expect(size(left)).toBe(setA.size);
        expect(contains(left, ordinal)).toBe(setA.has(ordinal));
      }),
    );
  });

  it("stay canonical and survive the text form", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: -50, max: 50 }))), (pairs) => {
        const ranges = rangesOf(pairs);
        for (const [index, [from, to]] of ranges.entries()) {
          expect(from).toBeLessThan(to);
          if (index > 0) expect(ranges[index - 1]?.[1]).toBeLessThan(from);
        }
        expect(rangesOf(ranges)).toEqual(ranges);
        expect(fromMultirange(toMultirange(ranges))).toEqual(ranges);
      }),
    );
  });

  it("are written as Postgres writes them", () => {
    expect(
      toMultirange([
        [1, 3],
        [7, 9],
      ]),
    ).toBe("{[1,3),[7,9)}");
    expect(fromMultirange("{}")).toEqual([]);
    expect(fromMultirange("{[-3,-1),[0,2)}")).toEqual([
      [-3, -1],
      [0, 2],
    ]);
  });
});
