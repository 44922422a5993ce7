/** Tasks, edges and their order, against the mappings themselves; and the time that 100,000 of them take. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Derived } from "../../src/catalog/dataset.ts";
import { upstreamOf } from "../../src/catalog/mapping.ts";
import { contains, ordinalsOf, type Ranges, rangesOfOrdinals, size } from "../../src/catalog/ranges.ts";
import { type Decision, recomputeSteps } from "../../src/plan.ts";
import { derivedInputs, edgeOf } from "../../src/planner/impact.ts";
import { countTasks, expandTasks, type TaskGraph } from "../../src/planner/tasks.ts";
import { aCatalog, anInput, day0, planBackfill } from "./support.ts";

const catalog = aCatalog([
  { name: "flights", cut: "day", inputs: [] },
  { name: "facts", cut: "day", inputs: [{ from: "flights" }] },
  { name: "by_day", cut: "day", inputs: [{ from: "facts" }], criticality: "low" },
  { name: "by_month", cut: "month", inputs: [{ from: "by_day" }, { from: "facts" }], criticality: "critical" },
  { name: "trend", cut: "day", inputs: [{ from: "by_day", lookback: 6 }], criticality: "low" },
  { name: "ranking", cut: "whole", inputs: [{ from: "trend" }] },
]);

function decisionOf(days: number): Decision {
  const extents = new Map([["flights", [[day0, day0 + days]] as Ranges]]);
  return planBackfill(anInput(catalog, { extents })).decision;
}

/** The same decision with only some of its partitions. */
function thinned(decision: Decision, keep: (dataset: string, ordinal: number) => boolean): Decision {
  const steps = decision.steps.map((step) => ({
    ...step,
    partitions: rangesOfOrdinals([...ordinalsOf(step.partitions)].filter((ordinal) => keep(step.dataset, ordinal))),
  }));
  return { ...decision, steps };
}

/** Every pair of tasks of which the second reads the first, found one by one. */
function edgesByHand(each: Catalog, decision: Decision): Set<string> {
  const recomputed = new Map(recomputeSteps(decision).map((step) => [step.dataset, step.partitions]));
  const edges = new Set<string>();
  for (const [name, partitions] of recomputed) {
    const consumer = each.datasets.get(name) as Derived;
    for (const input of derivedInputs(consumer)) {
      const producers = recomputed.get(input.dataset.name) ?? [];
      for (const ordinal of ordinalsOf(partitions)) {
        const reads = upstreamOf(edgeOf(consumer, input), [[ordinal, ordinal + 1]], producers);
        for (const producer of ordinalsOf(reads)) {
          if (contains(producers, producer)) edges.add(`${input.dataset.name} ${producer} -> ${name} ${ordinal}`);
        }
      }
    }
  }
  return edges;
}

function edgeNames({ tasks, edges }: TaskGraph): string[] {
  const nameOf = (rank: number) => `${tasks[rank]?.dataset} ${tasks[rank]?.partition}`;
  return edges.map((edge) => `${nameOf(edge.producer)} -> ${nameOf(edge.consumer)}`);
}

describe("expandTasks", () => {
  it("puts a consumer right after the last upstream that it waited for, the most critical first", () => {
    const { tasks } = expandTasks(catalog, decisionOf(33));
    const order = tasks.map((task) => `${task.dataset} ${task.partition - (task.dataset === "by_month" ? 0 : day0)}`);
    expect(order.slice(0, 5)).toEqual(["facts 0", "by_day 0", "facts 1", "by_day 1", "facts 2"]);
    expect(order.indexOf("by_month 372")).toBe(order.indexOf("by_day 30") + 1);
    expect(order.slice(order.indexOf("by_month 373") + 1)).toEqual([
      ...Array.from({ length: 33 }, (_, day) => `trend ${day}`),
      `ranking ${-day0}`,
    ]);
  });

  it("has each task once, each edge once, and producers before consumers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 2, max: 9 }), fc.nat(8), (days, modulus, rest) => {
        const decision = thinned(decisionOf(days), (dataset, ordinal) => (ordinal + dataset.length) % modulus !== rest);
        const graph = expandTasks(catalog, decision);
        expect(graph.tasks.map((task) => task.rank)).toEqual(graph.tasks.map((_, index) => index));
        const planned = recomputeSteps(decision).flatMap((step) =>
          [...ordinalsOf(step.partitions)].map((p) => `${step.dataset} ${p}`),
        );
        expect(graph.tasks.map((task) => `${task.dataset} ${task.partition}`).sort()).toEqual(planned.sort());
        const names = edgeNames(graph);
        expect(new Set(names)).toEqual(edgesByHand(catalog, decision));
        expect(names.length).toBe(new Set(names).size);
        expect(graph.edges.every((edge) => edge.producer < edge.consumer)).toBe(true);
        expect(countTasks(catalog, decision)).toEqual({ tasks: graph.tasks.length, edges: graph.edges.length });
      }),
      { numRuns: 60 },
    );
  });

  it("expands more than 100,000 tasks quickly", () => {
    const decision = decisionOf(36_000);
    const total = recomputeSteps(decision).reduce((sum, step) => sum + size(step.partitions), 0);
    const started = performance.now();
    const { tasks, edges } = expandTasks(catalog, decision);
    const seconds = (performance.now() - started) / 1000;
    console.log(`${tasks.length} tasks and ${edges.length} edges in ${seconds.toFixed(2)} s`);
    expect(tasks.length).toBe(total);
    expect(total).toBeGreaterThan(100_000);
  });
});
