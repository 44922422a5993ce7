/** Columns that are dropped, renamed or narrowed: whoever reads one stops the plan, by name. */
import { sql } from "drizzle-orm";
import { date, integer, numeric, pgTable, smallint, text, timestamp } from "drizzle-orm/pg-core";
import { daily, defineCatalog, derived, exposure, isRederiveError, type Rederive, source } from "rederive";
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { PreflightFinding } from "../../src/report.ts";
import { facts, orders, revenue, shop, withShop } from "./shop.ts";

/** What stops a plan of all that changed; none where nothing does. */
async function stopsOf(rederive: Rederive): Promise<PreflightFinding[]> {
  try {
    await rederive.as(tester).preview({ reason: "test" });
    return [];
  } catch (error) {
    if (!isRederiveError(error)) throw error;
    expect([error.code, error.message]).toEqual(["plan_refused", expect.anything()]);
    return (error.details["findings"] ?? error.message) as PreflightFinding[];
  }
}

/** One catalog over tables that a test may give otherwise. */
interface Tables {
  readonly facts?: typeof facts;
  readonly orders?: typeof orders;
  readonly columns?: readonly string[];
}

function dashboards(tables: Tables = {}): Catalog {
  const o = tables.orders ?? orders;
  const f = tables.facts ?? facts;
  const orderSource = source(o, { partitions: daily(o.at) });
  const factsOf = derived(f, {
    version: 1,
    key: [f.id],
    partitions: daily(f.day),
    inputs: { orders: orderSource },
    select: ({ orders: handle }) => sql`select id, (at at time zone 'UTC')::date as day, currency,
      ${sql.raw("amount" in f ? "amount, " : "")} amount > 14 as big from ${handle}`,
  });
  const revenueOf = derived(revenue, {
    version: 1,
    key: [revenue.day, revenue.currency],
    partitions: daily(revenue.day),
    inputs: { facts: factsOf },
    select: ({ facts: handle }) =>
      sql`select day, currency, count(*)::int as orders, sum(amount) as amount from ${handle} group by 1, 2`,
  });
  const board = exposure("board", {
    reads: [factsOf, revenueOf],
    criticality: "high",
    ...(tables.columns === undefined ? {} : { columns: tables.columns }),
  });
  return defineCatalog({ datasets: [orderSource, factsOf, revenueOf], exposures: [board] });
}

describe("a column of a table", () => {
  it("that was dropped stops who reads it, and nobody else; that nobody reads is told of its own dataset", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("alter table orders drop column amount");
      expect(await stopsOf(rederive)).toEqual([
        {
          code: "incompatible_schema",
          severity: "stop",
          dataset: "orders",
          reader: "facts",
          column: "amount",
          what: 'facts reads column amount of orders, which "public"."orders" does not have',
          seen: 'amount numeric in the catalog, nothing in "public"."orders"',
          mitigation:
            "let facts do without it and take it out of the drizzle table, or: " +
            'alter table "public"."orders" add column amount numeric',
        },
      ]);
      await stage.database.query("alter table orders add column amount numeric");
      expect(await stopsOf(rederive)).toEqual([]);
      await stage.database.query("alter table facts drop column big");
      const [stop, ...others] = await stopsOf(rederive);
      expect(others).toEqual([]);
      expect(stop).toMatchObject({ dataset: "facts", column: "big", what: expect.stringMatching(/^the catalog has/) });
      expect(stop).not.toHaveProperty("reader");
    }));

  it("that was renamed is known by its number once a run has started, and guessed before", () =>
    withShop(async (stage) => {
      const fresh = await stage.open(shop());
      await stage.database.query("alter table orders rename column amount to total");
      const [guess] = await stopsOf(fresh);
      expect(guess?.what).toMatch(/does not have \(it may be called total there\)$/);
      await stage.database.query("alter table orders rename column total to amount");
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("alter table orders rename column amount to total");
      expect(await stopsOf(rederive)).toMatchObject([
        {
          reader: "facts",
          what: 'facts reads column amount of orders, which was renamed to total in "public"."orders"',
          mitigation: 'let facts read total, or: alter table "public"."orders" rename column total to amount',
        },
      ]);
    }));

  it("that holds less than before stops its readers until the catalog says the same, and is drift then", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("alter table orders alter column id type smallint");
      expect(await stopsOf(rederive)).toMatchObject([
        {
          reader: "facts",
          column: "id",
          what: 'facts reads column id of orders, which holds less in "public"."orders" now: smallint, and not integer',
        },
      ]);
      const narrow = pgTable("orders", {
        id: smallint("id").primaryKey(),
        at: timestamp("at", { withTimezone: true, mode: "string" }).notNull(),
        currency: text("currency").notNull(),
        amount: numeric("amount"),
      });
      const aware = await stage.open(dashboards({ orders: narrow as unknown as typeof orders }));
      const plan = await aware.as(tester).preview({ datasets: ["facts"], reason: "test" });
      expect(plan.forecast.preflight?.findings).toMatchObject([
        { code: "schema_drift", severity: "warn", dataset: "orders", seen: "id was integer and is smallint" },
      ]);
    }));

  it("that became another type stops the transform that Postgres cannot analyse any more", () =>
    withShop(async (stage) => {
      const rederive = await stage.open(shop());
      await stage.database.query("alter table facts alter column amount type text");
      expect(await stopsOf(rederive)).toMatchObject([
        {
          dataset: "facts",
          reader: "revenue",
          column: "amount",
          seen: 'amount text in "public"."facts", and not numeric',
        },
      ]);
    }));

  it("that came in does not stop anything, and is drift until the next start", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("alter table orders add column note text");
      const request = { datasets: ["facts"], partitions: ["2026-01-05"], reason: "test" };
      const drift = [{ code: "schema_drift", dataset: "orders", seen: "note text was added" }];
      const backfill = await rederive.as(tester).plan(request);
      expect(backfill.plan.forecast.preflight?.findings).toMatchObject(drift);
      expect(await backfill.preflight()).toMatchObject({ stopped: false, findings: drift });
      await backfill.start();
      await backfill.cancel({ reason: "test" });
      const next = await rederive.as(tester).preview(request);
      expect(next.forecast.preflight?.findings).toEqual([]);
    }));
});

