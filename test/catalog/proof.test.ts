import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { derived } from "../../src/catalog/dataset.ts";
import { everyMs, proofFaults } from "../../src/catalog/proof.ts";
import { whole } from "../../src/catalog/scheme.ts";

const totals = pgTable("totals", { id: integer("id").primaryKey(), code: text("code") });
const other = pgTable("other", { id: integer("id").primaryKey() });

function faultsOf(options: object): string[] {
  const dataset = derived(totals, {
    ...{ version: 1, key: [totals.id], partitions: whole(), inputs: {} },
    select: ({ db }) => db.select({ id: totals.id, code: totals.code }).from(totals),
    ...options,
  });
  return proofFaults(dataset);
}

describe("a schedule", () => {
  it.each([
    ["1s", 1_000],
    ["90 seconds", 90_000],
    ["30m", 1_800_000],
    ["1 minute", 60_000],
    ["1h", 3_600_000],
    ["1 hour", 3_600_000],
    ["12 hours", 43_200_000],
    ["1d", 86_400_000],
    ["7 days", 604_800_000],
  ])("of %s is %d ms", (every, ms) => {
    expect(everyMs(every)).toBe(ms);
    expect(faultsOf({ validate: { every } })).toEqual([]);
  });

  it.each(["", "hourly", "0s", "1.5h", "-1h", "1 h", "1hour", "1 fortnight", "60", "1h ", "9999999s"])(
    "of %j is refused",
    (every) => {
      expect(faultsOf({ validate: { every } })).toEqual([
        `validate: every is ${JSON.stringify(every)}; give a whole number and a unit, such as "1 hour" or "1h"`,
      ]);
    },
  );

  it("has no other option", () => {
    expect(faultsOf({ validate: { every: "1h", evry: "2h" } })).toEqual([
      'validate: unknown option "evry" (did you mean "every"?)',
    ]);
  });
});

describe("anomalies", () => {
  it.each([
    [{ columns: [other.id] }, "other.id is no owned column of public.totals"],
    [{ severity: "fatal" }, "severity is fatal; give error or warn"],
    [{ spreads: 0 }, "spreads is 0; give a number above 0"],
    [{ colums: [] }, 'unknown option "colums" (did you mean "columns"?)'],
  ])("%j are refused", (anomalies, sentence) => {
    expect(faultsOf({ anomalies })).toEqual([`anomalies: ${sentence}`]);
  });

  it("may be left to the defaults, named, or switched off", () => {
    for (const anomalies of [{}, { columns: [totals.code], severity: "error" }, false]) {
      expect(faultsOf({ anomalies })).toEqual([]);
    }
  });
});
