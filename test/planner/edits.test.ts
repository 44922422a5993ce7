/**
 * Twelve kinds of edit to the flights example, as people make them: to its files. For each, `plan --json` shows exactly
 * the right steps. docs/planning.md lists the twelve with these outcomes.
 */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the edits are pieces of source text
import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StepsReport } from "../../src/planner/report.ts";
import { type Answer, repository, runCommand, type Variables } from "../cli/command.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { redisUrlIfAny } from "../support/require.ts";

const example = join(repository, "examples/flights");
const days = "2001-01-10 to 2001-02-18";
const months = "2001-01 to 2001-02";

/** Forty days over two months, four flights each. */
const rows = `insert into flight (id, departed_at, delay, distance, origin, destination)
  select n, timestamp '2001-01-10 05:00' + (n / 4) * interval '1 day' + (n % 4) * interval '2 hours', n % 50 - 10,
    100 + n % 2000, (array['BOS','SFO','JFK'])[n % 3 + 1], (array['LAX','ORD'])[n % 2 + 1] from generate_series(0, 159) n`;

let base = "";
let env: Variables = {};
let close: () => Promise<void> = async () => {};

beforeAll(async () => {
  await mkdir(join(repository, ".rederive"), { recursive: true });
  base = await mkdtemp(join(repository, ".rederive/edits-"));
  const database = await createTestDatabase();
  close = async () => {
    await database.drop();
    await rm(base, { recursive: true, force: true });
  };
  env = {
    DATABASE_URL: database.url,
    REDIS_URL: redisUrlIfAny(),
    FLIGHTS_PREFIX: `{e${randomBytes(4).toString("hex")}}`,
  };
  const client = new pg.Client(database.url);
  await client.connect();
  await client.query(await readFile(join(example, "schema.sql"), "utf8"));
  await client.query(rows);
  await client.query("alter table airport_day add column late_flights integer");
  await client.query("alter table airport_month add column late_flights integer");
  await client.end();
  await makeBase();
  const run = await command(base, ["run", "--reason", "first", "--workers", "2", "--json"]);
  expect([run.code, run.stderr]).toEqual([0, expect.anything()]);
  const { backfill } = run.json<{ backfill: string }>();
  const promoted = await command(base, ["promote", backfill, "--reason", "first", "--json"]);
  expect([promoted.code, promoted.stderr]).toEqual([0, expect.anything()]);
}, 180_000);

afterAll(() => close());

/** The example with one helper of its map in a file of its own. */
async function makeBase(): Promise<void> {
  for (const file of ["catalog.ts", "schema.ts", "oracle.ts"]) await cp(join(example, file), join(base, file));
  const helper = /function distanceBandOf[\s\S]*?\n}\n/;
  await edit(base, "catalog.ts", (text) =>
    text
      .replace(helper, "")
      .replace(/\/\*\* Miles up to which[\s\S]*?mediumBelow = 1500;\n/, "")
      .replace(/^import type \{ FlightsVersion/m, 'import { distanceBandOf } from "./bands.ts";\n$&'),
  );
  const text = await readFile(join(example, "catalog.ts"), "utf8");
  const bands = `const shortBelow = 500;\nconst mediumBelow = 1500;\nexport ${helper.exec(text)?.[0]}`;
  await writeFile(join(base, "bands.ts"), bands);
  await writeFile(
    join(base, "rederive.config.ts"),
    `import { defineConfig } from "rederive";
     import { flightsCatalog } from "./catalog.ts";
     export default defineConfig({ catalog: flightsCatalog({ version: 2 }), prefix: process.env.FLIGHTS_PREFIX });`,
  );
}

type Edit = (text: string) => string;

async function edit(folder: string, file: string, change: Edit): Promise<void> {
  const before = await readFile(join(folder, file), "utf8");
  const after = change(before);
  // An edit that changes nothing would prove nothing.
  expect(after).not.toBe(before);
  await writeFile(join(folder, file), after);
}

function command(cwd: string, args: readonly string[]): Promise<Answer> {
  return runCommand(args, { cwd, env });
}

/** Replaces text that must be there. */
const swap =
  (from: string, to: string): Edit =>
  (text) => {
    expect(text).toContain(from);
    return text.replace(from, to);
  };

const all =
  (...edits: Edit[]): Edit =>
  (text) =>
    edits.reduce((sofar, each) => each(sofar), text);

/** From one definition to the next, so that an edit of one dataset cannot touch another. */
const within =
  (start: string, end: string, change: Edit): Edit =>
  (text) => {
    const from = text.indexOf(start);
    const to = text.indexOf(end, from);
    expect([from, to].every((at) => at >= 0)).toBe(true);
    return text.slice(0, from) + change(text.slice(from, to)) + text.slice(to);
  };

