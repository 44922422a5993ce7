/** What is wrong with checks, rules, masks and assumptions is told with the value seen and what to write instead. */
import { sql } from "drizzle-orm";
import { date, integer, pgTable, text } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { assume } from "../../src/catalog/assumption.ts";
import { defineCatalog } from "../../src/catalog/catalog.ts";
import { type Check, check } from "../../src/catalog/check.ts";
import { derived, source } from "../../src/catalog/dataset.ts";
import { rule } from "../../src/catalog/rule.ts";
import { daily } from "../../src/catalog/scheme.ts";
import { eventRows, events, totals } from "./support.ts";

const other = pgTable("other", { id: integer("id"), name: text("name"), day: date("day") });

/** The faults of a catalog whose only derived dataset has this check. */
function faultsOf(given: Check): string[] {
  return faultsIn({ checks: [given] });
}

function faultsIn(options: Partial<Parameters<typeof derived>[1]>): string[] {
  const dataset = derived(totals, {
    version: 1,
    key: [totals.day, totals.code],
    partitions: daily(totals.day),
    inputs: { events: eventRows },
    select: () => sql`select 1`,
    ...options,
  } as Parameters<typeof derived>[1]);
  try {
    defineCatalog({ datasets: [eventRows, dataset] });
    return [];
  } catch (error) {
    return (error as { details: { faults: string[] } }).details.faults;
  }
}

/** As from JavaScript. */
const untyped = <Value>(value: unknown) => value as Value;

const faulty: readonly (readonly [Check, string])[] = [
  [
    check.conserves(totals.cents, { input: "event", column: events.id }),
    'unknown input "event" (did you mean "events"?)',
  ],
  [
    check.conserves(totals.cents, { input: "events", column: totals.cents }),
    "totals.cents cannot be read through events",
  ],
  [check.conservesCount({ input: "events", tolerance: -1 }), "tolerance is -1; give 0 or more"],
  [check.foreignKey([totals.day, totals.code], { references: other.id }), "has 2 columns and 1 references"],
  [check.foreignKey([], { references: [] }), "names no column"],
  [check.foreignKey([totals.day, totals.code], { references: [other.day, events.code] }), "columns of several tables"],
  [
    check.foreignKey(totals.code, { references: totals.code }),
    "public.totals is the derived dataset totals; read it through",
  ],
  [
    check.foreignKey(totals.code, { references: other.name, input: "events" }),
    "other.name cannot be read through events",
  ],
  [check.foreignKey(other.name, { references: events.code }), "other.name is no owned column of public.totals"],
  [
    check.cardinality(totals.code, { is: untyped("oneToNone"), input: "events", references: events.code }),
    'is is oneToNone (did you mean "oneToOne"?); give oneToOne, oneToMany, manyToOne',
  ],
  [check.monotonic(totals.cents, { by: totals.day, direction: untyped("up") }), "direction is up; give increasing"],
  [check.monotonic(totals.cents, { by: other.day }), "other.day is no owned column"],
  [check.freshness(totals.day, { maxAge: "two days" }), 'maxAge is "two days"; write a number and a unit'],
  [check.freshness(totals.day, { maxAge: "2 days", input: "events" }), "has one of input and column; give both"],
  [rule.currency(totals.code, { unit: untyped("cents") }), "unit is cents; give major, minor"],
  [rule.currency(totals.code, { also: { Dm: 2 } }), "also has Dm: 2; give codes of three capitals"],
  [
    rule.unmixed(totals.cents, {
      input: "events",
      column: events.id,
      inputCode: events.code,
      code: totals.code,
      by: events.day,
    }),
    "has both code and by",
  ],
  [
    rule.timeZone(totals.day, { instant: totals.day, timeZone: "Europe/Bratislawa" }),
    'unknown time zone "Europe/Bratislawa"',
  ],
  [
    rule.completeDays(totals.day, { timeZone: "Europe/Bratislava" }),
    "the partitions are days of UTC and not of Europe/Bratislava",
  ],
  [rule.category(totals.code, { mapping: {} }), "maps nothing; name at least one category"],
  [rule.category(totals.code, { mapping: { from: other.name, to: events.code } }), "columns of several tables"],
  [rule.unit(totals.cents, untyped("percentage")), 'unit is percentage (did you mean "percent"?); give percent'],
  [rule.conversion(totals.cents, { of: totals.cents, factor: 0 }), "factor is 0; give a number"],
];

describe("faults of checks", () => {
  it.each(faulty.map(([given, sentence]) => ({ given, sentence })))("$sentence", ({ given, sentence }) => {
    expect(faultsOf(given)).toEqual([expect.stringContaining(sentence)]);
  });

  it("are not told of what is right", () => {
    expect(
      faultsIn({
        checks: [
          check.foreignKey(totals.code, { references: other.name }),
          check.cardinality(totals.code, { is: "manyToOne", input: "events", references: events.code }),
          check.freshness(totals.day, { maxAge: "1 hour", input: "events", column: events.at }),
          rule.completeDays(totals.day, { timeZone: "UTC" }),
          rule.unit(totals.cents, "quantity"),
        ],
        mask: [totals.code],
        assumptions: [assume("codes are short", sql`select 1 from ${events} where length(${events.code}) > 9`)],
      }),
    ).toEqual([]);
  });

  it("masks and assumptions are looked at too", () => {
    expect(faultsIn({ mask: [untyped(other.name)] })).toEqual([
      "totals: mask: other.name is no owned column of public.totals",
    ]);
    const twice = assume("codes are short", "select 1");
    expect(faultsIn({ assumptions: [twice, twice, assume(" ", "select 1"), assume("nothing", " ")] })).toEqual([
      'totals: assumption "codes are short": made twice; leave one out',
      "totals: an assumption has no description; say what is taken for granted",
      'totals: assumption "nothing": has no query; give one whose rows break it',
    ]);
    const spoiled = source(events, { assumptions: [untyped("orders are final")] });
    expect(() => defineCatalog({ datasets: [spoiled] })).toThrow("assumptions holds something else; list assume(...)");
  });
});
