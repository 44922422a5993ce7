import { describe, expect, it } from "vitest";
import { closest, didYouMean, editDistance } from "../src/suggest.ts";

describe("editDistance", () => {
  it.each([
    ["", "", 0],
    ["abc", "", 3],
    ["partitions", "partitions", 0],
    ["partition", "partitions", 1],
    ["pratitions", "partitions", 1],
    ["kitten", "sitting", 3],
  ])("%s to %s is %d", (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

describe("closest", () => {
  const options = ["partitions", "description", "owner", "key"];

  it("finds slips of the pen, whatever the case", () => {
    expect(closest("descripton", options)).toBe("description");
    expect(closest("OWNER", options)).toBe("owner");
    expect(closest("kye", options)).toBe("key");
  });

  it("suggests nothing rather than something far", () => {
    expect(closest("colour", options)).toBeUndefined();
    expect(didYouMean("colour", options)).toBe("");
    expect(didYouMean("onwer", options)).toBe(' (did you mean "owner"?)');
  });
});
