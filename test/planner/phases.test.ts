/** Which partitions come in which phase, and that tasks are ranked accordingly. */
import { describe, expect, it } from "vitest";
import { contains, ordinalsOf, type Ranges, size } from "../../src/catalog/ranges.ts";
import type { Decision, RequestedPhases } from "../../src/plan.ts";
import { phaseTexts, reachedIn } from "../../src/planner/phases.ts";
import { expandTasks } from "../../src/planner/tasks.ts";
import { aCatalog, anInput, day0, planBackfill } from "./support.ts";

const catalog = aCatalog([
  { name: "flights", cut: "day", inputs: [] },
  { name: "facts", cut: "day", inputs: [{ from: "flights" }] },
  { name: "routes", cut: "day", inputs: [{ from: "facts" }], criticality: "low" },
  { name: "airports", cut: "day", inputs: [{ from: "facts" }] },
  { name: "trend", cut: "day", inputs: [{ from: "airports", lookback: 6 }], criticality: "high" },
  { name: "months", cut: "month", inputs: [{ from: "airports" }], criticality: "critical" },
  { name: "ranking", cut: "whole", inputs: [{ from: "months" }], criticality: "critical" },
]);
const days = 365;

function planned(phases: RequestedPhases, more: { order?: "newest" } = {}): Decision {
  const extents = new Map([["flights", [[day0, day0 + days]] as Ranges]]);
  return planBackfill(anInput(catalog, { extents, request: { kind: "changes", phases, ...more } })).decision;
}

const usual: RequestedPhases = { pilot: true, shares: [0.01, 0.1, 1], gate: "automatic" };

function sizesOf({ phases = [] }: Decision): Record<string, Record<string, number>> {
  const sizes = phases.map(({ name, partitions }) => {
    const each = partitions.map(({ dataset, partitions: ranges }) => [dataset, size(ranges)] as const);
    return [name, Object.fromEntries(each)] as const;
  });
  return Object.fromEntries(sizes);
}

describe("phases", () => {
  it("begin with a pilot from all over of what matters least, and widen; what sums up comes when all of it is there", () => {
    const decision = planned(usual);
    expect(sizesOf(decision)).toEqual({
      pilot: { facts: 4, routes: 4 },
      // Four days in a row, one of them with the six days before it, of which there are none.
      "1%": { facts: 4, routes: 4, airports: 8, trend: 4 },
      "10%": { facts: 33, routes: 33, airports: 33, trend: 33, months: 1 },
      "100%": { facts: 324, routes: 324, airports: 324, trend: 328, months: 11, ranking: 1 },
    });
    const [pilot] = decision.phases ?? [];
    const piloted = [...ordinalsOf(pilot?.partitions[0]?.partitions ?? [])].map((day) => day - day0);
    expect(piloted).toEqual([45, 136, 228, 319]);
  });

  it("are ranked one after the other, producers before consumers", () => {
    const decision = planned(usual);
    const { tasks, edges, phases } = expandTasks(catalog, decision);
    expect(phases.map(({ name, tasks: count }) => [name, count])).toEqual([
      ["pilot", 8],
      ["1%", 20],
      ["10%", 133],
      ["100%", tasks.length - 161],
    ]);
    for (const { producer, consumer } of edges) expect(producer).toBeLessThan(consumer);
    for (const [index, phase] of phases.entries()) {
      const reached = reachedIn(decision.phases ?? [], index);
      const end = phase.firstRank + phase.tasks;
      for (const { dataset, partition, rank } of tasks) {
        expect(contains(reached.get(dataset) ?? [], partition)).toBe(rank < end);
      }
    }
  });

  it("together have every partition once", () => {
    const { phases = [], steps } = planned({ pilot: true, shares: [0.3], gate: "approval" });
    expect(phases.map(({ name }) => name)).toEqual(["pilot", "30%", "100%"]);
    const all = reachedIn(phases, phases.length - 1);
    for (const step of steps) expect(all.get(step.dataset)).toEqual(step.partitions);
    const total = phases.flatMap(({ partitions }) => partitions).reduce((sum, each) => sum + size(each.partitions), 0);
    expect(total).toBe(steps.reduce((sum, step) => sum + size(step.partitions), 0));
    // The last one is followed by the verification of everything.
    expect(phases.map(({ gate }) => gate)).toEqual(["approval", "approval", "automatic"]);
  });

  it("begin with the newest where the plan does", () => {
    const { phases = [] } = planned({ pilot: false, shares: [0.01, 1], gate: "automatic" }, { order: "newest" });
    expect(phases[0]?.partitions[0]).toEqual({ dataset: "facts", partitions: [[day0 + days - 4, day0 + days]] });
  });

  it("are part of what is decided, and no other plan has any", () => {
    const without = planBackfill(
      anInput(catalog, { extents: new Map([["flights", [[day0, day0 + days]] as Ranges]]) }),
    );
    expect(without.decision.phases).toBeUndefined();
    expect(expandTasks(catalog, without.decision).phases).toEqual([]);
    expect(planned(usual).request.phases).toEqual(usual);
    expect(planned({ ...usual, shares: [0.01, 0.1] }).request.phases).toEqual(usual);
  });

  it.each([[[0.1, 0.1]], [[0.5, 0.2]], [[0]], [[1.5]], [[]]])("of %j make no sense", (shares) => {
    expect(() => planned({ pilot: false, shares, gate: "automatic" })).toThrow("give rising shares");
  });

  it("are told with what stands between them", () => {
    const texts = phaseTexts(catalog, planned({ ...usual, gate: "approval" }));
    expect(texts[0]).toBe(
      "pilot: 8 tasks, facts 2001-02-15, 2001-05-17, 2001-08-17 and 1 more ranges and routes 2001-02-15, 2001-05-17, " +
        "2001-08-17 and 1 more ranges; then somebody has to approve",
    );
    expect(texts).toHaveLength(4);
    expect(texts[3]).not.toContain("approve");
  });
});
