import { describe, expect, it } from "vitest";
import { gapsIn } from "../../src/validation/gaps.ts";

const days = (count: number) => Array.from({ length: count }, (_, day) => day);

describe("gapsIn", () => {
  it("tells what is empty among what is not", () => {
    expect(gapsIn(days(30), [4, 17, 18], 7)).toEqual([4, 17, 18]);
    expect(gapsIn(days(30), [], 7)).toEqual([]);
  });

  it("does not tell what is empty every week", () => {
    const sundays = days(30).filter((day) => day % 7 === 3);
    expect(gapsIn(days(30), [...sundays, 5], 7)).toEqual([5]);
    expect(gapsIn(days(30), sundays, 1)).toEqual(sundays);
  });

  it("does not tell what is empty more often than not", () => {
    const rare = days(30).filter((day) => day % 3 !== 0);
    expect(gapsIn(days(30), rare, 1)).toEqual([]);
  });

  it("judges a window of a few days as one", () => {
    expect(gapsIn(days(5), [2], 7)).toEqual([2]);
    expect(gapsIn(days(5), [0, 2, 3, 4], 7)).toEqual([]);
  });

  it("counts seasons of partitions before 1970, too", () => {
    expect(gapsIn([-21, -20, -14, -13, -7, -6], [-21, -14, -7, -6], 7)).toEqual([-6]);
  });
});
