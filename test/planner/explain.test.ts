/** Plans and catalogs as people and programs read them. */
import { describe, expect, it } from "vitest";
import type { Ranges } from "../../src/catalog/ranges.ts";
import { affectedBy, affectedText } from "../../src/planner/affected.ts";
import { explainPlan } from "../../src/planner/explain.ts";
import { graphJson, graphMermaid, graphText } from "../../src/planner/graph.ts";
import { durationText } from "../../src/planner/labels.ts";
import { planMarkdown } from "../../src/planner/markdown.ts";
import { stepsReport } from "../../src/planner/report.ts";
import { graphSvg } from "../../src/planner/svg.ts";
import { aCatalog, anInput, day0, planBackfill } from "./support.ts";

const catalog = aCatalog([
  { name: "flights", cut: "day", inputs: [] },
  { name: "facts", cut: "day", inputs: [{ from: "flights" }], map: true },
  { name: "by_day", cut: "day", inputs: [{ from: "facts" }] },
  { name: "by_month", cut: "month", inputs: [{ from: "by_day" }], criticality: "critical" },
  { name: "trend", cut: "day", inputs: [{ from: "by_day", lookback: 6 }, { from: "facts" }] },
]);

const january: Ranges = [[day0, day0 + 31]];

const plan = planBackfill(
  anInput(catalog, {
    extents: new Map([["flights", january]]),
    live: new Map([["facts", [{ fingerprint: "now:facts", partitions: january }]]]),
    speeds: new Map(["by_day", "by_month", "trend"].map((name) => [name, { mean: 1, quarter: 0.5, ninetieth: 2 }])),
    notices: new Map([
      ["flights", ["an index is missing"]],
      ["facts", ["facts are big"]],
    ]),
  }),
);

describe("explainPlan", () => {
  it("shows every step with its window and reason, indented by depth", () => {
    expect(explainPlan(catalog, plan)).toEqual([
      `Plan ${plan.hash.slice(0, 12)}  everything that is out of date`,
      "  because: refunds were ignored",
      "",
      "  reuse     facts  2001-01-01 to 2001-01-31 (31)",
      "            up to date; read as it is",
      "    recompute by_day  2001-01-01 to 2001-01-31 (31)  [direct, 31 tasks, about 31 s of work]",
      "              there is no live content yet",
      "      recompute by_month  2001-01  [direct, 1 task, about 1 s of work]",
      "                there is no live content yet; by_day is recomputed upstream",
      "      recompute trend  2001-01-01 to 2001-01-31 (31)  [direct, 31 tasks, about 31 s of work]",
      "                there is no live content yet; by_day is recomputed upstream",
      "",
      "63 tasks, about 63 s (32 s to 2 min)",
      "Each task reads its sources and live inputs in one snapshot, taken when it starts and kept with what it writes; live tables stay untouched until the promotion.",
      "The promotion of all datasets is one transaction: all of it is visible at one instant, or nothing is.",
      "It can be rolled back exactly until finalized, which nobody but you does; a later promotion over it goes back first, and rows that were written since are shown.",
      "warning: facts are big",
    ]);
  });

  it("shows causes apart where they hold for other partitions", () => {
    const live = (name: string, days: Ranges) => [name, [{ fingerprint: `now:${name}`, partitions: days }]] as const;
    const extents = new Map([["flights", january]]);
    const all = new Map([live("facts", january), live("by_day", january), live("trend", [[day0, day0 + 30]])]);
    const request = { kind: "datasets", datasets: ["by_day"], partitions: [[day0 + 30, day0 + 31]] } as const;
    const lines = explainPlan(catalog, planBackfill(anInput(catalog, { extents, live: all, request })));
    expect(lines.filter((line) => line.includes("- "))).toEqual([]);
    const wider = { ...request, partitions: [[day0 + 29, day0 + 31]] } as const;
    const apart = explainPlan(catalog, planBackfill(anInput(catalog, { extents, live: all, request: wider })));
    expect(apart.filter((line) => line.includes("- "))).toEqual([
      "                - never_computed: 2001-01-31",
      "                - upstream_recomputed by_day: 2001-01-30 to 2001-01-31 (2)",
    ]);
  });

  it("paints through the function that it is given", () => {
    const lines = explainPlan(catalog, plan, (tone, text) => `<${tone}>${text}</>`);
    expect(lines[3]).toBe("  <reuse>reuse    </> <strong>facts</>  2001-01-01 to 2001-01-31 (31)");
  });

  it("writes durations", () => {
    expect([0.2, 40, 720, 5_400, 12_000].map(durationText)).toEqual([
      "1 s",
      "40 s",
      "12 min",
      "1 h 30 min",
      "3 h 20 min",
    ]);
  });
});

