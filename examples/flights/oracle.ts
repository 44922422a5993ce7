/**
 * The judge of the example: what every derived table must hold, in plain SQL straight from `flight`.
 *
 * It shares nothing with catalog.ts, not even the way a value is written, so that a mistake in one shows as a
 * difference to the other. Nothing here reads a derived table to work out what another should hold.
 */
import type { ClientBase } from "pg";
import { type DerivedTable, derivedTables } from "./schema.ts";

/** 1 has the bug: early departures are subtracted from the late ones. 2 counts them as no delay. */
export type FlightsVersion = 1 | 2;

export interface TableDivergence {
  readonly table: DerivedTable;
  /** Rows that should be there and are not. */
  readonly missing: number;
  /** Rows that are there and should not be. */
  readonly unexpected: number;
}

export interface Divergence {
  /** Rows that differ: one wrong row is one missing and one unexpected row, and counts once. */
  readonly rows: number;
  readonly tables: readonly TableDivergence[];
}

/**
 * Compares derived tables with their recomputation, duplicates included: `except all` both ways. All of it sees one
 * snapshot, because tables that change meanwhile could only be compared by luck. Default: all tables.
 */
export async function divergence(
  client: ClientBase,
  version: FlightsVersion,
  chosen: readonly DerivedTable[] = derivedTables,
): Promise<Divergence> {
  await client.query("begin isolation level repeatable read");
  try {
    await client.query("set local work_mem = '128MB'; set local jit = off");
    await client.query(`create temp table route_total on commit drop as ${routeTotals(version)}`);
    await client.query("analyze route_total");
    const tables: TableDivergence[] = [];
    for (const table of chosen) tables.push(await compare(client, table));
    const rows = tables.reduce((sum, { missing, unexpected }) => sum + Math.max(missing, unexpected), 0);
    return { rows, tables };
  } finally {
    await client.query("rollback");
  }
}

async function compare(client: ClientBase, table: DerivedTable): Promise<TableDivergence> {
  const { columns, statement } = expected[table];
  const actual = `select ${columns} from ${table}`;
  // Three million rows are compared in the order of their ids, which both indexes have, instead of in a hash table.
  await client.query(`set local enable_hashagg = ${table === "flight_facts" ? "off" : "on"}`);
  const { rows } = await client.query<{ missing: number; unexpected: number }>(
    `select (select count(*) from ((${statement}) except all (${actual})) r)::integer as missing,
            (select count(*) from ((${actual}) except all (${statement})) r)::integer as unexpected`,
  );
  const counts = rows[0];
  if (!counts) throw new Error(`no counts for ${table}`);
  return { table, ...counts };
}

/**
 * One text that changes when any row of a table changes in any column, also in those that no transform owns.
 * The order of rows, and where they are stored, does not matter.
 */
export async function fingerprint(client: ClientBase): Promise<ReadonlyMap<DerivedTable, string>> {
  const prints = new Map<DerivedTable, string>();
  for (const table of derivedTables) {
    const { rows } = await client.query<{ print: string }>(
      `select count(*) || ':' || coalesce(sum(hash_record_extended(r, 0)), 0) as print from ${table} r`,
    );
    prints.set(table, rows[0]?.print ?? "");
  }
  return prints;
}

/** The tables whose fingerprints differ. */
export function changedTables(
  before: ReadonlyMap<DerivedTable, string>,
  after: ReadonlyMap<DerivedTable, string>,
): readonly DerivedTable[] {
  return derivedTables.filter((table) => before.get(table) !== after.get(table));
}

/** One scan of the flights: what all aggregates add up. Only here the versions differ. */
function routeTotals(version: FlightsVersion): string {
  const minutes = version === 1 ? "delay" : "case when delay > 0 then delay else 0 end";
  return `
    select departed_at::date as day, origin, destination, count(*) as flights, sum((delay < 0)::integer) as early,
      sum(${minutes}) as minutes
    from flight group by 1, 2, 3`;
}

const mean = "(sum(minutes) / sum(flights)::numeric)::numeric(8, 2)";

const expected: Readonly<Record<DerivedTable, { readonly columns: string; readonly statement: string }>> = {
  flight_facts: {
    columns:
      "id, flight_date, departure_hour, origin, destination, delay, is_early, delay_class, distance, distance_band",
    statement: `
      select id, departed_at::date, extract(hour from departed_at)::smallint, origin, destination, delay, delay < 0,
        case when delay >= 60 then 'very_late' when delay >= 15 then 'late' when delay >= 0 then 'on_time' else 'early' end,
        distance, case when distance >= 1500 then 'long' when distance >= 500 then 'medium' else 'short' end
      from flight`,
  },
  airport_day: {
    columns: "day, airport, flights, early_flights, delay_minutes, average_delay",
    statement: `
      select day, origin, sum(flights)::integer, sum(early)::integer, sum(minutes)::integer, ${mean}
      from route_total group by 1, 2`,
  },
  route_day: {
    columns: "day, origin, destination, flights, delay_minutes, average_delay",
    statement: `
      select day, origin, destination, flights::integer, minutes::integer, (minutes::numeric / flights)::numeric(8, 2)
      from route_total`,
  },
  airport_month: {
    columns: "month, airport, flights, delay_minutes, average_delay",
    statement: `
      select (to_char(day, 'YYYY-MM') || '-01')::date, origin, sum(flights)::integer, sum(minutes)::integer, ${mean}
      from route_total group by 1, 2`,
  },
  // Each day's flights count on that day and on the six that follow, where the airport had a flight then.
  airport_trend: {
    columns: "day, airport, days, flights, average_delay",
    statement: `
      with daily as materialized (
        select day, origin, sum(flights) as flights, sum(minutes) as minutes from route_total group by 1, 2
      )
      select later.day, origin, count(*)::integer, sum(daily.flights)::integer,
        (sum(daily.minutes) / sum(daily.flights))::numeric(8, 2)
      from daily
      cross join generate_series(0, 6) as ago (days)
      join (select day, origin from daily) later using (origin)
      where later.day = daily.day + ago.days
      group by later.day, origin`,
  },
  airport_ranking: {
    columns: "airport, rank, flights, average_delay",
    statement: `
      select origin, row_number() over (order by average desc, flights desc, origin collate "C")::integer, flights, average
      from (select origin, sum(flights)::integer as flights, ${mean} as average from route_total group by 1) airports`,
  },
};
