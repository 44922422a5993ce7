/** The catalog for people: what it says, how it is searched, and that its page can be published without fear. */
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { date, integer, pgTable } from "drizzle-orm/pg-core";
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { defineCatalog } from "../../src/catalog/catalog.ts";
import { check } from "../../src/catalog/check.ts";
import { derived, source } from "../../src/catalog/dataset.ts";
import { definitionOf, metadataShape } from "../../src/catalog/definition.ts";
import { plainRule } from "../../src/catalog/plain-rule.ts";
import { type CatalogReport, catalogPage, catalogText, searched } from "../../src/lineage/catalog-page.ts";
import { runCommand } from "../cli/command.ts";
import { withFlights } from "./flights.ts";

const sales = source(pgTable("sales", { day: date("day"), cents: integer("cents") }));
const totals = pgTable("totals", { day: date("day").notNull(), cents: integer("cents") });
const defined = (columnDescriptions?: Record<string, string>) =>
  derived(totals, {
    ...{ version: 1, key: [totals.day], inputs: { sales } },
    ...(columnDescriptions === undefined ? {} : { columnDescriptions }),
    select: ({ db, sales: s }) => db.select({ day: s.day, cents: s.cents }).from(s) as never,
  });

describe("the catalog for people", () => {
  it("says what datasets mean, how fresh they are, and why they changed last", () =>
    withFlights(async (stage) => {
      const backfill = await stage.run();
      const report = await stage.rederive.as(tester).describedCatalog();
      const of = (name: string) => report.datasets.find((dataset) => dataset.name === name);
      expect(of("airport_day")).toMatchObject({
        ...{ kind: "derived", owner: "punctuality", key: ["day", "airport"], madeFrom: ["flight_facts"] },
        ...{ usedBy: ["airport_month", "airport_trend"], table: "public.airport_day" },
        lastChange: {
          ...{ upTo: "2001-02-01", by: "tester", backfill: backfill.id },
          ...{ because: "early flights hid the late ones", reason: "checked with punctuality" },
        },
      });
      expect(of("airport_day")?.rules).toContain("No two rows have the same day and airport.");
      expect(of("flight_facts")?.rules).toContain("Delay is from -180 to 1800 (only a warning).");
      expect(of("flight")?.lastChange).toBeNull();
      expect(report.exposures.map(({ name, status }) => [name, status])).toContainEqual(["route-export", "fresh"]);
      expect(searched(report, "PUNCTUALITY delays route").datasets.map(({ name }) => name)).toEqual(["route_day"]);
      // Words are looked for in what is said, not in what the fields of a report are called.
      expect(searched(report, "lastChange").datasets).toEqual([]);
      expect(catalogText(searched(report, "nowhere to be found"))).toEqual([
        "nothing in the catalog has all of these words",
      ]);
    }));

  it("is exported as a page that loads nothing and believes no text", () => {
    const hostile = `</script><img src=x onerror="alert('1')">&`;
    const report: CatalogReport = {
      datasets: [
        {
          ...{
            name: hostile,
            kind: "derived",
            description: hostile,
            owner: hostile,
            table: hostile,
            partitions: hostile,
          },
          ...{ columns: [{ name: hostile, type: hostile, description: hostile }], key: [hostile], rules: [hostile] },
          ...{ madeFrom: [hostile], usedBy: [hostile] },
          lastChange: { at: hostile, upTo: hostile, by: hostile, because: hostile, reason: hostile, backfill: hostile },
        },
      ],
      exposures: [
        {
          name: hostile,
          description: hostile,
          owner: hostile,
          criticality: "low",
          reads: [hostile],
          status: "fresh",
          asOf: hostile,
        },
      ],
    };
    const page = catalogPage(report, "<svg></svg>", "now");
    expect(page.match(/<script|<img/g)).toEqual(["<script"]);
    expect(page).not.toContain('onerror="');
    expect(page).not.toMatch(/(src|href)=["']?(https?:)?\/\//);
    expect(page).toContain("default-src 'none'");
  });

  it("has descriptions of columns as metadata, of columns that there are", () => {
    const [plain, described] = [defined(), defined({ cents: "Paid, without refunds" })];
    expect(definitionOf(described)).toBe(definitionOf(plain));
    expect(metadataShape(described, 0)).not.toEqual(metadataShape(plain, 0));
    expect("columnDescriptions" in metadataShape(plain, 0)).toBe(false);
    expect(() => defineCatalog({ datasets: [sales, defined({ cent: "?" })] })).toThrow('did you mean "cents"');
  });

  it("puts every kind of check into words", () => {
    const words = [
      check.notNull(totals.day),
      check.accepted(totals.cents, [1, 2]),
      check.rowCount({ min: 1 }),
      check.conserves(totals.cents, { input: "sales", column: sales.table.cents }),
      check.sql("no refunds", "cents >= 0", { severity: "warn" }),
    ].map(plainRule);
    expect(words).toEqual([
      "Day is always filled in.",
      "Cents is one of 1, 2.",
      "Each partition has at least 1 rows.",
      "The sum of cents is that of cents in sales.",
      "No refunds (only a warning).",
    ]);
  });

  it("is a command, and a page in a folder", () =>
    withFlights(async ({ url }) => {
      const out = join(tmpdir(), `rederive-catalog-${process.pid}`);
      const cwd = join(import.meta.dirname, "../../examples/flights");
      const answer = await runCommand(["catalog", "export", "--out", out], { cwd, env: { DATABASE_URL: url } });
      expect([answer.code, answer.stderr]).toEqual([0, ""]);
      expect(await readFile(join(out, "index.html"), "utf8")).toContain("Delays by airport of departure and day");
      await rm(out, { recursive: true });
      const found = await runCommand(["catalog", "route", "--json"], { cwd, env: { DATABASE_URL: url } });
      expect(found.json<CatalogReport>().datasets.map(({ name }) => name)).toContain("route_day");
    }));
});
