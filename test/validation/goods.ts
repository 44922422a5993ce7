/**
 * A small trade over the days on which the clock goes back: orders and hourly readings, and what is derived of them, with
 * every kind of check and rule. A test replaces one of the statements, or plants rows, to break one of them.
 */
import { sql } from "drizzle-orm";
import { bigint, date, doublePrecision, integer, numeric, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { type Assumption, type Catalog, check, daily, defineCatalog, derived, monthly, rule, source } from "rederive";

export const timeZone = "Europe/Bratislava";

const instant = (name: string) => timestamp(name, { withTimezone: true, mode: "string" }).notNull();

export const orders = pgTable("orders", {
  id: integer("id").primaryKey(),
  createdAt: instant("created_at"),
  customer: integer("customer").notNull(),
  currency: text("currency").notNull(),
  amount: numeric("amount").notNull(),
  points: bigint("points", { mode: "number" }).notNull(),
  pieces: integer("pieces").notNull(),
  refunded: integer("refunded").notNull(),
  kind: text("kind").notNull(),
  email: text("email"),
  kilograms: doublePrecision("kilograms").notNull(),
  tax: doublePrecision("tax").notNull(),
  paidMs: bigint("paid_ms", { mode: "number" }).notNull(),
});
export const customers = pgTable("customers", { id: integer("id").primaryKey() });
export const kinds = pgTable("kinds", { raw: text("raw").notNull(), clean: text("clean").notNull() });
export const readings = pgTable("readings", { at: instant("at"), sensor: text("sensor").notNull() });

export const facts = pgTable("facts", {
  id: integer("id").primaryKey(),
  day: date("day").notNull(),
  createdAt: instant("created_at"),
  customer: integer("customer"),
  currency: text("currency").notNull(),
  amount: numeric("amount"),
  points: bigint("points", { mode: "number" }),
  pieces: integer("pieces"),
  kind: text("kind"),
  clean: text("clean"),
  email: text("email"),
  kilograms: doublePrecision("kilograms"),
  pounds: doublePrecision("pounds"),
  tax: doublePrecision("tax"),
  paidMs: bigint("paid_ms", { mode: "number" }),
  total: bigint("total", { mode: "number" }),
  invoice: text("invoice"),
});
export const revenue = pgTable("revenue", {
  day: date("day").notNull(),
  currency: text("currency").notNull(),
  amount: numeric("amount"),
  tax: doublePrecision("tax"),
  pieces: integer("pieces"),
  newest: instant("newest"),
});
export const euros = pgTable("euros", { day: date("day").primaryKey(), amount: numeric("amount") });
export const months = pgTable("months", { month: date("month").primaryKey(), amount: numeric("amount") });
export const hours = pgTable("hours", {
  at: instant("at"),
  sensor: text("sensor").notNull(),
  readings: integer("readings").notNull(),
});
export const days = pgTable("days", { day: date("day").primaryKey(), readings: integer("readings").notNull() });

/** One statement an element. */
export const tables = [
  `create table public.orders (id int primary key, created_at timestamptz not null, customer int not null,
     currency text not null, amount numeric not null, points bigint not null, pieces int not null, refunded int not null,
     kind text not null, email text, kilograms float8 not null, tax float8 not null, paid_ms bigint not null)`,
  "create index on public.orders (created_at)",
  "create table public.customers (id int primary key)",
  "create table public.kinds (raw text not null, clean text not null)",
  "create table public.readings (at timestamptz not null, sensor text not null)",
  "create index on public.readings (at)",
  "create table public.markets (code text primary key)",
  `create table public.facts (id int primary key, day date not null, created_at timestamptz not null, customer int,
     currency text not null, amount numeric, points bigint, pieces int, kind text, clean text, email text,
     kilograms float8, pounds float8, tax float8, paid_ms bigint, total bigint, invoice text)`,
  "create index on public.facts (day)",
  `create table public.revenue (day date not null, currency text not null references public.markets, amount numeric,
     tax float8, pieces int, newest timestamptz not null, primary key (day, currency))`,
  "create table public.euros (day date primary key, amount numeric)",
  "create table public.months (month date primary key, amount numeric)",
  "create table public.hours (at timestamptz not null, sensor text not null, readings int not null, primary key (at, sensor))",
  "create table public.days (day date primary key, readings int not null)",
  "insert into public.customers select generate_series(1, 5)",
  "insert into public.kinds values ('bk', 'book'), ('book', 'book'), ('tea', 'tea'), ('cup', 'kitchen')",
  "insert into public.markets values ('EUR'), ('JPY')",
  // Four local days of eight orders; the first of each day is before midnight in UTC.
  `insert into public.orders
   select n, timestamptz '2026-10-23T22:30Z' + (n / 8) * interval '25 hours' + (n % 8) * interval '150 minutes',
     1 + n % 5, case when n % 4 = 3 then 'JPY' else 'EUR' end, case when n % 4 = 3 then 1000 + n else 10.5 + n end,
     100 + n, n % 3, case when n % 5 = 4 then 1 else 0 end, (array['bk', 'book', 'tea', 'cup'])[1 + n % 4],
     'buyer' || n || '@example.org', 1 + n, 0.25, 1790000000000 + n
   from generate_series(0, 31) n`,
  `insert into public.readings
   select at, sensor from generate_series(timestamptz '2026-10-23T22:15Z', timestamptz '2026-10-26T22:15Z', interval '30 minutes') at,
     unnest(array['north', 'south']) sensor`,
];

/** The statement of each dataset; what a test replaces is wrong in one way. */
export const statements = {
  facts: `select o.id, (o.created_at at time zone '${timeZone}')::date as day, o.created_at, o.customer, o.currency, o.amount,
      o.points, o.pieces, o.kind, k.clean, o.email, o.kilograms, o.kilograms * 2.20462 as pounds, o.tax, o.paid_ms,
      sum(o.points) over (partition by (o.created_at at time zone '${timeZone}')::date order by o.id)::bigint as total,
      'INV-' || o.id as invoice
    from orders o left join (select raw, min(clean) as clean from kinds group by raw) k on k.raw = o.kind`,
  revenue: `select day, currency, sum(amount) as amount, sum(tax) as tax, sum(pieces)::int as pieces, max(created_at) as newest
    from facts group by 1, 2`,
  euros: "select day, sum(amount) as amount from facts where currency = 'EUR' group by 1",
  months: "select date_trunc('month', day::timestamp)::date as month, sum(amount) as amount from revenue group by 1",
  hours: "select date_trunc('hour', at) as at, sensor, count(*)::int as readings from readings group by 1, 2",
  days: `select (at at time zone '${timeZone}')::date as day, sum(readings)::int as readings from hours group by 1`,
};

export type Statements = typeof statements;

export interface GoodsOptions {
  /** The check that tests change: the most points that an order may have. Default: no such bound. */
  readonly maxPoints?: number;
  /** Of the orders. */
  readonly assumptions?: readonly Assumption[];
}

export function goods(replaced: Partial<Statements> = {}, options: GoodsOptions = {}): Catalog {
  const text = { ...statements, ...replaced };
  const zone = { timeZone };
  const orderRows = source(orders, {
    partitions: daily(orders.createdAt, zone),
    assumptions: options.assumptions ?? [],
  });
  const kindRows = source(kinds);
  const readingRows = source(readings, { partitions: daily(readings.at, zone) });
  const factRows = derived(facts, {
    version: 1,
    key: [facts.id],
    partitions: daily(facts.day, zone),
    inputs: { orders: orderRows, kinds: kindRows },
    mask: [facts.email],
    select: () => sql.raw(text.facts),
    checks: [
      check.conservesCount({ input: "orders" }),
      check.conserves(facts.points, { input: "orders", column: orders.points }),
      check.cardinality(facts.id, { is: "oneToOne", input: "orders", references: orders.id }),
      check.foreignKey(facts.customer, { references: customers.id }),
      check.monotonic(facts.total, { by: facts.id, within: facts.day }),
      check.unique(facts.invoice),
      check.notNull(facts.customer),
      check.range(facts.points, { min: 0, ...(options.maxPoints === undefined ? {} : { max: options.maxPoints }) }),
      check.sql("mail has an at", sql`${facts.email} like '%@%'`),
      check.query(
        "nobody buys for another",
        "select id, email from candidate where email <> 'buyer' || id || '@example.org'",
      ),
      rule.currency(facts.currency, { amounts: facts.amount }),
      rule.timeZone(facts.day, { instant: facts.createdAt, timeZone }),
      rule.category(facts.clean, {
        from: facts.kind,
        input: "orders",
        column: orders.kind,
        mapping: { from: kinds.raw, to: kinds.clean },
      }),
      rule.unit(facts.pieces, "count"),
      rule.unit(facts.paidMs, "epochMilliseconds"),
      rule.unit(facts.tax, "ratio"),
      rule.conversion(facts.pounds, { of: facts.kilograms, factor: 2.20462, tolerance: 0.001 }),
    ],
  });
  const revenueRows = derived(revenue, {
    version: 1,
    key: [revenue.day, revenue.currency],
    partitions: daily(revenue.day, zone),
    inputs: { facts: factRows },
    select: () => sql.raw(text.revenue),
    checks: [
      check.rowCount({ min: 1, max: 5 }),
      check.accepted(revenue.currency, ["EUR", "JPY", "USD"]),
      check.conserves(revenue.tax, { input: "facts", column: facts.tax, tolerance: 1e-6 }),
      check.conserves(revenue.pieces, {
        input: "facts",
        column: facts.pieces,
        where: sql`${revenue.currency} = 'EUR'`,
        inputWhere: sql`${facts.currency} = 'EUR'`,
        name: "pieces in euros",
      }),
      check.cardinality([revenue.day, revenue.currency], {
        is: "manyToOne",
        input: "facts",
        references: [facts.day, facts.currency],
      }),
      check.freshness(revenue.newest, { maxAge: "2 hours", input: "facts", column: facts.createdAt }),
      rule.unmixed(revenue.amount, {
        code: revenue.currency,
        input: "facts",
        column: facts.amount,
        inputCode: facts.currency,
      }),
    ],
  });
  const euroRows = derived(euros, {
    version: 1,
    key: [euros.day],
    partitions: daily(euros.day, zone),
    inputs: { facts: factRows },
    select: () => sql.raw(text.euros),
    checks: [
      check.conserves(euros.amount, {
        input: "facts",
        column: facts.amount,
        inputWhere: sql`${facts.currency} = 'EUR'`,
      }),
    ],
  });
  const monthRows = derived(months, {
    version: 1,
    key: [months.month],
    partitions: monthly(months.month, zone),
    inputs: { revenue: revenueRows },
    select: () => sql.raw(text.months),
  });
  const hourRows = derived(hours, {
    version: 1,
    key: [hours.at, hours.sensor],
    partitions: daily(hours.at, zone),
    inputs: { readings: readingRows },
    select: () => sql.raw(text.hours),
    checks: [rule.completeDays(hours.at, { timeZone, by: hours.sensor })],
  });
  const dayRows = derived(days, {
    version: 1,
    key: [days.day],
    partitions: daily(days.day, zone),
    inputs: { hours: hourRows },
    select: () => sql.raw(text.days),
  });
  return defineCatalog({
    datasets: [orderRows, kindRows, readingRows, factRows, revenueRows, euroRows, monthRows, hourRows, dayRows],
  });
}
