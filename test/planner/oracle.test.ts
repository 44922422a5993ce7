/** The plan is the least set of partitions, found by brute force on random graphs; a planted error is found out. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { recomputeSteps } from "../../src/plan.ts";
import { planBackfill } from "./support.ts";
import { inputOf, type NodeSpec, oracle, type Rule, rangesBy, situationOf, type World, worlds } from "./world.ts";

/** Partitions by dataset as the planner has them, and as they must be. */
function bothWays(world: World, nodes: readonly NodeSpec[] = world.nodes) {
  const situation = situationOf(world);
  const plan = planBackfill(inputOf(world, situation, nodes));
  const planned = Object.fromEntries(recomputeSteps(plan.decision).map((step) => [step.dataset, step.partitions]));
  const least = oracle(world, situation).map((set, index) => [`d${index}`, rangesBy(set)] as const);
  return { planned, least: Object.fromEntries(least.filter(([, ranges]) => ranges.length > 0)) };
}

/** Plants an error into the rules that the planner is given. */
function planted(mutate: (rule: Rule) => Rule) {
  return fc.check(
    fc.property(worlds, (world) => {
      const nodes = world.nodes.map((node) => ({
        ...node,
        inputs: node.inputs.map((input) => ({ ...input, rule: mutate(input.rule) })),
      }));
      const { planned, least } = bothWays(world, nodes);
      expect(planned).toEqual(least);
    }),
    { numRuns: 500, seed: 7 },
  );
}

describe("the planner against brute force", () => {
  it("recomputes the least set of partitions on 500 random graphs", () => {
    const seen = { work: 0, none: 0 };
    fc.assert(
      fc.property(worlds, (world) => {
        const { planned, least } = bothWays(world);
        expect(planned).toEqual(least);
        seen[Object.keys(least).length > 0 ? "work" : "none"] += 1;
      }),
      { numRuns: 500 },
    );
    // Both kinds must come up, or the property says little.
    expect(seen.work).toBeGreaterThan(100);
    expect(seen.none).toBeGreaterThan(0);
  });

  it.each<[string, (rule: Rule) => Rule]>([
    ["a lookback that is one off", (rule) => (rule.kind === "lookback" ? { ...rule, by: rule.by + 1 } : rule)],
    ["a lookahead that looks back", (rule) => (rule.kind === "lookahead" ? { ...rule, kind: "lookback" } : rule)],
    [
      "a rolling window that forgets what comes after",
      (rule) => (rule.kind === "rolling" && rule.before > 0 ? { ...rule, after: rule.after + 1 } : rule),
    ],
    ["all of an input read by the day", (rule) => (rule.kind === "weekBefore" ? { kind: "own" } : rule)],
  ])("finds out %s", (_, mutate) => {
    const { failed, counterexample } = planted(mutate);
    expect(failed).toBe(true);
    // It is the mutated mapping that gives the counterexample: without the error, this world is planned as it must be.
    const [world] = counterexample as [World];
    const { planned: right, least } = bothWays(world);
    expect(right).toEqual(least);
  });
});