describe("a column of the catalog", () => {
  const withoutAmount = pgTable("facts", {
    id: integer("id").primaryKey(),
    day: date("day").notNull(),
    currency: text("currency").notNull(),
    big: integer("big"),
  });

  it("that was taken out stops the raw statement that reads it", () =>
    withShop(async (stage) => {
      const planned = await (await stage.open(shop())).as(tester).plan({ datasets: ["facts"], reason: "test" });
      const rederive = await stage.open(dashboards({ facts: withoutAmount as unknown as typeof facts }));
      const stops = await stopsOf(rederive);
      expect(stops).toMatchObject([
        {
          dataset: "facts",
          reader: "revenue",
          column: "amount",
          what: "revenue reads column amount of facts, which the catalog does not have any more",
          mitigation: "let revenue read something else, or keep amount in the drizzle table until it does",
        },
      ]);
      const again = await (await rederive.as(tester).backfill(planned.id)).preflight();
      expect(again).toMatchObject({ stopped: true, findings: stops });
    }));

  it("that holds less than its table stops its readers", () =>
    withShop(async (stage) => {
      const small = pgTable("facts", {
        id: integer("id").primaryKey(),
        day: date("day").notNull(),
        currency: text("currency").notNull(),
        amount: numeric("amount", { precision: 4, scale: 0 }),
        big: integer("big"),
      });
      const [stop] = await stopsOf(await stage.open(dashboards({ facts: small as unknown as typeof facts })));
      expect(stop).toMatchObject({
        reader: "revenue",
        what: "revenue reads column amount of facts, which holds less in the catalog now: numeric(4,0), and not numeric",
      });
    }));
});

describe("the contract of an exposure", () => {
  it("stops a plan where a column is gone or narrower; what is not in it is not looked at", () =>
    withShop(async (stage) => {
      const kept = ["revenue.amount numeric", "facts.id bigint", "facts.colour", "facts.day"];
      const stops = await stopsOf(await stage.open(dashboards({ columns: kept })));
      expect(stops.map(({ reader, column, what }) => [reader, column, what])).toEqual([
        [
          "board",
          "id",
          'the exposure board reads column id of facts, which holds less in "public"."facts" now: integer, and not bigint',
        ],
        ["board", "colour", 'the exposure board reads column colour of facts, which "public"."facts" does not have'],
      ]);
    }));

  it("names what it reads", () => {
    expect(() => dashboards({ columns: ["orders.id", "amount"] })).toThrow(
      /exposure board: columns has "orders.id", which is no column of what it reads.*\n.*columns has "amount"/,
    );
  });
});

describe("a plan that was made before a table changed", () => {
  it("does not start, and its preflight says why", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const backfill = await rederive.as(tester).plan({ datasets: ["facts"], reason: "test" });
      await stage.database.query("alter table orders drop column amount");
      expect(await backfill.preflight()).toMatchObject({
        backfill: backfill.id,
        stopped: true,
        findings: [{ code: "incompatible_schema", reader: "facts", column: "amount" }],
      });
      await expect(backfill.start()).rejects.toThrow(/facts reads column amount of orders/);
    }));
});
