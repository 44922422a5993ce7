/** What must not compile: each `@ts-expect-error` fails the type check when the mistake under it is accepted. */
import { eq, sql } from "drizzle-orm";
import { date, integer, pgTable, serial, text, timestamp } from "drizzle-orm/pg-core";
import { describe, expectTypeOf, it } from "vitest";
import { derived, lookback, source } from "../../src/catalog/dataset.ts";
import { daily } from "../../src/catalog/scheme.ts";

const orders = pgTable("orders", {
  id: serial("id").primaryKey(),
  amountCents: integer("amount_cents").notNull(),
  refundCents: integer("refund_cents"),
  currency: text("currency", { enum: ["EUR", "USD"] }).notNull(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
});

const revenue = pgTable("revenue", {
  id: integer("id").generatedAlwaysAsIdentity(),
  day: date("day").notNull(),
  currency: text("currency").notNull(),
  cents: integer("cents").notNull(),
  remark: text("remark"),
  note: text("note").default("none"),
});

const trend = pgTable("trend", { day: date("day").notNull(), cents: integer("cents").notNull() });

const orderRows = source(orders, { partitions: daily(orders.createdAt) });

const common = {
  version: 1,
  key: [revenue.day, revenue.currency],
  partitions: daily(revenue.day),
  inputs: { orders: orderRows },
};

const dayOf = sql<string>`'2001-01-01'`;

const revenueByDay = derived(revenue, {
  ...common,
  select: ({ db, orders }) =>
    db
      .select({
        day: dayOf,
        currency: orders.currency,
        cents: sql<number>`sum(${orders.amountCents})::int`,
        remark: sql<string | null>`null`,
      })
      .from(orders)
      .where(eq(orders.currency, "EUR"))
      .groupBy(orders.currency),
});

describe("select", () => {
  it("types handles by what can be read", () => {
    derived(trend, {
      version: 1,
      key: [trend.day],
      partitions: daily(trend.day),
      inputs: { revenue: lookback(revenueByDay, 7), orders: orderRows },
      select: ({ db, revenue, orders }) => {
        expectTypeOf(revenue.cents._.data).toEqualTypeOf<number>();
        expectTypeOf(orders.id._.data).toEqualTypeOf<number>();
        // @ts-expect-error a column that is not owned cannot be read
        void revenue.note;
        return db.select({ day: revenue.day, cents: revenue.cents }).from(revenue);
      },
    });
  });

  it("takes raw SQL as it is", () => {
    derived(revenue, { ...common, select: ({ orders }) => sql`select ${orders.amountCents} from ${orders}` });
  });

  it("refuses a missing column", () => {
    derived(revenue, {
      ...common,
      // @ts-expect-error remark is missing
      select: ({ db, orders }) =>
        db.select({ day: dayOf, currency: orders.currency, cents: orders.amountCents }).from(orders),
    });
  });

  it("refuses a surplus column", () => {
    derived(revenue, {
      ...common,
      // @ts-expect-error id is an identity, which the transform does not own
      select: ({ db, orders }) =>
        db
          .select({ id: orders.id, day: dayOf, currency: orders.currency, cents: orders.amountCents, remark: dayOf })
          .from(orders),
    });
  });

  it("refuses a wrongly typed column", () => {
    derived(revenue, {
      ...common,
      // @ts-expect-error cents is a number
      select: ({ db, orders }) =>
        db.select({ day: dayOf, currency: orders.currency, cents: orders.currency, remark: dayOf }).from(orders),
    });
    derived(revenue, {
      ...common,
      // @ts-expect-error cents is not null
      select: ({ db, orders }) =>
        db.select({ day: dayOf, currency: orders.currency, cents: orders.refundCents, remark: dayOf }).from(orders),
    });
    derived(revenue, {
      ...common,
      // @ts-expect-error an expression without a type
      select: ({ db, orders }) =>
        db.select({ day: dayOf, currency: orders.currency, cents: sql`1`, remark: dayOf }).from(orders),
    });
  });

  it("refuses what is no query", () => {
    // @ts-expect-error a text is no query
    derived(revenue, { ...common, select: () => "select 1" });
    // @ts-expect-error there is no such handle
    derived(revenue, { ...common, select: ({ db, order }) => db.select().from(order) });
  });
});

describe("map", () => {
  it("infers the row from read and checks the result", () => {
    derived(revenue, {
      ...common,
      read: ({ db, orders }) =>
        db.select({ at: orders.createdAt, refund: orders.refundCents, n: sql<number>`1` }).from(orders),
      map: (row, context) => {
        expectTypeOf(row).toEqualTypeOf<{ at: Date; refund: number | null; n: number }>();
        expectTypeOf(context.partition).toEqualTypeOf<string>();
        return row.refund === null ? null : { day: "2001-01-01", currency: "EUR", cents: row.refund, remark: null };
      },
    });
  });

  it("takes several rows, and none", () => {
    derived(revenue, {
      ...common,
      read: ({ db, orders }) => db.select().from(orders),
      map: (row) =>
        [1, 2].map((times) => ({
          day: "2001-01-01",
          currency: row.currency,
          cents: row.amountCents * times,
          remark: null,
        })),
    });
    derived(revenue, { ...common, read: ({ db, orders }) => db.select().from(orders), map: () => null });
  });

  it("refuses a missing column", () => {
    derived(revenue, {
      ...common,
      read: ({ db, orders }) => db.select().from(orders),
      // @ts-expect-error remark is missing
      map: () => ({ day: "2001-01-01", currency: "EUR", cents: 1 }),
    });
  });

  it("refuses a surplus column", () => {
    derived(revenue, {
      ...common,
      read: ({ db, orders }) => db.select().from(orders),
      // @ts-expect-error note has a default, so the transform does not own it
      map: () => ({ day: "2001-01-01", currency: "EUR", cents: 1, remark: null, note: "x" }),
    });
    derived(revenue, {
      ...common,
      read: ({ db, orders }) => db.select().from(orders),
      // @ts-expect-error the same in an array
      map: () => [{ day: "2001-01-01", currency: "EUR", cents: 1, remark: null, note: "x" }],
    });
  });

  it("refuses a wrongly typed column", () => {
    derived(revenue, {
      ...common,
      read: ({ db, orders }) => db.select().from(orders),
      // @ts-expect-error cents is a number
      map: () => ({ day: "2001-01-01", currency: "EUR", cents: "1", remark: null }),
    });
    derived(revenue, {
      ...common,
      read: ({ db, orders }) => db.select().from(orders),
      // @ts-expect-error a map is synchronous
      map: async () => ({ day: "2001-01-01", currency: "EUR", cents: 1, remark: null }),
    });
  });

  it("needs read", () => {
    // @ts-expect-error map without read
    derived(revenue, { ...common, map: () => null });
  });
});

describe("options", () => {
  const select = () => sql`select 1`;

  it("refuses an unknown one", () => {
    // @ts-expect-error a slip of the pen
    derived(revenue, { ...common, select, descripton: "x" });
    // @ts-expect-error a source has no version
    source(orders, { partitions: daily(orders.createdAt), key: [orders.id], version: 1 });
  });

  it("refuses columns of another table", () => {
    // @ts-expect-error a key column of another table
    derived(revenue, { ...common, key: [orders.currency], select });
    // @ts-expect-error a key column of another table
    source(orders, { key: [revenue.day] });
    // @ts-expect-error a partition column of another table
    derived(revenue, { ...common, partitions: daily(orders.createdAt), select });
    // @ts-expect-error an owned column of another table
    derived(revenue, { ...common, owned: [revenue.day, orders.id], select });
  });

  it("narrows what the transform gives by owned", () => {
    const owned = [revenue.day, revenue.currency, revenue.note];
    derived(revenue, {
      ...common,
      owned,
      select: ({ db, orders }) =>
        db.select({ day: dayOf, currency: orders.currency, note: orders.currency }).from(orders),
    });
    derived(revenue, {
      ...common,
      owned,
      // @ts-expect-error cents is not owned here
      select: ({ db, orders }) =>
        db.select({ day: dayOf, currency: orders.currency, note: dayOf, cents: orders.amountCents }).from(orders),
    });
  });
});
