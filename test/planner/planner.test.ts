/** Plans by tables of cases, and against a brute-force reading of the rules on random catalogs. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Derived } from "../../src/catalog/dataset.ts";
import { upstreamOf } from "../../src/catalog/mapping.ts";
import { intersect, ordinalsOf, type Ranges, rangesOfOrdinals, subtract, union } from "../../src/catalog/ranges.ts";
import { isRederiveError, type RederiveError } from "../../src/errors.ts";
import { type Plan, type PlanRequest, recomputeSteps, type Step } from "../../src/plan.ts";
import type { LiveContent } from "../../src/planner/changes.ts";
import { derivedInOrder, derivedInputs, edgeOf, extentsOf } from "../../src/planner/impact.ts";
import type { PlannerInput } from "../../src/planner/input.ts";
import { basisOf } from "../../src/planner/planner.ts";
import { overlapsOf, reservationsOf } from "../../src/planner/reservations.ts";
import { aCatalog, anInput, type DatasetSpec, day0, month0, planBackfill } from "./support.ts";

/** flights → facts (day) → by_day, by_month (rollup), trend (lookback 2) → ranking (whole). */
const catalog = aCatalog([
  { name: "flights", cut: "day", inputs: [] },
  { name: "facts", cut: "day", inputs: [{ from: "flights" }] },
  { name: "by_day", cut: "day", inputs: [{ from: "facts" }], criticality: "low" },
  { name: "by_month", cut: "month", inputs: [{ from: "by_day" }], criticality: "critical" },
  { name: "trend", cut: "day", inputs: [{ from: "by_day", lookback: 2 }] },
  { name: "ranking", cut: "whole", inputs: [{ from: "facts" }] },
]);

const january: Ranges = [[day0, day0 + 31]];
const extents = new Map([["flights", january]]);

/** Everything live and up to date. */
const current: ReadonlyMap<string, LiveContent[]> = new Map([
  ["facts", upToDate("facts", january)],
  ["by_day", upToDate("by_day", january)],
  ["by_month", upToDate("by_month", [[month0, month0 + 1]])],
  ["trend", upToDate("trend", january)],
  ["ranking", upToDate("ranking", [[0, 1]])],
]);

function upToDate(name: string, partitions: Ranges): LiveContent[] {
  return [{ fingerprint: `now:${name}`, partitions }];
}

function planOf(overrides: Partial<PlannerInput>, digests?: ReadonlyMap<string, string>): Plan {
  return planBackfill(anInput(catalog, { extents, live: current, ...overrides }), digests);
}

function stepOf(plan: Plan, dataset: string, action: Step["action"]): Step | undefined {
  return plan.decision.steps.find((step) => step.dataset === dataset && step.action === action);
}

