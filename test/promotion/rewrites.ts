/**
 * Twelve days of events, four datasets below them, and rewrites of two of these: expressions that change nothing, or
 * chosen days alone. What has to be live in the end is said in plain SQL over the events.
 */
import { sql } from "drizzle-orm";
import { date, integer, pgTable, text } from "drizzle-orm/pg-core";
import {
  check,
  createRederive,
  daily,
  defineCatalog,
  derived,
  lookback,
  monthly,
  type Rederive,
  source,
} from "rederive";
import { runToEnd, tester, withTestDatabase } from "rederive/testing";
import { inject } from "vitest";
import type { Backfill } from "../../src/backfill.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Status } from "../../src/report.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";

const events = pgTable("events", {
  id: integer("id").primaryKey(),
  day: date("day", { mode: "string" }).notNull(),
  kind: integer("kind").notNull(),
  v: integer("v").notNull(),
});
const cleaned = pgTable("cleaned", {
  id: integer("id").primaryKey(),
  day: date("day", { mode: "string" }).notNull(),
  kind: integer("kind").notNull(),
  v: integer("v").notNull(),
});
const byDay = pgTable("by_day", {
  day: date("day", { mode: "string" }).primaryKey(),
  total: integer("total").notNull(),
});
const byMonth = pgTable("by_month", {
  month: date("month", { mode: "string" }).primaryKey(),
  total: integer("total").notNull(),
});
const trend = pgTable("trend", {
  day: date("day", { mode: "string" }).primaryKey(),
  total: integer("total").notNull(),
});
const board = pgTable("board", { name: text("name").primaryKey(), total: integer("total").notNull() });

const statements = [
  "create table public.events (id int primary key, day date not null, kind int not null, v int not null)",
  "create index on public.events (day)",
  "create table public.cleaned (id int primary key, day date not null, kind int not null, v int not null)",
  "create index on public.cleaned (day)",
  "create table public.by_day (day date primary key, total int not null)",
  "create table public.by_month (month date primary key, total int not null)",
  "create table public.trend (day date primary key references public.by_day, total int not null)",
  "create table public.board (name text primary key, total int not null)",
  `insert into public.events select n, date '2001-01-25' + n / 10, n % 10, n from generate_series(0, 119) n`,
];

/** Days of the events, from 0 to 11; the first seven are in January. */
export const dayOf = (index: number): string => (index < 7 ? `2001-01-${25 + index}` : `2001-02-0${index - 6}`);

/** SQL expressions that the definitions are made of. */
export interface Shape {
  /** Of an event: what it counts. Kinds from 5 on are read by nobody. */
  readonly value: string;
  /** Of the cleaned events of a day. */
  readonly total: string;
}

export const original: Shape = { value: "v", total: "sum(v) filter (where kind < 5)" };

export function catalogOf({ value, total }: Shape): Catalog {
  const given = source(events, { partitions: daily(events.day) });
  const clean = derived(cleaned, {
    version: 1,
    key: [cleaned.id],
    partitions: daily(cleaned.day),
    inputs: { given },
    select: ({ given: g }) => sql`select id, day, kind, ${sql.raw(value)} as v from ${g}`,
  });
  const days = derived(byDay, {
    version: 1,
    key: [byDay.day],
    partitions: daily(byDay.day),
    inputs: { clean },
    select: ({ clean: c }) => sql`select day, (${sql.raw(total)})::int as total from ${c} group by day`,
  });
  const months = derived(byMonth, {
    version: 1,
    key: [byMonth.month],
    partitions: monthly(byMonth.month),
    inputs: { days },
    select: ({ days: d }) =>
      sql`select date_trunc('month', day::timestamp)::date as month, sum(total)::int as total from ${d} group by 1`,
    checks: [check.conserves(byMonth.total, { input: "days", column: byDay.total })],
  });
  const trends = derived(trend, {
    version: 1,
    key: [trend.day],
    partitions: daily(trend.day),
    inputs: { today: days, recent: lookback(days, 2) },
    select: ({ today, recent }) =>
      sql`select t.day, sum(r.total)::int as total from ${today} t cross join ${recent} r group by t.day`,
  });
  const boards = derived(board, {
    version: 1,
    key: [board.name],
    inputs: { months, trends },
    select: ({ months: m, trends: t }) =>
      sql`select 'months' as name, sum(total)::int as total from ${m} union all select 'highest', max(total) from ${t}`,
  });
  return defineCatalog({ datasets: [given, clean, days, months, trends, boards] });
}

