import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildForest, type FlowEdge, type FlowTask, type FlowTree, nodesOf } from "../../src/executor/flows.ts";

const task = (id: number): FlowTask => ({ id: String(id) });
const edge = (producer: number, consumer: number): FlowEdge => ({
  producer: String(producer),
  consumer: String(consumer),
});

/** A DAG by rank: every edge goes from a lower to a higher number; negative producers lie outside the chunk. */
const graph = fc.integer({ min: 1, max: 60 }).chain((size) =>
  fc.record({
    size: fc.constant(size),
    edges: fc
      .uniqueArray(fc.tuple(fc.integer({ min: -5, max: size - 1 }), fc.integer({ min: 0, max: size - 1 })), {
        maxLength: 150,
        selector: (pair) => pair.join(","),
      })
      .map((pairs) => pairs.filter(([producer, consumer]) => producer < consumer)),
    maxNodes: fc.integer({ min: 2, max: 80 }),
    maxDepth: fc.integer({ min: 2, max: 12 }),
  }),
);

function* nodes(trees: readonly FlowTree<FlowTask>[]): Generator<FlowTree<FlowTask>> {
  for (const tree of trees) {
    yield tree;
    yield* nodes(tree.children);
  }
}

function depthOf(tree: FlowTree<FlowTask>): number {
  return 1 + Math.max(tree.gated ? 1 : 0, ...tree.children.map(depthOf), 0);
}

describe("buildForest", () => {
  it("contains every task exactly once, in calls that fit", () => {
    fc.assert(
      fc.property(graph, ({ size, edges, maxNodes, maxDepth }) => {
        const tasks = Array.from({ length: size }, (_, index) => task(index));
        const calls = buildForest(
          tasks,
          edges.map(([from, to]) => edge(from, to)),
          { maxNodes, maxDepth },
        );
        const seen = calls.flatMap((call) => [...nodes(call)].map((node) => node.task.id));
        expect(seen.toSorted()).toEqual(tasks.map((each) => each.id).toSorted());
        for (const call of calls)
          expect(call.reduce((sum, tree) => sum + nodesOf(tree), 0)).toBeLessThanOrEqual(maxNodes);
        for (const tree of calls.flat()) expect(depthOf(tree)).toBeLessThanOrEqual(maxDepth);
      }),
    );
  });

  it("keeps every undone edge as a child or behind a gate, and gates nobody else", () => {
    fc.assert(
      fc.property(graph, ({ size, edges, maxNodes, maxDepth }) => {
        const tasks = Array.from({ length: size }, (_, index) => task(index));
        const all = edges.map(([from, to]) => edge(from, to));
        const forest = [...nodes(buildForest(tasks, all, { maxNodes, maxDepth }).flat())];
        for (const node of forest) {
          const upstreams = new Set(all.filter((each) => each.consumer === node.task.id).map((each) => each.producer));
          const children = new Set(node.children.map((child) => child.task.id));
          for (const child of children) expect(upstreams.has(child)).toBe(true);
          expect(node.gated).toBe(upstreams.size > children.size);
        }
      }),
    );
  });

  it("makes a month of thirty days one tree without a gate", () => {
    const days = Array.from({ length: 30 }, (_, index) => task(index));
    const calls = buildForest(
      [...days, task(30)],
      days.map((_, index) => edge(index, 30)),
    );
    expect(calls).toHaveLength(1);
    expect(calls[0]?.[0]).toMatchObject({ task: { id: "30" }, gated: false });
    expect(calls[0]?.[0]?.children).toHaveLength(30);
  });

  it("gives a diamond's shared producer to its first consumer and gates the second", () => {
    const forest = [
      ...nodes(buildForest([0, 1, 2, 3].map(task), [edge(0, 1), edge(0, 2), edge(1, 3), edge(2, 3)]).flat()),
    ];
    const gated = forest.filter((node) => node.gated).map((node) => node.task.id);
    expect(gated).toEqual(["2"]);
    expect(forest[0]?.children.map((child) => child.task.id)).toEqual(["1", "2"]);
  });

  it("moves what does not fit into one call behind the gate", () => {
    const producers = Array.from({ length: 1_500 }, (_, index) => task(index));
    const calls = buildForest(
      [...producers, task(1_500)],
      producers.map((_, index) => edge(index, 1_500)),
    );
    const parent = calls.flat().find((tree) => tree.task.id === "1500");
    expect(parent?.gated).toBe(true);
    expect(parent && nodesOf(parent)).toBe(1_000);
    expect(calls.flat()).toHaveLength(1_500 - 998 + 1);
  });
});
