/** A small shop over sixty days: orders, one fact an order, and revenue a day; and an instance over a database of its own. */
import { sql } from "drizzle-orm";
import { boolean, date, integer, numeric, pgTable, primaryKey, text, timestamp } from "drizzle-orm/pg-core";
import {
  type Config,
  createRederive,
  type Derived,
  daily,
  defineCatalog,
  derived,
  type Rederive,
  source,
} from "rederive";
import { runToEnd, tester, withTestDatabase } from "rederive/testing";
import { inject } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Source } from "../../src/catalog/dataset.ts";
import type { Status } from "../../src/report.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";

export const orders = pgTable("orders", {
  id: integer("id").primaryKey(),
  at: timestamp("at", { withTimezone: true, mode: "string" }).notNull(),
  currency: text("currency").notNull(),
  amount: numeric("amount"),
});
export const facts = pgTable("facts", {
  id: integer("id").primaryKey(),
  day: date("day").notNull(),
  currency: text("currency").notNull(),
  amount: numeric("amount"),
  big: boolean("big"),
});
export const revenue = pgTable(
  "revenue",
  {
    day: date("day").notNull(),
    currency: text("currency").notNull(),
    orders: integer("orders").notNull(),
    amount: numeric("amount"),
  },
  (table) => [primaryKey({ columns: [table.day, table.currency] })],
);

const statements = [
  `create table public.orders (id int primary key, at timestamptz not null, currency text not null, amount numeric)`,
  `create index on orders (at)`,
  `create table public.facts (id int primary key, day date not null, currency text not null, amount numeric, big boolean)`,
  `create index on facts (day)`,
  `create table public.revenue (day date not null, currency text not null, orders int not null, amount numeric, primary key (day, currency))`,
  // Twenty orders a day, three of five in euros.
  `insert into orders select i, timestamptz '2026-01-01Z' + i / 20 * interval '1 day' + i % 20 * interval '1 hour',
     case when i % 5 < 3 then 'EUR' else 'USD' end, 10 + i % 7 from generate_series(0, 1199) i`,
];

type Extra = Partial<Pick<Derived, "anomalies" | "validate" | "mask" | "functions">> & {
  readonly checks?: Parameters<typeof derived>[1]["checks"];
};

export interface Shape {
  /** SQL of the fact's amount. */
  readonly amount?: string;
  readonly version?: number;
  readonly orders?: Partial<Pick<Source, "assumptions">>;
  readonly facts?: Extra;
  readonly revenue?: Extra;
  /** Left out of the catalog. */
  readonly without?: "revenue";
}

export function shop(shape: Shape = {}): Catalog {
  const orderSource = source(orders, { partitions: daily(orders.at), ...shape.orders });
  const factsOf = derived(facts, {
    version: shape.version ?? 1,
    key: [facts.id],
    partitions: daily(facts.day),
    inputs: { orders: orderSource },
    select: ({ orders: o }) => sql`select id, (at at time zone 'UTC')::date as day, currency,
      ${sql.raw(shape.amount ?? "amount")} as amount, amount > 14 as big from ${o}`,
    ...(shape.facts as object),
  });
  const revenueOf = derived(revenue, {
    version: 1,
    key: [revenue.day, revenue.currency],
    partitions: daily(revenue.day),
    inputs: { facts: factsOf },
    select: ({ facts: f }) =>
      sql`select day, currency, count(*)::int as orders, sum(amount) as amount from ${f} group by 1, 2`,
    ...(shape.revenue as object),
  });
  const all = shape.without === "revenue" ? [orderSource, factsOf] : [orderSource, factsOf, revenueOf];
  return defineCatalog({ datasets: all });
}

export interface Stage {
  readonly url: string;
  readonly database: Database;
  open(catalog: Catalog, more?: Partial<Config>): Promise<Rederive>;
  /** Computes and promotes everything. */
  bootstrap(catalog: Catalog): Promise<Rederive>;
}

export async function withShop(callback: (stage: Stage) => Promise<void>): Promise<void> {
  await withTestDatabase(inject("databaseUrl"), async (url) => {
    const database = openDatabase(url, { max: 2 });
    const opened: Rederive[] = [];
    const open = async (catalog: Catalog, more: Partial<Config> = {}): Promise<Rederive> => {
      const rederive = await createRederive({ catalog, databaseUrl: url, environment: "test", ...more });
      opened.push(rederive);
      return rederive;
    };
    try {
      for (const statement of statements) await database.query(statement);
      await callback({
        url,
        database,
        open,
        bootstrap: async (catalog) => {
          const rederive = await open(catalog);
          const { status, backfill } = await recompute(rederive);
          if (status.state !== "verified") throw new Error(JSON.stringify(status));
          await backfill.promote({ reason: "first" });
          return rederive;
        },
      });
    } finally {
      for (const rederive of opened) await rederive.close();
      await database.close();
    }
  });
}

/** Plans (what changed, or these days of a dataset) and runs to the end. */
export async function recompute(rederive: Rederive, dataset?: string, days?: readonly string[]) {
  const acting = rederive.as(tester);
  const asked = dataset === undefined ? {} : { datasets: [dataset], ...(days && { partitions: days }) };
  const backfill = await acting.plan({ ...asked, reason: "test" });
  const status: Status = await runToEnd(rederive, backfill, { workers: 4 });
  return { backfill, status };
}
