import { describe, expect, it } from "vitest";
import { contains, ordinalsOf, type Ranges, size } from "../../src/catalog/ranges.ts";
import { recomputeSteps } from "../../src/plan.ts";
import { chooseShare, chooseThese, chosenOf } from "../../src/replay/choose.ts";
import { aCatalog, anInput, day0, planBackfill } from "../planner/support.ts";

const catalog = aCatalog([
  { name: "flights", cut: "day", inputs: [] },
  { name: "facts", cut: "day", inputs: [{ from: "flights" }] },
  { name: "by_day", cut: "day", inputs: [{ from: "facts" }] },
  { name: "trend", cut: "day", inputs: [{ from: "by_day", lookback: 6 }] },
  { name: "ranking", cut: "whole", inputs: [{ from: "trend" }] },
]);
const days = 200;
const { decision } = planBackfill(
  anInput(catalog, { extents: new Map([["flights", [[day0, day0 + days]] as Ranges]]) }),
);
const steps = recomputeSteps(decision);

const nothingLive = () => new Map<number, number>();

function chosen(
  share: number,
  seed = "a plan",
  rowsOf: (dataset: string) => ReadonlyMap<number, number> = nothingLive,
) {
  const choice = chooseShare(catalog, steps, { share, seed, rowsOf });
  return new Map([...choice].map(([dataset, strata]) => [dataset, chosenOf(strata)]));
}

describe("the partitions that are tried", () => {
  it("are the same for the same plan, and others for another", () => {
    expect(chosen(0.05)).toEqual(chosen(0.05));
    expect(chosen(0.05)).not.toEqual(chosen(0.05, "another plan"));
  });

  it("are a share of each dataset, at least four where it has them", () => {
    const sizes = (share: number) => [...chosen(share).values()].map(size);
    const [, byDay, trend, ranking] = sizes(0.01);
    expect([trend, ranking]).toEqual([4, 1]);
    expect(byDay).toBeLessThanOrEqual(12);
    expect(sizes(0.1)[2]).toBe(20);
    expect(sizes(1)).toEqual([days, days, days, 1]);
  });

  it("are spread over time", () => {
    const trend = chosen(0.1).get("trend") ?? [];
    for (let from = day0; from < day0 + days; from += days / 5) {
      expect([...ordinalsOf(trend)].some((day) => day >= from && day < from + days / 5)).toBe(true);
    }
  });

  it("are spread over sizes: as many are of the few large ones as of the many small ones", () => {
    const rows = new Map(Array.from({ length: days }, (_, day) => [day0 + day, day < 10 ? 2_000 : 100]));
    const trend = chosen(0.1, "a plan", (dataset) => (dataset === "trend" ? rows : new Map())).get("trend") ?? [];
    const large = [...ordinalsOf(trend)].filter((day) => day < day0 + 10);
    expect(large.length).toBeGreaterThanOrEqual(5);
    expect(size(trend) - large.length).toBeGreaterThanOrEqual(5);
  });

  it("bring along what they read, as long as that is not much more than the share", () => {
    const picked = chosen(0.1);
    const byDay = picked.get("by_day") ?? [];
    const facts = picked.get("facts") ?? [];
    // A day reads the same day of the facts.
    for (const day of ordinalsOf(byDay)) expect(contains(facts, day)).toBe(true);
    // Seven days each of twenty would be 140; three times the share is 60, and some of its own.
    expect(size(byDay)).toBeGreaterThan(20);
    expect(size(byDay)).toBeLessThanOrEqual(60 + 20);
    // The ranking reads everything, which is no sample.
    expect(size(picked.get("trend") ?? [])).toBe(20);
  });

  it("are exactly those that were named", () => {
    const named = new Map([["by_day", [[day0, day0 + 3]] as Ranges]]);
    const choice = chooseThese(steps, named, nothingLive);
    expect([...choice.keys()]).toEqual(["by_day"]);
    expect(chosenOf(choice.get("by_day") ?? [])).toEqual([[day0, day0 + 3]]);
  });
});