function refusalOf(work: () => unknown): RederiveError {
  try {
    work();
  } catch (error) {
    if (isRederiveError(error)) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

function summary(plan: Plan): string[] {
  return plan.decision.steps.map((step) => `${step.action} ${step.dataset} ${JSON.stringify(step.partitions)}`);
}

describe("planBackfill for changes", () => {
  it("computes everything at first", () => {
    const plan = planOf({ live: new Map() });
    expect(recomputeSteps(plan.decision).map((step) => step.dataset)).toEqual([
      "facts",
      "by_day",
      "by_month",
      "trend",
      "ranking",
    ]);
    expect(plan.forecast.tasks).toBe(31 * 3 + 2);
    expect(stepOf(plan, "facts", "recompute")).toMatchObject({
      partitions: january,
      reason: "there is no live content yet",
    });
  });

  it("is empty when everything is up to date, with a skip step for each dataset", () => {
    const plan = planOf({});
    expect(recomputeSteps(plan.decision)).toEqual([]);
    expect(plan.forecast.tasks).toBe(0);
    expect(plan.decision.steps.every((step) => step.action === "skip" && step.why[0]?.code === "up_to_date")).toBe(
      true,
    );
  });

  it("recomputes what changed and what is downstream, and reuses the rest", () => {
    const live = new Map([...current, ["by_day", [{ fingerprint: "old", partitions: january }]]]);
    const plan = planOf({ live });
    expect(summary(plan)).toEqual([
      `reuse facts [[${day0},${day0 + 31}]]`,
      `recompute by_day [[${day0},${day0 + 31}]]`,
      `recompute by_month [[${month0},${month0 + 1}]]`,
      `recompute trend [[${day0},${day0 + 31}]]`,
      "skip ranking []",
    ]);
    expect(stepOf(plan, "by_month", "recompute")?.why).toEqual([
      { code: "upstream_recomputed", because: "by_day", partitions: [[month0, month0 + 1]] },
    ]);
    expect(stepOf(plan, "by_day", "recompute")?.reason).toBe("its definition changed (now version 1)");
  });

  it("takes a day that came in, widens it through lookback and rollup, and reads the other days as they are", () => {
    const plan = planOf({ extents: new Map([["flights", [[day0, day0 + 32]] as Ranges]]) });
    expect(summary(plan)).toEqual([
      `recompute facts [[${day0 + 31},${day0 + 32}]]`,
      `reuse facts [[${day0},${day0 + 31}]]`,
      `recompute by_day [[${day0 + 31},${day0 + 32}]]`,
      `reuse by_day [[${day0 + 29},${day0 + 31}]]`,
      `recompute by_month [[${month0 + 1},${month0 + 2}]]`,
      `recompute trend [[${day0 + 31},${day0 + 32}]]`,
      "recompute ranking [[0,1]]",
    ]);
  });

  it("limits itself to named datasets, what they need and what they touch", () => {
    const live = new Map([
      ["facts", [{ fingerprint: "now:facts", partitions: [[day0, day0 + 30]] as Ranges }]],
      ["ranking", [{ fingerprint: "old", partitions: [[0, 1]] as Ranges }]],
    ]);
    const plan = planOf({ live, request: { kind: "changes", datasets: ["ranking"] } });
    // The missing day of facts is needed by the ranking, and by_day, by_month and trend read that day.
    expect(stepOf(plan, "facts", "recompute")?.partitions).toEqual([[day0 + 30, day0 + 31]]);
    expect(stepOf(plan, "ranking", "recompute")?.why.map((reason) => reason.code)).toEqual([
      "definition_changed",
      "upstream_recomputed",
    ]);
    expect(stepOf(plan, "by_month", "recompute")).toBeDefined();
  });

  it("says when a dataset's inputs are empty", () => {
    const plan = planOf({ extents: new Map(), live: new Map() });
    expect(plan.decision.steps.map((step) => step.why[0]?.code)).toEqual(Array(5).fill("no_input"));
  });

  it("recomputes live content that its inputs no longer call for, once", () => {
    const live = new Map([
      ...current,
      ["by_day", [{ fingerprint: "old", partitions: [[day0 - 1, day0 + 31]] as Ranges }]],
    ]);
    expect(stepOf(planOf({ live }), "by_day", "recompute")?.partitions).toEqual([[day0 - 1, day0 + 31]]);
  });
});

describe("planBackfill for a request", () => {
  const request = (overrides: Partial<PlanRequest & { kind: "datasets" }> = {}): PlanRequest => ({
    kind: "datasets",
    datasets: ["by_day"],
    window: { from: "2001-01-10", to: "2001-01-12" },
    ...overrides,
  });

  it("recomputes exactly the window and what it touches", () => {
    expect(summary(planOf({ request: request() }))).toEqual([
      `reuse facts [[${day0 + 9},${day0 + 11}]]`,
      `recompute by_day [[${day0 + 9},${day0 + 11}]]`,
      `reuse by_day [[${day0},${day0 + 9}],[${day0 + 11},${day0 + 31}]]`,
      `recompute by_month [[${month0},${month0 + 1}]]`,
      `recompute trend [[${day0 + 9},${day0 + 13}]]`,
      "skip ranking []",
    ]);
  });

  it("names what stays out of date", () => {
    const live = new Map([...current, ["by_day", [{ fingerprint: "old", partitions: january }]]]);
    const plan = planOf({ live, request: request() });
    expect(stepOf(plan, "by_day", "reuse")?.why).toEqual([
      {
        code: "outside_window",
        partitions: [
          [day0, day0 + 9],
          [day0 + 11, day0 + 31],
        ],
      },
    ]);
    expect(plan.forecast.warnings.join()).toMatch(/by_day \(2001-01-01 to 2001-01-09.*is read as it is/);
  });

  it("leaves out touched partitions that were never computed and cannot be yet", () => {
    const live = new Map<string, LiveContent[]>([
      ["facts", [{ fingerprint: "now:facts", partitions: [[day0, day0 + 5]] }]],
    ]);
    const plan = planOf({ live, request: request({ window: { from: "2001-01-01", to: "2001-01-03" } }) });
    expect(summary(plan)).toEqual([
      `reuse facts [[${day0},${day0 + 2}]]`,
      `skip facts [[${day0 + 5},${day0 + 31}]]`,
      `recompute by_day [[${day0},${day0 + 2}]]`,
      `skip by_day [[${day0 + 2},${day0 + 31}]]`,
      `skip by_month [[${month0},${month0 + 1}]]`,
      `recompute trend [[${day0},${day0 + 2}]]`,
      `skip trend [[${day0 + 2},${day0 + 31}]]`,
      "skip ranking [[0,1]]",
    ]);
  });

  it.each([
    ["an unknown dataset", request({ datasets: ["by_dya"] }), "not_found", /by_dya.*did you mean "by_day"/],
    ["a source", request({ datasets: ["flights"] }), "plan_refused", /flights is a source.*facts/],
    ["no dataset", request({ datasets: [] }), "usage", /name at least one/],
    [
      "a bound inside a partition",
      request({ window: { from: "2001-01-10T05:00", to: "2001-01-12" } }),
      "usage",
      /nearest boundaries/,
    ],
    ["a window over a month", request({ datasets: ["by_month"] }), "usage", /nearest boundaries/],
    ["a window over no order", request({ datasets: ["ranking"] }), "usage", /a window needs an order/],
    [
      "a window without partitions",
      request({ window: { from: "2002-01-01", to: "2002-01-02" } }),
      "plan_refused",
      /by_day has 2001-01-01 to 2001-01-31/,
    ],
    ["a window and partitions", request({ partitions: january }), "usage", /give one of them/],
  ])("refuses %s", (_, refused, code, message) => {
    expect(refusalOf(() => planOf({ request: refused }))).toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it("refuses ranges that are none", () => {
    const partitions = [[5, 5]] as Ranges;
    expect(refusalOf(() => planOf({ request: { kind: "datasets", datasets: ["by_day"], partitions } })).code).toBe(
      "usage",
    );
  });

  it("refuses to read what was never computed, and says what", () => {
    const live = new Map([
      ...current,
      ["facts", [{ fingerprint: "now:facts", partitions: [[day0, day0 + 10]] as Ranges }]],
    ]);
    const refusal = refusalOf(() => planOf({ live, request: request() }));
    expect(refusal.code).toBe("plan_refused");
    expect(refusal.message).toMatch(/never computed: facts \(2001-01-11.*rederive plan/);
  });
});

describe("limits, overlaps and forecast", () => {
  it("refuses plans that are too large before expanding them", () => {
    const huge = new Map([["flights", [[-700_000, 2_932_896]] as Ranges]]);
    const refusal = refusalOf(() => planOf({ live: new Map(), extents: huge }));
    expect(refusal).toMatchObject({
      code: "plan_too_large",
      message: expect.stringMatching(/tasks.*facts.*narrower window/),
    });
    const edges = refusalOf(() => planOf({ live: new Map(), maxTasks: 1_000, maxEdges: 50 }));
    expect(edges).toMatchObject({ code: "plan_too_large", message: expect.stringMatching(/depend on each other/) });
  });

  it("refuses overlaps by name and lets readers share", () => {
    const live = new Map([...current, ["by_day", [{ fingerprint: "old", partitions: january }]]]);
    const reading = { backfill: "bf_other", dataset: "facts", mode: "read", keys: january } as const;
    expect(planOf({ live, activeReservations: [reading] }).forecast.tasks).toBe(63);
    const writing = { backfill: "bf_other", dataset: "facts", mode: "write", keys: [[day0 + 3, day0 + 5]] } as const;
    const refusal = refusalOf(() => planOf({ live, activeReservations: [writing] }));
    expect(refusal.code).toBe("overlapping_plan");
    expect(refusal.message).toMatch(/bf_other writes facts \(2001-01-04 to 2001-01-05 \(2\)\), which this plan reads/);
    const plan = planOf({ live });
    expect(overlapsOf(plan.decision, [{ ...reading, dataset: "by_day" }])).toMatchObject([
      { mode: "write", otherMode: "read" },
    ]);
    expect(reservationsOf(plan.decision).map(({ dataset, mode }) => `${dataset} ${mode}`)).toEqual([
      "by_day write",
      "by_month write",
      "facts read",
      "trend write",
    ]);
  });

  it("forecasts from what was measured, or not at all", () => {
    const live = new Map([...current, ["trend", [{ fingerprint: "old", partitions: january }]]]);
    const speeds = new Map([["trend", { mean: 2, quarter: 1, ninetieth: 4 }]]);
    expect(planOf({ live, speeds, concurrency: 4 }).forecast).toMatchObject({
      seconds: 15.5,
      interval: { low: 7.75, high: 31 },
    });
    expect(planOf({ live }).forecast).not.toHaveProperty("seconds");
  });

  it("shows the notices of datasets that it uses, sources too", () => {
    const live = new Map([...current, ["facts", [{ fingerprint: "old", partitions: january }]]]);
    const notices = new Map([["flights", ["no index"]]]);
    expect(planOf({ live, notices }).forecast.warnings).toEqual(["no index"]);
    expect(planOf({ notices }).forecast.warnings).toEqual([]);
  });
});

describe("the hash", () => {
  it("does not depend on the order of maps, names or reservations, and does on content", () => {
    const live = new Map([...current, ["by_day", [{ fingerprint: "old", partitions: january }]]]);
    const digests = new Map([
      ["facts", "f"],
      ["by_day", "d"],
      ["ranking", "r"],
    ]);
    const first = planOf({ live }, digests);
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...live], { minLength: live.size }),
        fc.shuffledSubarray([...digests], { minLength: 3 }),
        (a, b) => {
          expect(planOf({ live: new Map(a) }, new Map(b)).hash).toBe(first.hash);
        },
      ),
    );
    const named = (datasets: string[]) => planOf({ request: { kind: "datasets", datasets } }).hash;
    expect(named(["trend", "by_day", "trend"])).toBe(named(["by_day", "trend"]));
    expect(planOf({ live }, new Map([...digests, ["ranking", "other"]])).hash).toBe(first.hash);
    expect(planOf({ live }, new Map([...digests, ["facts", "other"]])).hash).not.toBe(first.hash);
    expect(basisOf(first.decision.steps, digests)).toBe(first.decision.basis);
  });
});

// ---- the same rules, partition by partition ----

type Sets = Map<string, Set<number>>;

function at(sets: Sets, name: string): Set<number> {
  return sets.get(name) ?? new Set();
}

function has(extent: ReadonlyMap<string, Ranges>, name: string): number[] {
  return [...ordinalsOf(extent.get(name) ?? [])];
}

/** Existing partitions of each derived input that one partition reads. */
function readsOf(consumer: Derived, partition: number, extent: ReadonlyMap<string, Ranges>): [string, number[]][] {
  return derivedInputs(consumer).map((input) => {
    const known = extent.get(input.dataset.name) ?? [];
    const reads = upstreamOf(edgeOf(consumer, input), [[partition, partition + 1]], known);
    return [input.dataset.name, [...ordinalsOf(intersect(reads, known))]];
  });
}

/** Undefined where the request must be refused because something upstream is missing. */
function oracle(
  each: Catalog,
  request: PlanRequest,
  live: Sets,
  old: Sets,
  extent: ReadonlyMap<string, Ranges>,
): Sets | undefined {
  const roots: Sets = new Map();
  for (const { name } of derivedInOrder(each)) {
    if (request.datasets !== undefined && !request.datasets.includes(name)) continue;
    const pending = has(extent, name).filter(
      (p) => request.kind === "datasets" || !at(live, name).has(p) || at(old, name).has(p),
    );
    roots.set(name, new Set(pending));
  }
  for (;;) {
    const recompute: Sets = new Map();
    let grown = false;
    for (const consumer of derivedInOrder(each)) {
      const chosen = new Set<number>();
      for (const partition of has(extent, consumer.name)) {
        const reads = readsOf(consumer, partition, extent);
        const touched = reads.some(([name, ordinals]) => ordinals.some((o) => at(recompute, name).has(o)));
        const missing = reads.some(([name, ordinals]) =>
          ordinals.some((o) => !at(recompute, name).has(o) && !at(live, name).has(o)),
        );
        const root = at(roots, consumer.name).has(partition);
        const blocked = request.kind === "datasets" && missing && !at(live, consumer.name).has(partition);
        if (root || (touched && !blocked)) chosen.add(partition);
      }
      recompute.set(consumer.name, chosen);
    }
    for (const consumer of derivedInOrder(each)) {
      for (const partition of at(recompute, consumer.name)) {
        for (const [name, ordinals] of readsOf(consumer, partition, extent)) {
          for (const ordinal of ordinals) {
            if (at(recompute, name).has(ordinal) || at(live, name).has(ordinal)) continue;
            if (request.kind === "datasets") return undefined;
            roots.set(name, new Set([...at(roots, name), ordinal]));
            grown = true;
          }
        }
      }
    }
    if (!grown) return recompute;
  }
}

const cuts = ["day", "month", "list", "whole"] as const;
type Cut = (typeof cuts)[number];

interface World {
  readonly specs: readonly DatasetSpec[];
  readonly days: number;
  readonly seed: number;
}

/** Every consumer may read any earlier dataset; a mapping that cannot be inferred becomes `all`. */
const worlds: fc.Arbitrary<World> = fc
  .tuple(
    fc.array(
      fc.record({
        cut: fc.constantFrom<Cut>(...cuts),
        picks: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
        back: fc.nat(3),
      }),
      {
        minLength: 1,
        maxLength: 6,
      },
    ),
    fc.integer({ min: 1, max: 45 }),
    fc.nat(),
  )
  .map(([shapes, days, seed]) => {
    const specs: DatasetSpec[] = [{ name: "s0", cut: "day", inputs: [] }];
    for (const [index, { cut, picks, back }] of shapes.entries()) {
      const names = [...new Set(picks.map((pick) => pick % specs.length))];
      const inputs = names.map((pick) => {
        const from = specs[pick] as DatasetSpec;
        const rolls = from.cut === cut || cut === "whole" || (from.cut === "day" && cut === "month");
        const timed = from.cut === "day" && (cut === "day" || cut === "month");
        return { from: from.name, ...(timed && back > 0 ? { lookback: back } : {}), ...(rolls ? {} : { all: true }) };
      });
      specs.push({ name: `d${index}`, cut, inputs });
    }
    return { specs, days, seed };
  });

/** A cheap deterministic coin, so that one seed gives one world. */
function coin(seed: number, text: string, share: number): boolean {
  let hash = seed | 0;
  for (const character of text) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return ((hash >>> 8) & 0xff) / 256 < share;
}

function liveOf(each: Catalog, world: World, extent: ReadonlyMap<string, Ranges>): { live: Sets; old: Sets } {
  const live: Sets = new Map();
  const old: Sets = new Map();
  const share = world.seed % 3 === 0 ? 1 : 0.8;
  for (const { name } of derivedInOrder(each)) {
    live.set(name, new Set(has(extent, name).filter((p) => coin(world.seed, `live ${name} ${p}`, share))));
    old.set(name, new Set([...at(live, name)].filter((p) => coin(world.seed, `old ${name} ${p}`, 0.05))));
  }
  return { live, old };
}

describe("planBackfill against the rules partition by partition", () => {
  it("recomputes, reuses and refuses the same", () => {
    let refusals = 0;
    fc.assert(
      fc.property(worlds, fc.nat(), fc.nat(2), (world, pick, kind) => {
        const each = aCatalog(world.specs);
        const sources = new Map([["s0", [[day0, day0 + world.days]] as Ranges]]);
        const names = world.specs.slice(1).map((spec) => spec.name);
        const named = [names[pick % names.length] as string];
        const request: PlanRequest =
          kind === 0 ? { kind: "changes" } : { kind: kind === 1 ? "changes" : "datasets", datasets: named };
        const before = extentsOf(each, sources, new Map());
        const { live, old } = liveOf(each, world, before);
        const contents = new Map<string, LiveContent[]>(
          [...live].map(([name, set]) => {
            const outdated = rangesOfOrdinals(at(old, name));
            const fresh = subtract(rangesOfOrdinals(set), outdated);
            return [
              name,
              [
                { fingerprint: `now:${name}`, partitions: fresh },
                { fingerprint: "old", partitions: outdated },
              ],
            ];
          }),
        );
        const ranges = new Map([...live].map(([name, set]) => [name, rangesOfOrdinals(set)]));
        // Where no input says which partitions exist, asking for all of a dataset asks for what is live.
        const extent = extentsOf(each, sources, ranges);
        if (request.kind === "datasets" && named.some((name) => (extent.get(name) ?? []).length === 0)) return;
        const input = anInput(each, { request, extents: sources, live: contents });
        const expected = oracle(each, request, live, old, extent);
        if (expected === undefined) {
          refusals += 1;
          expect(refusalOf(() => planBackfill(input)).code).toBe("plan_refused");
          return;
        }
        const plan = planBackfill(input);
        checkPlan(each, plan, expected, live, extent);
        if (request.kind !== "changes" || request.datasets !== undefined) return;
        const after = planBackfill({ ...input, live: promoted(contents, plan) });
        expect(recomputeSteps(after.decision)).toEqual([]);
      }),
      { numRuns: 300 },
    );
    expect(refusals).toBeGreaterThan(0);
  });
});

/** What is live once a plan was promoted. */
function promoted(live: ReadonlyMap<string, LiveContent[]>, plan: Plan): Map<string, LiveContent[]> {
  const after = new Map(live);
  for (const { dataset, fingerprint, partitions } of recomputeSteps(plan.decision)) {
    const kept = (live.get(dataset) ?? []).map((content) => ({
      ...content,
      partitions: subtract(content.partitions, partitions),
    }));
    after.set(dataset, [...kept, { fingerprint, partitions }]);
  }
  return after;
}

function checkPlan(each: Catalog, plan: Plan, expected: Sets, live: Sets, extent: ReadonlyMap<string, Ranges>): void {
  const steps = plan.decision.steps;
  const partitionsOf = (name: string, action: Step["action"]) =>
    union(...steps.filter((step) => step.dataset === name && step.action === action).map((step) => step.partitions));
  const reads: Sets = new Map();
  for (const consumer of derivedInOrder(each)) {
    expect(partitionsOf(consumer.name, "recompute")).toEqual(rangesOfOrdinals(at(expected, consumer.name)));
    for (const partition of at(expected, consumer.name)) {
      for (const [name, ordinals] of readsOf(consumer, partition, extent)) {
        const kept = ordinals.filter((ordinal) => !at(expected, name).has(ordinal));
        reads.set(name, new Set([...at(reads, name), ...kept]));
        for (const ordinal of kept) expect(at(live, name).has(ordinal)).toBe(true);
      }
    }
  }
  for (const { name } of derivedInOrder(each)) {
    expect(partitionsOf(name, "reuse")).toEqual(rangesOfOrdinals(at(reads, name)));
    expect(steps.some((step) => step.dataset === name)).toBe(true);
  }
  for (const step of steps) expect(union(...step.why.map((reason) => reason.partitions))).toEqual(step.partitions);
}
