import { sql } from "drizzle-orm";
import { date, integer, pgSchema, pgTable, text } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { type CatalogOptions, defineCatalog } from "../../src/catalog/catalog.ts";
import { check } from "../../src/catalog/check.ts";
import { all, custom, type Derived, derived, exposure, lookback, source } from "../../src/catalog/dataset.ts";
import { daily, hash, hourly, list, monthly, range } from "../../src/catalog/scheme.ts";
import { isRederiveError } from "../../src/errors.ts";
import { eventRows, events, totals, totalsByDay } from "./support.ts";

const months = pgTable("months", { month: date("month").notNull(), cents: integer("cents").notNull() });
const hours = pgTable("hours", { day: date("day").notNull(), cents: integer("cents").notNull() });

const byMonth = derived(months, {
  version: 1,
  key: [months.month],
  partitions: monthly(months.month),
  inputs: { totals: totalsByDay },
  select: ({ db, totals }) => db.select({ month: totals.day, cents: totals.cents }).from(totals),
});

const board = exposure("board", { reads: [byMonth], criticality: "high" });

const select = () => sql`select 1`;
const common = { version: 1, key: [totals.day], partitions: daily(totals.day), inputs: { events: eventRows }, select };

function faultsOf(options: CatalogOptions): readonly string[] {
  try {
    defineCatalog(options);
  } catch (error) {
    if (!isRederiveError(error) || error.code !== "catalog_invalid") throw error;
    const faults = error.details["faults"] as readonly string[];
    expect(error.message.split("\n").slice(1)).toEqual(faults.map((fault) => `  ${fault}`));
    return faults;
  }
  return [];
}

/** Faults of one derived dataset over the events, written as JavaScript would let one write it. */
function faultsWith(options: object): readonly string[] {
  return faultsOf({ datasets: [eventRows, derived(totals, { ...common, ...options } as never)] });
}

describe("a valid catalog", () => {
  const catalog = defineCatalog({ datasets: [byMonth, totalsByDay, eventRows], exposures: [board] });

  it("puts inputs before what reads them", () => {
    expect(catalog.order).toEqual(["events", "totals", "months"]);
    expect([...catalog.datasets.keys()]).toEqual(catalog.order);
  });

  it("knows what is downstream and how critical it is", () => {
    expect(catalog.downstream("events")).toEqual(["totals", "months"]);
    expect(catalog.downstream("months")).toEqual([]);
    expect(catalog.criticalityOf("events")).toBe(3);
    expect(defineCatalog({ datasets: [eventRows] }).criticalityOf("events")).toBe(0);
    expect(() => catalog.downstream("nothing")).toThrow(/no dataset "nothing"/);
  });

  it("is frozen, as are the definitions", () => {
    for (const value of [
      catalog,
      catalog.order,
      catalog.exposures,
      catalog.resources,
      totalsByDay,
      totalsByDay.inputs,
    ]) {
      expect(Object.isFrozen(value)).toBe(true);
    }
    for (const value of [
      totalsByDay.owned,
      totalsByDay.transform,
      totalsByDay.partitions,
      board,
      eventRows,
      totalsByDay.inputs[0],
    ]) {
      expect(Object.isFrozen(value)).toBe(true);
    }
  });

  it("can be made of a module's exports", () => {
    const module = {
      eventRows,
      totalsByDay,
      byMonth,
      again: byMonth,
      board,
      threshold: 7,
      helper: () => 1,
      nothing: null,
    };
    const { order, exposures } = defineCatalog({ datasets: module });
    expect(order).toEqual(["events", "totals", "months"]);
    expect(exposures).toEqual([board]);
  });

  it("owns the columns that Postgres does not fill", () => {
    expect(totalsByDay.owned.map((column) => column.name)).toEqual(["day", "code", "cents"]);
    expect(totalsByDay).toMatchObject({
      attempts: 5,
      timeoutMs: 600_000,
      inputs: [{ name: "events", mapping: { kind: "same" } }],
    });
    expect(byMonth.inputs[0]?.mapping).toEqual({ kind: "rollup" });
  });

  it("names a dataset by its table, with a schema outside of public", () => {
    const elsewhere = pgSchema("sales").table("orders", { id: integer("id") });
    expect(source(elsewhere).name).toBe("sales.orders");
    expect(source(elsewhere, { name: "orders" }).name).toBe("orders");
  });

  it("accepts limits, resources, explicit mappings and every check", () => {
    const options = {
      limits: { rate: { max: 50, per: 1000 }, concurrency: 4 },
      inputs: {
        events: eventRows,
        all: all(eventRows),
        week: lookback(eventRows, 7),
        own: custom(eventRows, { name: "own", upstream: (o) => [[o, o + 1]], downstream: (o) => [[o, o + 1]] }),
      },
      checks: [
        check.unique(totals.day, totals.code),
        check.notNull(totals.day),
        check.accepted(totals.code, ["a", "b"]),
        check.warn(check.range(totals.cents, { min: 0 })),
        check.rowCount({ max: 1000 }),
        check.conserves(totals.cents, { input: "events", column: events.id }),
        check.sql("positive", sql`${totals.cents} > ${0}`, { severity: "warn" }),
        check.query("none", "select * from candidate where false"),
      ],
    };
    expect(faultsWith(options)).toEqual([]);
    const resources = { api: { rate: { max: 1, per: 1000 } } };
    const limited = derived(totals, { ...common, resource: "api" });
    expect(faultsOf({ datasets: [eventRows, limited], resources })).toEqual([]);
  });
});

