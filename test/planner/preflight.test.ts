/** What will go away and what is taken for granted, as plans and graphs tell it. */
import { sql } from "drizzle-orm";
import { date, integer, pgTable } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { assume } from "../../src/catalog/assumption.ts";
import { type Catalog, defineCatalog } from "../../src/catalog/catalog.ts";
import { derived, exposure, source } from "../../src/catalog/dataset.ts";
import type { Deprecation } from "../../src/catalog/deprecation.ts";
import { daily } from "../../src/catalog/scheme.ts";
import { graphOf } from "../../src/planner/catalog-graph.ts";
import { deprecationFindings } from "../../src/planner/deprecations.ts";
import { explainPlan } from "../../src/planner/explain.ts";
import { graphJson, graphText } from "../../src/planner/graph.ts";
import { planMarkdown } from "../../src/planner/markdown.ts";
import { bySeverity, lookedTexts, refuseStopped } from "../../src/planner/preflight.ts";
import { stepsReport } from "../../src/planner/report.ts";
import type { PreflightFinding } from "../../src/report.ts";
import { anInput, day0, planBackfill } from "./support.ts";

const orders = pgTable("orders", { day: date("day").notNull(), total: integer("total"), cents: integer("cents") });
const sums = pgTable("sums", { day: date("day").notNull(), cents: integer("cents") });
const trend = pgTable("trend", { day: date("day").notNull(), cents: integer("cents") });

interface Options {
  readonly column?: Deprecation;
  readonly dataset?: Deprecation;
}

function aCatalog({ column, dataset }: Options = {}): Catalog {
  const from = source(orders, {
    partitions: daily(orders.day),
    assumptions: [assume("orders are never edited", "select 1 where false")],
    ...(column === undefined ? {} : { deprecatedColumns: [{ column: orders.total, ...column }] }),
  });
  const sumsOf = derived(sums, {
    version: 1,
    key: [sums.day],
    partitions: daily(sums.day),
    inputs: { orders: from },
    ...(dataset === undefined ? {} : { deprecated: dataset }),
    select: () => sql`select day, total as cents from orders`,
  });
  const trendOf = derived(trend, {
    version: 1,
    key: [trend.day],
    partitions: daily(trend.day),
    inputs: { sums: sumsOf },
    assumptions: [assume("one row a day", "select 1 where false")],
    select: () => sql`select day, cents from sums`,
  });
  const board = exposure("board", { reads: [sumsOf, from], columns: [orders.total], criticality: "low" });
  return defineCatalog({ datasets: [from, sumsOf, trendOf], exposures: [board] });
}

const since = "2026-01-31";

function findings(options: Options, read: readonly string[] | null = ["day", "total"], today = "2026-03-01") {
  return deprecationFindings({
    catalog: aCatalog(options),
    datasets: new Set(["orders", "sums", "trend"]),
    readsOf: ({ name }) => new Map(name === "sums" ? [["orders", read]] : []),
    today,
  });
}

describe("deprecationFindings", () => {
  it("warns who reads a column, with the way out and until when it is open", () => {
    const found = findings({ column: { since, replacedBy: "cents", removeAfter: "2026-06-30" } });
    expect(found).toEqual([
      {
        code: "deprecated",
        severity: "warn",
        dataset: "orders",
        reader: "sums",
        column: "total",
        what: "sums reads column total of orders, which is deprecated",
        seen: "deprecated since 2026-01-31; it stays until 2026-06-30",
        mitigation: "read cents instead, before 2026-06-30",
      },
      expect.objectContaining({
        reader: "board",
        what: "the exposure board reads column total of orders, which is deprecated",
      }),
    ]);
  });

  it("warns harder once it may be gone", () => {
    const [found] = findings({ column: { since, removeAfter: "2026-02-28" } });
    expect(found).toMatchObject({
      code: "past_removal",
      what: "sums still reads column total of orders, which may have been removed since 2026-02-28",
      seen: "deprecated since 2026-01-31; today is 2026-03-01",
      mitigation: "do without it, now",
    });
  });

  it("leaves alone who does not read it; whole rows read everything", () => {
    const column = { since };
    expect(findings({ column }, ["day"]).map(({ reader }) => reader)).toEqual(["board"]);
    expect(findings({ column }, null).map(({ reader }) => reader)).toEqual(["sums", "board"]);
  });

  it("warns all who read a deprecated dataset", () => {
    const found = findings({ dataset: { since, replacedBy: "daily_sums" } });
    expect(found.map(({ reader, what, mitigation }) => [reader, what, mitigation])).toEqual([
      ["trend", "trend reads sums, which is deprecated", "read daily_sums instead"],
      ["board", "the exposure board reads sums, which is deprecated", "read daily_sums instead"],
    ]);
  });
});

