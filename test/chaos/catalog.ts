/**
 * The catalog that the fault tests recompute: readings of sites, partitioned by id and by day.
 *
 * It has one dataset of each kind: `score` (select) and `clean` (map) a small range each, `band` (rollup of ten scores),
 * `ranking` (whole), `day_total`, `month_total` (rollup) and `trend` (lookback). Processes of the fleet load it from a
 * configuration file that `stage.ts` writes; what comes out is compared with `oracle.ts`, which shares nothing with it.
 */
import { sql } from "drizzle-orm";
import { bigint, date, integer, pgTable, text } from "drizzle-orm/pg-core";
import {
  type Catalog,
  check,
  daily,
  defineCatalog,
  derived,
  exposure,
  lookback,
  monthly,
  range,
  source,
} from "rederive";

export const reading = pgTable("reading", {
  id: bigint("id", { mode: "number" }).primaryKey(),
  day: date("day", { mode: "string" }).notNull(),
  site: integer("site").notNull(),
  value: bigint("value", { mode: "number" }).notNull(),
  label: text("label").notNull(),
  /** "slow" takes the map a while; "deadly" ends the process that maps it. */
  flag: text("flag").notNull(),
});

/** `serial` and `note` belong to the application: no transform gives them. */
export const score = pgTable("score", {
  serial: bigint("serial", { mode: "number" }).generatedAlwaysAsIdentity(),
  firstId: bigint("first_id", { mode: "number" }).primaryKey(),
  site: integer("site").notNull(),
  readings: bigint("readings", { mode: "number" }).notNull(),
  total: bigint("total", { mode: "number" }).notNull(),
  note: text("note").default("new"),
});

export const clean = pgTable("clean", {
  id: bigint("id", { mode: "number" }).primaryKey(),
  site: integer("site").notNull(),
  words: text("words").notNull(),
});

export const band = pgTable("band", {
  firstId: bigint("first_id", { mode: "number" }).primaryKey(),
  site: integer("site").notNull(),
  total: bigint("total", { mode: "number" }).notNull(),
});

export const ranking = pgTable("ranking", {
  site: integer("site").primaryKey(),
  total: bigint("total", { mode: "number" }).notNull(),
  place: integer("place").notNull().unique(),
});

export const dayTotal = pgTable("day_total", {
  day: date("day", { mode: "string" }).notNull(),
  site: integer("site").notNull(),
  total: bigint("total", { mode: "number" }).notNull(),
});

export const monthTotal = pgTable("month_total", {
  month: date("month", { mode: "string" }).notNull(),
  site: integer("site").notNull(),
  total: bigint("total", { mode: "number" }).notNull(),
});

export const trend = pgTable("trend", {
  day: date("day", { mode: "string" }).notNull(),
  site: integer("site").notNull(),
  days: integer("days").notNull(),
  total: bigint("total", { mode: "number" }).notNull(),
});

export interface ChaosOptions {
  /** 2 counts every reading twice as much: other code for `score`, nothing else. Default 1. */
  readonly scoreVersion?: 1 | 2;
  /** Another definition of `score` that gives the same rows. */
  readonly rewritten?: boolean;
  /** `score` gives its rows ids of the next partition. */
  readonly astray?: boolean;
  /** Ids of one partition of `score` and `clean`; `band` takes ten of them. Default 50,000. */
  readonly width?: number;
}

export function chaosCatalog(options: ChaosOptions = {}): Catalog {
  const { scoreVersion = 1, rewritten = false, astray = false, width = 50_000 } = options;
  const readings = source(reading, { partitions: range(reading.id, width) });
  // The same table again: what is derived of it by day knows nothing of its ids.
  const dated = source(reading, { name: "reading_by_day", partitions: daily(reading.day) });

  const scores = derived(score, {
    version: scoreVersion,
    key: [score.firstId],
    partitions: range(score.firstId, width),
    inputs: { readings },
    select: ({ readings: r }) => sql`
      select min(id) + ${sql.raw(astray ? String(width) : "0")} as first_id, site, count(*) as readings,
        (sum(value) * ${sql.raw(String(scoreVersion))}${sql.raw(rewritten ? " + 0" : "")})::bigint as total
      from ${r} group by id / ${sql.raw(String(width))}, site`,
    checks: [check.range(score.readings, { min: 1 })],
  });

  const cleaned = derived(clean, {
    version: 1,
    key: [clean.id],
    partitions: range(clean.id, width),
    inputs: { readings },
    read: ({ db, readings: r }) =>
      db.select({ id: r.id, site: r.site, value: r.value, label: r.label, flag: r.flag }).from(r),
    map: (row) => {
      if (row.flag === "slow") spin();
      if (row.flag === "deadly") process.kill(process.pid, "SIGKILL");
      // Every seventh value is noise.
      return row.value % 7 === 0
        ? null
        : { id: row.id, site: row.site, words: `${row.label.toUpperCase()}:${row.value * 3}` };
    },
  });

  const bands = derived(band, {
    version: 1,
    key: [band.firstId],
    partitions: range(band.firstId, width * 10),
    inputs: { scores },
    select: ({ scores: s }) => sql`
      select min(first_id) as first_id, site, sum(total)::bigint as total
      from ${s} group by first_id / ${sql.raw(String(width * 10))}, site`,
    checks: [check.conserves(band.total, { input: "scores", column: score.total })],
  });

  const ranks = derived(ranking, {
    version: 1,
    key: [ranking.site],
    inputs: { bands },
    select: ({ bands: b }) => sql`
      select site, total, row_number() over (order by total desc, site)::integer as place
      from (select site, sum(total)::bigint as total from ${b} group by site) sites`,
  });

  const days = derived(dayTotal, {
    version: 1,
    key: [dayTotal.day, dayTotal.site],
    partitions: daily(dayTotal.day),
    inputs: { dated },
    select: ({ dated: d }) => sql`select day, site, sum(value)::bigint as total from ${d} group by day, site`,
  });

  const months = derived(monthTotal, {
    version: 1,
    key: [monthTotal.month, monthTotal.site],
    partitions: monthly(monthTotal.month),
    inputs: { days },
    select: ({ days: d }) => sql`
      select date_trunc('month', day::timestamp)::date as month, site, sum(total)::bigint as total from ${d} group by 1, 2`,
  });

  const trends = derived(trend, {
    version: 1,
    key: [trend.day, trend.site],
    partitions: daily(trend.day),
    inputs: { today: days, recent: lookback(days, 2) },
    select: ({ today, recent }) => sql`
      select t.day, t.site, count(*)::integer as days, sum(r.total)::bigint as total
      from ${today} t join ${recent} r on r.site = t.site group by t.day, t.site`,
  });

  return defineCatalog({
    datasets: [readings, dated, scores, cleaned, bands, ranks, days, months, trends],
    exposures: [exposure("board", { reads: [ranks, trends], criticality: "high" })],
  });
}

/** Tens of microseconds of work that the compiler cannot leave out. */
function spin(): void {
  let state = 1;
  for (let round = 0; round < 2_000; round += 1) state = (state * 48_271) % 2_147_483_647;
  if (state === 0) throw new Error("a generator of full period does not reach 0");
}