describe("checks", () => {
  it("are plain values with names of their own", () => {
    expect(check.unique(totals.day, totals.code)).toMatchObject({ name: "unique(day, code)", severity: "error" });
    expect(check.conserves(totals.cents, { input: "events", column: events.id })).toMatchObject({
      name: "conserves(cents, events.id)",
      tolerance: 0,
    });
    expect(check.sql("positive", sql`${totals.cents} > ${-1}`)).toMatchObject({ expression: `"cents" > (-1)` });
    expect(check.warn(check.rowCount({ min: 1 }))).toMatchObject({ severity: "warn", min: 1 });
  });
});

describe("faults", () => {
  it.each<[string, object, string]>([
    ["option", { desciption: "x" }, 'totals: unknown option "desciption" (did you mean "description"?)'],
    ["key missing", { key: undefined }, "totals: key is missing; name the columns that identify a row"],
    ["key not owned", { key: [totals.note] }, "totals: the key column note is not owned; the transform must give it"],
    ["key of another table", { key: [events.code] }, "totals: the key column events.code is not in public.totals"],
    ["key twice", { key: [totals.day, totals.day] }, "totals: the key column day is listed twice"],
    [
      "owned of another table",
      { owned: [totals.day, events.id] },
      "totals: the owned column events.id is not in public.totals",
    ],
    [
      "partition column elsewhere",
      { partitions: daily(events.at) },
      "totals: the partition column events.at is not in public.totals",
    ],
    [
      "partition column not owned",
      { partitions: hash(totals.note, 4), inputs: {} },
      "totals: the partition column note is not owned; the transform must give it",
    ],
    ["version", { version: 1.5 }, "totals: version is 1.5; give a positive whole number"],
    ["attempts", { attempts: 0 }, "totals: attempts is 0; give a positive whole number"],
    ["timeout", { timeoutMs: -1 }, "totals: timeoutMs is -1; give a positive whole number"],
    [
      "zone",
      { partitions: daily(totals.day, { timeZone: "Mars/Olympus" }) },
      'totals: partitions: unknown time zone "Mars/Olympus"; give',
    ],
    ["hours of a date", { partitions: hourly(totals.day) }, "totals: partitions: day is a date, which has no hours"],
    ["width", { partitions: range(totals.cents, -5) }, "totals: partitions: width is -5"],
    ["buckets", { partitions: hash(totals.code, 0) }, "totals: partitions: buckets is 0"],
    ["list", { partitions: list(totals.code, ["a", "a"]) }, 'totals: partitions: value "a" is listed twice'],
    ["name", { name: "Daily Totals" }, "Daily Totals: a name is 1 to 40 characters of a-z, 0-9, _ and dot"],
    [
      "mapping",
      { partitions: hash(totals.code, 4) },
      "totals: input events: hash(code, 4) cannot be mapped to daily(at, UTC); cut both the same way",
    ],
    ["lookback", { inputs: { events: lookback(eventRows, 0) } }, "totals: input events: lookback over 0 partitions"],
    ["handle", { inputs: { db: eventRows } }, "totals: input db: this handle is reserved"],
    ["input", { inputs: { events: events } }, "totals: input events is no dataset"],
    ["limits", { limits: { rate: { max: 0, per: 1000 } } }, "totals: limits: rate is 0 per 1000 ms"],
    ["no limits", { limits: {} }, "totals: limits: nothing is limited"],
    [
      "limits option",
      { limits: { concurency: 1 } },
      'totals: limits: unknown option "concurency" (did you mean "concurrency"?)',
    ],
    ["resource", { resource: "api" }, 'totals: unknown resource "api"; declare it under resources'],
    [
      "check column",
      { checks: [check.notNull(totals.note)] },
      "totals: check notNull(note): totals.note is no owned column",
    ],
    [
      "check twice",
      { checks: [check.rowCount({ min: 1 }), check.rowCount({ max: 9 })] },
      "totals: check rowCount: defined twice",
    ],
    ["check bounds", { checks: [check.rowCount({})] }, "totals: check rowCount: has no bound"],
    [
      "check input",
      { checks: [check.conserves(totals.cents, { input: "event", column: events.id })] },
      'totals: check conserves(cents, event.id): unknown input "event" (did you mean "events"?)',
    ],
    ["transform", { select: () => 1 }, "totals: select returned number"],
  ])("%s", (_, options, fault) => {
    expect(faultsWith(options)).toEqual(expect.arrayContaining([expect.stringContaining(fault)]));
  });

  it("names the path of a cycle", () => {
    const a = { ...totalsByDay, name: "a" };
    const b = { ...byMonth, name: "b", inputs: [{ name: "a", dataset: a, mapping: { kind: "all" } }] } as Derived;
    Object.assign(a, { inputs: [{ name: "b", dataset: b, mapping: { kind: "all" } }] });
    expect(faultsOf({ datasets: [a, b] })).toEqual(["cycle: a -> b -> a; a dataset cannot be computed from itself"]);
  });

  it("finds inputs that are not in the catalog", () => {
    expect(faultsOf({ datasets: [totalsByDay] })).toEqual([
      "totals: input events: events is not in the catalog; add it to datasets",
    ]);
    expect(faultsOf({ datasets: [source(events, { name: "events" }), totalsByDay] })[0]).toMatch(
      /another definition than the one/,
    );
  });

  it("finds names and tables that are used twice", () => {
    const again = derived(totals, { ...common, name: "again" });
    expect(faultsOf({ datasets: [eventRows, totalsByDay, again] })).toEqual([
      "public.totals: two derived datasets write this table; use one",
    ]);
    const other = derived(hours, { ...common, key: [hours.day], partitions: daily(hours.day), name: "totals" });
    expect(faultsOf({ datasets: [eventRows, totalsByDay, other] })).toEqual([
      "totals: two datasets have this name; set the option name of one",
    ]);
    expect(faultsOf({ datasets: [source(events, { name: "a.b" }), source(hours, { name: "a_b" })] })[0]).toMatch(
      /dots and underscores/,
    );
    expect(faultsOf({ datasets: [eventRows, totalsByDay, source(totals, { name: "live" })] })[0]).toMatch(
      /both a source and a derived/,
    );
  });

  it("finds what is wrong with exposures, resources and the catalog itself", () => {
    const options = {
      datasets: [eventRows, 7],
      exposures: [board, exposure("empty", { reads: [], criticality: "urgent", levl: 1 } as never)],
      resources: { "My API": { concurrency: 0 } },
      resource: 1,
    };
    expect(faultsOf(options as never)).toEqual([
      'unknown option "resource" (did you mean "resources"?)',
      "datasets[1] is no dataset; give a source(...) or derived(...)",
      "exposure board: reads months is not in the catalog; add it to datasets",
      'exposure empty: unknown option "levl"',
      "exposure empty: reads nothing; name the datasets that it shows",
      "exposure empty: criticality is urgent; give low, medium, high, critical",
      "resource My API: concurrency is 0; give a positive whole number",
      "resource My API: a name is 1 to 40 characters of a-z, 0-9, _ and -",
    ]);
  });

  it("are told all at once", () => {
    const faults = faultsWith({ version: 0, key: [], partitions: daily(totals.day, { timeZone: "Nowhere" }) });
    expect(faults.length).toBeGreaterThanOrEqual(3);
  });

  it("refuse a text column for what needs a time", () => {
    const texts = pgTable("texts", { day: text("day").notNull() });
    expect(faultsOf({ datasets: [source(texts, { partitions: daily(texts.day) })] })).toEqual([
      "texts: partitions: day is text; daily needs a timestamptz, timestamp or date column",
    ]);
  });
});