describe("stepsReport", () => {
  it("has labels instead of ordinals", () => {
    const report = stepsReport(catalog, plan, { backfill: "bf_1", state: "planned" });
    expect(Object.keys(report).slice(0, 5)).toEqual(["backfill", "planHash", "state", "steps", "tasks"]);
    expect(report).toMatchObject({ backfill: "bf_1", planHash: plan.hash, state: "planned", tasks: 63 });
    expect(report.steps[2]).toEqual({
      dataset: "by_month",
      action: "recompute",
      cause: "direct",
      reason: "there is no live content yet; by_day is recomputed upstream",
      partitions: ["2001-01"],
    });
  });
});

describe("planMarkdown", () => {
  it("is a table for a pull request, with everything escaped", () => {
    const requestReason = "a | b <script>";
    const risky = planBackfill(anInput(catalog, { extents: new Map([["flights", january]]), requestReason }));
    const text = planMarkdown(catalog, risky, "bf_1");
    expect(text).toContain(
      "| **recompute** | `by_month` | direct | 2001-01 | 1 | there is no live content yet; by_day is recomputed upstream |",
    );
    expect(text).toContain("**125 tasks**".replace("125", String(risky.forecast.tasks)));
    expect(text).toContain("Run it with `rederive run bf_1`.");
    expect(text).not.toContain("<script>");
  });

  it("says when there is nothing to do", () => {
    const live = new Map(
      ["facts", "by_day", "trend"].map((name) => [name, [{ fingerprint: `now:${name}`, partitions: january }]]),
    );
    live.set("by_month", [{ fingerprint: "now:by_month", partitions: [[372, 373]] }]);
    const nothing = planBackfill(anInput(catalog, { extents: new Map([["flights", january]]), live }));
    expect(planMarkdown(catalog, nothing, null)).toContain("**Nothing to do.**");
    expect(explainPlan(catalog, nothing)).toContain("Nothing to do.");
  });
});

describe("affectedBy", () => {
  const extents = new Map<string, Ranges>([
    ...["flights", "facts", "by_day", "trend"].map((name) => [name, january] as const),
    ["by_month", [[372, 373]]],
  ]);

  it("follows a change downstream to people, telling direct from indirect", () => {
    const window = { from: "2001-01-30", to: "2001-01-31" };
    const affected = affectedBy(catalog, { dataset: "facts", window }, extents);
    expect(affected.downstream.map(({ dataset, reach, partitions }) => [dataset, reach, partitions])).toEqual([
      ["by_day", "direct", ["2001-01-30"]],
      ["by_month", "indirect", ["2001-01"]],
      ["trend", "direct", ["2001-01-30 to 2001-01-31"]],
    ]);
    expect(affected.exposures).toEqual([{ name: "by_month-users", criticality: "critical", reads: ["by_month"] }]);
    expect(affectedText(affected).at(-1)).toBe("4 tasks in 3 datasets, 1 exposure");
  });

  it("begins at a source, too, and refuses what is not there", () => {
    expect(affectedBy(catalog, { dataset: "flights" }, extents).downstream).toHaveLength(4);
    expect(() => affectedBy(catalog, { dataset: "fcats" }, extents)).toThrow(/did you mean "facts"/);
  });
});

describe("the graph", () => {
  it("is a picture without text that could be markup", () => {
    const svg = graphSvg(catalog);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg.match(/<rect /g)).toHaveLength(6);
    expect(svg.match(/<path /g)).toHaveLength(6);
    expect(svg).toContain("lookback 6");
    expect(svg.match(/<(?!\/?(?:svg|title|g|rect|text|path)[ >])/g)).toBeNull();
  });

  it("is a tree from the sources down", () => {
    expect(graphText(catalog).split("\n")).toEqual([
      "flights  daily(day, UTC)",
      "└─ facts (same)  daily(day, UTC)  v1",
      "   ├─ by_day (same)  daily(day, UTC)  v1",
      "   │  ├─ by_month (rollup)  monthly(day, UTC)  v1",
      "   │  │  └─ » by_month-users [critical]",
      "   │  └─ trend (lookback 6)  daily(day, UTC)  v1",
      "   └─ trend (same)  (above)",
    ]);
  });

  it("is a Mermaid flowchart and JSON", () => {
    const mermaid = graphMermaid(catalog);
    expect(mermaid).toMatch(/^flowchart LR\n {2}n0\[\("flights"\)\]\n/);
    expect(mermaid).toContain('n2 -->|"lookback 6"| n4');
    expect(mermaid).toContain('n5>"by_month-users (critical)"]');
    expect(graphJson(catalog).edges).toContainEqual({ from: "by_day", to: "by_month", mapping: "rollup" });
    expect(graphJson(catalog).datasets[1]).toMatchObject({
      name: "facts",
      kind: "derived",
      transform: "map",
      criticality: 4,
    });
  });
});