const airportDay = (change: Edit) => within("const airportDay =", "const routeDay =", change);
const routeDay = (change: Edit) => within("const routeDay =", "const airportMonth =", change);
const airportMonth = (change: Edit) => within("const airportMonth =", "const airportTrend =", change);
const airportTrend = (change: Edit) => within("const airportTrend =", "const airportRanking =", change);

const lateColumn = swap(
  "delayMinutes: minutes,",
  "lateFlights: sql<number>`(count(*) filter (where ${facts.delay} > 15))::integer`,\n          delayMinutes: minutes,",
);
const tableColumn = (table: string): Edit =>
  within(
    `export const ${table} = `,
    "]",
    swap("flights: integer().notNull(),", 'flights: integer().notNull(),\n    lateFlights: integer("late_flights"),'),
  );

const nothing = { recompute: {}, reuse: {} };
const daysOf = (...names: string[]) => Object.fromEntries(names.map((name) => [name, [days]]));

interface Case {
  readonly files: Readonly<Record<string, Edit>>;
  readonly recompute: Readonly<Record<string, readonly string[]>>;
  /** Read or kept as they are. */
  readonly reuse: Readonly<Record<string, readonly string[]>>;
  readonly changes?: readonly Partial<StepsReport["changes"][number]>[];
  readonly validation?: StepsReport["validation"];
}

const cases: Readonly<Record<string, Case>> = {
  "a comment": {
    files: {
      "catalog.ts": all(
        swap("// 2001-01-31 05:10:00,", "// For example 2001-01-31 05:10:00,"),
        swap("row_number() over (", "/* ties by name */ row_number() over ("),
      ),
    },
    ...nothing,
    changes: [],
  },
  reformatting: {
    files: {
      "catalog.ts": all(
        swap(
          "departureHour: Number(flight.departedAt.slice(11, 13)),",
          "departureHour:\n      Number( flight.departedAt.slice(11, 13) ),",
        ),
        swap(
          "select airport, average_delay, flights::integer,",
          "SELECT airport,\n   average_delay,   flights :: integer,",
        ),
      ),
    },
    ...nothing,
    changes: [],
  },
  "a description": {
    files: { "catalog.ts": swap('"Delays by route and day"', '"Delays by route and day of departure"') },
    ...nothing,
    changes: [{ dataset: "route_day", category: "metadata", aspects: ["description"] }],
  },
  "a check": {
    files: {
      "catalog.ts": swap(
        "check.range(t.airportTrend.days, { min: 1, max: 7 })",
        "check.range(t.airportTrend.days, { min: 1, max: 6 })",
      ),
    },
    ...nothing,
    changes: [{ dataset: "airport_trend", category: "metadata", aspects: ["checks"] }],
    validation: [
      {
        dataset: "airport_trend",
        partitions: [days],
        checks: [expect.stringContaining("days")] as unknown as string[],
      },
    ],
  },
  "a new column that nobody reads": {
    files: { "catalog.ts": airportDay(lateColumn), "schema.ts": tableColumn("airportDay") },
    recompute: daysOf("airport_day"),
    reuse: { ...daysOf("flight_facts", "airport_trend"), airport_month: [months] },
    changes: [
      {
        dataset: "airport_day",
        category: "non_breaking",
        columns: { added: ["late_flights"], dropped: [], changed: [] },
      },
    ],
  },
  "a new column that is read downstream": {
    files: {
      "catalog.ts": all(
        airportDay(lateColumn),
        airportMonth(
          swap(
            "delayMinutes: sql<number>",
            "lateFlights: sql<number>`sum(${days.lateFlights})::integer`,\n          delayMinutes: sql<number>",
          ),
        ),
      ),
      "schema.ts": all(tableColumn("airportDay"), tableColumn("airportMonth")),
    },
    recompute: { ...daysOf("airport_day"), airport_month: [months], airport_ranking: ["all"] },
    reuse: daysOf("flight_facts", "airport_trend"),
    changes: [
      { dataset: "airport_day", category: "non_breaking" },
      { dataset: "airport_month", category: "non_breaking" },
    ],
  },
  "a changed filter": {
    files: {
      "catalog.ts": routeDay(swap(".from(facts)", ".from(facts)\n        .where(sql`${facts.distance} > 200`)")),
    },
    recompute: daysOf("route_day"),
    reuse: daysOf("flight_facts"),
    changes: [{ dataset: "route_day", category: "breaking", because: "its rows may be others" }],
  },
  "a changed rollup": {
    files: { "catalog.ts": airportMonth(swap("/ sum(${days.flights}), 2)", "/ sum(${days.flights}), 1)")) },
    recompute: { airport_month: [months] },
    reuse: { ...daysOf("airport_day"), airport_ranking: ["all"] },
    changes: [
      {
        dataset: "airport_month",
        category: "non_breaking",
        columns: { added: [], dropped: [], changed: ["average_delay"] },
      },
    ],
  },
  "a dropped column": {
    files: {
      "catalog.ts": airportDay(within("earlyFlights:", "delayMinutes:", () => "")),
      "schema.ts": swap('    earlyFlights: integer("early_flights").notNull(),\n', ""),
    },
    recompute: daysOf("airport_day"),
    reuse: { ...daysOf("flight_facts", "airport_trend"), airport_month: [months] },
    changes: [
      {
        dataset: "airport_day",
        category: "non_breaking",
        columns: { added: [], dropped: ["early_flights"], changed: [] },
      },
    ],
  },
  "another partitioning": {
    files: {
      "catalog.ts": all(
        airportTrend(swap("daily(t.airportTrend.day)", "weekly(t.airportTrend.day)")),
        swap("monthly, source", "monthly, source, weekly"),
      ),
    },
    recompute: { airport_trend: ["2001-W02 to 2001-W07"] },
    reuse: daysOf("airport_day"),
    changes: [{ dataset: "airport_trend", category: "breaking" }],
  },
  "a renamed dataset": {
    files: { "catalog.ts": airportTrend(swap("version: 1,", 'name: "airport_week",\n    version: 1,')) },
    recompute: daysOf("airport_week"),
    reuse: daysOf("airport_day"),
    changes: [],
  },
  "a helper of a map in another file": {
    files: { "bands.ts": swap("mediumBelow = 1500", "mediumBelow = 1200") },
    recompute: {
      ...daysOf("flight_facts", "airport_day", "route_day", "airport_trend"),
      ...{ airport_month: [months], airport_ranking: ["all"] },
    },
    reuse: {},
    changes: [{ dataset: "flight_facts", category: "breaking", aspects: ["map"] }],
  },
};