const oracle = ({ value, total }: Shape): Readonly<Record<string, string>> => {
  const clean = `select id, day, kind, ${value} as v from public.events`;
  const days = `select day, (${total})::int as total from (${clean}) c group by day`;
  const months = `select date_trunc('month', day::timestamp)::date, sum(total)::int as total from (${days}) d group by 1`;
  const trends = `select t.day, sum(r.total)::int as total from (${days}) t
    join (${days}) r on r.day between t.day - 2 and t.day group by t.day`;
  return {
    cleaned: clean,
    by_day: days,
    by_month: months,
    trend: trends,
    board: `select 'months', (select sum(total)::int from (${months}) m)
      union all select 'highest', (select max(total) from (${trends}) t)`,
  };
};

export interface Stage {
  readonly database: Database;
  open(shape: Shape): Promise<Rederive>;
  /** Plans what changed, or these days of a dataset, and runs it to the end. */
  run(rederive: Rederive, request?: { datasets: string[]; partitions: string[] }): Promise<Run>;
  /** Computes and promotes everything. */
  bootstrap(): Promise<void>;
  /** Rows that are not as they are to be, or missing, by dataset. */
  divergence(shape: Shape): Promise<Record<string, number>>;
}

export interface Run {
  readonly backfill: Backfill;
  readonly status: Status;
}

/** `3 done, 4 unchanged`, by dataset. */
export function outcomes({ datasets }: Status): Record<string, string> {
  const text = ({ tasks }: Status["datasets"][number]) =>
    Object.entries(tasks)
      .filter(([, count]) => count > 0)
      .map(([state, count]) => `${count} ${state}`)
      .sort()
      .join(", ");
  return Object.fromEntries(datasets.map((each) => [each.dataset, text(each)]));
}

export async function withRewrites(callback: (stage: Stage) => Promise<void>): Promise<void> {
  await withTestDatabase(inject("databaseUrl"), async (databaseUrl) => {
    const database = openDatabase(databaseUrl, { max: 3 });
    const opened: Rederive[] = [];
    const open = async (shape: Shape): Promise<Rederive> => {
      const rederive = await createRederive({ catalog: catalogOf(shape), databaseUrl, environment: "test" });
      opened.push(rederive);
      return rederive;
    };
    const run: Stage["run"] = async (rederive, request) => {
      const backfill = await rederive.as(tester).plan({ ...request, reason: "test" });
      return { backfill, status: await runToEnd(rederive, backfill) };
    };
    try {
      for (const statement of statements) await database.query(statement);
      await callback({
        database,
        open,
        run,
        bootstrap: async () => {
          const { backfill } = await run(await open(original));
          await backfill.promote({ reason: "first" });
        },
        divergence: (shape) => divergenceIn(database, shape),
      });
    } finally {
      for (const rederive of opened) await rederive.close();
      await database.close();
    }
  });
}

async function divergenceIn(database: Database, shape: Shape): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [dataset, query] of Object.entries(oracle(shape))) {
    const [row] = await database.query<{ count: number }>(
      `with found as (select * from public.${dataset}), wanted as (${query})
       select count(*)::int as count from (
         (select * from found except all select * from wanted) union all
         (select * from wanted except all select * from found)) d`,
    );
    found[dataset] = row?.count ?? -1;
  }
  return found;
}
