/** What rederive computes in the bench: the same statements and the same function as the rivals. */
import { sql } from "drizzle-orm";
import { bigint, date, index, integer, pgTable, primaryKey, smallint, text, timestamp } from "drizzle-orm/pg-core";
import { daily, defineCatalog, derived, hourly, range, source } from "rederive";
import { toFact } from "./fact.ts";

const orders = pgTable(
  "orders",
  {
    id: bigint({ mode: "number" }).notNull(),
    createdAt: timestamp("created_at", { withTimezone: true, mode: "string" }).notNull(),
    customerId: integer("customer_id").notNull(),
    amountCents: integer("amount_cents").notNull(),
    currency: text().notNull(),
  },
  (table) => [index("orders_created_at").on(table.createdAt)],
);

const dailyRevenue = pgTable(
  "daily_revenue",
  {
    day: date({ mode: "string" }).notNull(),
    currency: text().notNull(),
    orders: integer().notNull(),
    cents: bigint({ mode: "number" }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.currency] })],
);

const hourlyRevenue = pgTable(
  "hourly_revenue",
  {
    hour: timestamp({ withTimezone: true, mode: "string" }).notNull(),
    currency: text().notNull(),
    orders: integer().notNull(),
    cents: bigint({ mode: "number" }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.hour, table.currency] })],
);

const orderFacts = pgTable("order_facts", {
  orderId: bigint("order_id", { mode: "number" }).primaryKey(),
  day: date({ mode: "string" }).notNull(),
  hour: smallint().notNull(),
  customerId: integer("customer_id").notNull(),
  cents: integer().notNull(),
  feeCents: integer("fee_cents").notNull(),
  netCents: integer("net_cents").notNull(),
  currency: text().notNull(),
  size: text().notNull(),
});

const tick = pgTable("tick", { id: integer().primaryKey() });
const tock = pgTable("tock", { id: integer().primaryKey() });

const orderSource = source(orders, { partitions: daily(orders.createdAt) });
const tickSource = source(tick, { partitions: range(tick.id, 1) });

export const revenueByDay = derived(dailyRevenue, {
  version: 1,
  key: [dailyRevenue.day, dailyRevenue.currency],
  partitions: daily(dailyRevenue.day),
  inputs: { orders: orderSource },
  select: ({ orders }) => sql`
    select (created_at at time zone 'UTC')::date as day, currency, count(*)::integer as orders, sum(amount_cents) as cents
    from ${orders} group by 1, 2`,
});

/** The same table under a second name, because a source's partitions are those of its hours here. */
const orderHours = source(orders, { name: "order_hours", partitions: hourly(orders.createdAt) });

export const revenueByHour = derived(hourlyRevenue, {
  version: 1,
  key: [hourlyRevenue.hour, hourlyRevenue.currency],
  partitions: hourly(hourlyRevenue.hour),
  inputs: { orders: orderHours },
  select: ({ orders }) => sql`
    select date_trunc('hour', created_at, 'UTC') as hour, currency, count(*)::integer as orders, sum(amount_cents) as cents
    from ${orders} group by 1, 2`,
});

export const facts = derived(orderFacts, {
  version: 1,
  key: [orderFacts.orderId],
  partitions: daily(orderFacts.day),
  inputs: { orders: orderSource },
  read: ({ db, orders }) =>
    db
      .select({
        id: orders.id,
        createdMs: sql<number>`(extract(epoch from ${orders.createdAt}) * 1000)::bigint`.mapWith(Number),
        customerId: orders.customerId,
        cents: orders.amountCents,
        currency: orders.currency,
      })
      .from(orders),
  map: (order) => {
    const fact = toFact(order);
    return {
      orderId: fact.order_id,
      day: fact.day,
      hour: fact.hour,
      customerId: fact.customer_id,
      cents: fact.cents,
      feeCents: fact.fee_cents,
      netCents: fact.net_cents,
      currency: fact.currency,
      size: fact.size,
    };
  },
});

/** The rows of `facts` made by one statement: for what hash and checks cost where rows are wide and many. Never run. */
export const factsInSql = derived(orderFacts, {
  name: "order_facts_in_sql",
  version: 1,
  key: [orderFacts.orderId],
  partitions: daily(orderFacts.day),
  inputs: { orders: orderSource },
  select: ({ orders }) => sql`
    select id as order_id, (created_at at time zone 'UTC')::date as day,
      extract(hour from created_at at time zone 'UTC')::smallint as hour, customer_id, amount_cents as cents,
      round(amount_cents * 0.029)::integer + 30 as fee_cents, amount_cents - round(amount_cents * 0.029)::integer - 30 as net_cents,
      currency, case when amount_cents < 2000 then 'small' when amount_cents < 10000 then 'medium' else 'large' end as size
    from ${orders}`,
});

/** A task that does next to nothing: one row in, one row out. */
export const ticks = derived(tock, {
  version: 1,
  key: [tock.id],
  partitions: range(tock.id, 1),
  inputs: { ticks: tickSource },
  select: ({ db, ticks }) => db.select({ id: ticks.id }).from(ticks),
});

export const catalog = defineCatalog({
  datasets: [orderSource, orderHours, tickSource, revenueByDay, revenueByHour, facts, ticks],
});
