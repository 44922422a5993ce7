/**
 * The source data of the fault tests and what must become of it, in plain SQL. Nothing here knows the catalog, a plan
 * or a partition: a mistake that both shared would show nothing.
 */

/** Tables as an application would have made them. */
export const createTables = `
  create table public.reading (
    id int8 primary key, day date not null, site int4 not null, value int8 not null, label text not null,
    flag text not null);
  create index on public.reading (day);
  create table public.score (
    serial int8 generated always as identity, first_id int8 primary key, site int4 not null, readings int8 not null,
    total int8 not null, note text default 'new');
  create table public.clean (id int8 primary key, site int4 not null, words text not null);
  create table public.band (first_id int8 primary key, site int4 not null, total int8 not null);
  create table public.ranking (site int4 primary key, total int8 not null, place int4 not null unique);
  create table public.day_total (day date not null, site int4 not null, total int8 not null, primary key (day, site));
  create table public.month_total (month date not null, site int4 not null, total int8 not null, primary key (month, site));
  create table public.trend (
    day date not null, site int4 not null, days int4 not null, total int8 not null, primary key (day, site));`;

/**
 * Counts effects: a row for every stamp that is committed, in the transaction that commits it. The stamp table itself
 * has one row a task whatever happens, so it could not show a second effect.
 */
export const createEffectLog = `
  create schema chaos;
  create table chaos.effect (task int8 not null, epoch int4 not null, at timestamptz not null default clock_timestamp());
  create function chaos.log_effect() returns trigger language plpgsql as
    $$ begin insert into chaos.effect (task, epoch) values (new.task, new.epoch); return null; end $$;
  create trigger effect after insert or update on rederive.stamp for each row execute function chaos.log_effect();`;

export interface Shape {
  readonly seed: number;
  /** Ranges of 50,000 ids, each with a random number of readings: a fifth have none, a few have thousands. */
  readonly ranges: number;
  /** Over so many days. */
  readonly days: number;
  /** Ranges with `slowRows` readings that take the map a while. Default none. */
  readonly slow?: readonly number[];
  /** Default 40,000: more than a second of work. */
  readonly slowRows?: number;
}

/** Fills `reading`: the same seed gives the same rows. */
export function fillReadings({ seed, ranges, days, slow = [], slowRows = 40_000 }: Shape): string {
  const chance = (of: string, salt: number) => `((hashint8extended(${of}, ${seed + salt}) & 1048575) / 1048576.0)`;
  return `
    insert into public.reading (id, day, site, value, label, flag)
    select id, date '2001-01-01' + (k * ${days} / ${ranges})::int, (${chance("id", 3)} * 20)::int,
      (${chance("id", 4)} * 100000)::int8, 'label ' || (id % 97), case when slow then 'slow' else 'plain' end
    from (
      select k, k = any('{${slow.join(",")}}'::int8[]) as slow,
        case when k = any('{${slow.join(",")}}'::int8[]) then ${slowRows} when u < 0.2 then 0
          when u < 0.95 then 1 + (v * 30)::int when u < 0.997 then 300 else 3000 end as size
      from (select k, ${chance("k", 1)} as u, ${chance("k", 2)} as v from generate_series(0, ${ranges - 1}::int8) k) dice
    ) sized, lateral (select k * 50000 + i as id from generate_series(0, size - 1) i) rows`;
}

/** What each derived table must hold, as a query with its owned columns in order. */
export const expected: Readonly<Record<string, { readonly columns: string; readonly query: string }>> = {
  score: {
    columns: "first_id, site, readings, total",
    query:
      "select min(id), site, count(*), sum(value)::int8 from public.reading group by div(id::numeric, 50000), site",
  },
  clean: {
    columns: "id, site, words",
    query: "select id, site, upper(label) || ':' || value * 3 from public.reading where mod(value, 7) <> 0",
  },
  band: {
    columns: "first_id, site, total",
    query: "select min(id), site, sum(value)::int8 from public.reading group by div(id::numeric, 500000), site",
  },
  ranking: {
    columns: "site, total, place",
    query: `select site, sum(value)::int8, rank() over (order by sum(value) desc, site)::int4
      from public.reading group by site`,
  },
  day_total: {
    columns: "day, site, total",
    query: "select day, site, sum(value)::int8 from public.reading group by day, site",
  },
  month_total: {
    columns: "month, site, total",
    query: `select make_date(extract(year from day)::int, extract(month from day)::int, 1), site, sum(value)::int8
      from public.reading group by 1, 2`,
  },
  trend: {
    columns: "day, site, days, total",
    query: `select day, site, (select count(distinct o.day) from public.reading o
          where o.site = r.site and o.day between r.day - 2 and r.day)::int4,
        (select sum(o.value) from public.reading o where o.site = r.site and o.day between r.day - 2 and r.day)::int8
      from (select distinct day, site from public.reading) r`,
  },
};

/** How many rows of a table are wrong or missing against its query, both ways. */
export function divergenceOf(table: string, dataset: string): string {
  const { columns, query } = expected[dataset] as { columns: string; query: string };
  return `with given as (select ${columns} from ${table}), wanted as (${query})
    select ((select count(*) from (select * from given except all select * from wanted) surplus)
      + (select count(*) from (select * from wanted except all select * from given) missing))::int4 as divergence`;
}