describe("the graph", () => {
  const catalog = aCatalog({ column: { since, replacedBy: "cents" }, dataset: { since, removeAfter: "2026-06-30" } });

  it("shows what is assumed and what will go away", () => {
    expect(graphText(catalog).split("\n")).toEqual([
      "orders  daily(day, UTC)",
      "│  assumes: orders are never edited",
      "│  total is deprecated since 2026-01-31; read cents instead",
      "├─ sums (same)  daily(day, UTC)  v1",
      "│  │  deprecated since 2026-01-31; stays until 2026-06-30",
      "│  ├─ trend (same)  daily(day, UTC)  v1",
      "│  │     assumes: one row a day",
      "│  └─ » board [low]",
      "└─ » board [low]",
    ]);
  });

  it("has them for programs, on the command line and in the API", () => {
    const conditions = {
      assumptions: ["orders are never edited"],
      deprecatedColumns: [{ column: "total", since, replacedBy: "cents" }],
    };
    for (const graph of [graphJson(catalog), graphOf(catalog)]) {
      expect(graph.datasets[0]).toMatchObject(conditions);
      expect(graph.datasets[1]).toMatchObject({ deprecated: { since, removeAfter: "2026-06-30" } });
      expect(graph.exposures[0]).toMatchObject({ columns: [{ dataset: "orders", column: "total", type: null }] });
    }
  });
});

describe("a plan", () => {
  const catalog = aCatalog();
  const input = anInput(catalog, { extents: new Map([["orders", [[day0, day0 + 2]]]]) });

  it("says what it takes for granted, upstreams first", () => {
    const plan = planBackfill(input);
    const lines = ["orders: orders are never edited", "trend: one row a day"];
    const text = explainPlan(catalog, plan);
    const at = text.indexOf("Assumed, tested now and again before it starts");
    expect(text.slice(at + 1, at + 3)).toEqual(lines.map((line) => `  ${line}`));
    expect(planMarkdown(catalog, plan, null)).toContain(`\n\n- ${lines.join("\n- ")}\n`);
    expect(stepsReport(catalog, plan, { backfill: null, state: "preview" }).assumptions).toEqual([
      { dataset: "orders", description: "orders are never edited" },
      { dataset: "trend", description: "one row a day" },
    ]);
  });

  it("leaves out what it does not touch", () => {
    const request = { kind: "changes", datasets: ["sums"] } as const;
    const plan = planBackfill(anInput(catalog, { extents: new Map([["orders", []]]), request }));
    expect(stepsReport(catalog, plan, { backfill: null, state: "preview" }).assumptions).toEqual([]);
  });
});

describe("findings", () => {
  const finding = (severity: "stop" | "warn", what: string): PreflightFinding => ({
    ...{ code: "disk_space", dataset: "sums", seen: "9 GB", mitigation: "make room" },
    severity,
    what,
  });

  it("that stop come first, and are thrown together", () => {
    const [a, b, c] = [finding("warn", "a"), finding("stop", "b"), finding("stop", "c")];
    expect(bySeverity([a, b, c])).toEqual([b, c, a]);
    expect(() => refuseStopped([a], "no")).not.toThrow();
    expect(() => refuseStopped([a, b], "no")).toThrow("no: b: 9 GB; make room [disk_space]");
    expect(() => refuseStopped([a, b, c], "no")).toThrow("no:\n- b: 9 GB; make room [disk_space]\n- c: 9 GB");
  });

  it("are counted with what was looked at", () => {
    expect(lookedTexts({ findings: [], looked: [] })).toEqual([]);
    expect(lookedTexts({ findings: [finding("warn", "a")], looked: ["orders", "room"] })).toEqual([
      "Preflight, 1 found; looked at orders; room.",
    ]);
  });
});