function partitionsBy(report: StepsReport, action: string): Record<string, readonly string[]> {
  const steps = report.steps.filter((step) => step.action === action);
  return Object.fromEntries(steps.map((step) => [step.dataset, step.partitions]));
}

describe("twelve kinds of edit to the flights catalog", () => {
  it("has nothing to do without an edit", async () => {
    const answer = await command(base, ["plan", "--check", "--json"]);
    expect([answer.code, answer.stderr]).toEqual([0, expect.anything()]);
    expect(answer.json<StepsReport>()).toMatchObject({ tasks: 0, changes: [], validation: [] });
  });

  it("are listed with their outcomes in docs/planning.md", async () => {
    const document = await readFile(join(repository, "docs/planning.md"), "utf8");
    const [, table = ""] = /## Twelve edits([\s\S]*?)\n## /.exec(document) ?? [];
    const rows = [...table.matchAll(/^\| (an? .*?|another .*?|reformatting) +\| (.*?) +\|/gm)];
    expect(rows.map(([, name, recomputed]) => [name, recomputed?.split(", ").toSorted()])).toEqual(
      Object.entries(cases).map(([name, { recompute }]) => {
        const names = Object.keys(recompute);
        return [name, names.length === 0 ? ["nothing"] : names.toSorted()];
      }),
    );
  });

  it.each(Object.entries(cases))("%s", async (name, { files, recompute, reuse, changes, validation }) => {
    const folder = await mkdtemp(`${base}-`);
    try {
      await cp(base, folder, { recursive: true });
      for (const [file, change] of Object.entries(files)) await edit(folder, file, change);
      const answer = await command(folder, ["plan", "--reason", "an edit", "--json"]);
      expect([answer.code, answer.stderr]).toEqual([0, expect.anything()]);
      const report = answer.json<StepsReport>();
      expect(partitionsBy(report, "recompute")).toEqual(recompute);
      expect(partitionsBy(report, "reuse")).toEqual(reuse);
      expect(report.changes).toEqual((changes ?? []).map((change) => expect.objectContaining(change)));
      expect(report.validation).toEqual(validation ?? []);
      // Whether CI sees work is told by the exit code; a process takes its time, so it is asked for two of them.
      if (name !== "a check" && name !== "a changed filter") return;
      const check = await command(folder, ["plan", "--check", "--json"]);
      expect(check.code).toBe(Object.keys(recompute).length > 0 ? 6 : 0);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
