/**
 * The datasets of the flights example, in two versions.
 *
 * Version 1 has a bug that many reports of delays have had: it sums delays as they are, so that flights which left
 * early make up for those that were late, and the average hides the waiting. Version 2 counts an early flight as not
 * late. Only two definitions change, `airport_day` and `route_day`; the facts stay as they are, and everything that
 * is made of those two follows by itself.
 */
import { sql } from "drizzle-orm";
import { type Catalog, check, daily, defineCatalog, derived, exposure, lookback, monthly, source } from "rederive";
import type { FlightsVersion } from "./oracle.ts";
import * as t from "./schema.ts";

export const flights = source(t.flight, {
  partitions: daily(t.flight.departedAt),
  description: "Departures as published by the US Department of Transportation",
});

/** Minutes at which a flight counts as late and as very late. */
const lateFrom = 15;
const veryLateFrom = 60;

/** Miles up to which a flight is short or medium. */
const shortBelow = 500;
const mediumBelow = 1500;

export const flightFacts = derived(t.flightFacts, {
  version: 1,
  key: [t.flightFacts.id],
  description: "One row per flight, classified",
  owner: "flight-data",
  partitions: daily(t.flightFacts.flightDate),
  inputs: { flights },
  read: ({ db, flights }) =>
    db
      .select({
        id: flights.id,
        departedAt: flights.departedAt,
        delay: flights.delay,
        distance: flights.distance,
        origin: flights.origin,
        destination: flights.destination,
      })
      .from(flights),
  map: (flight) => ({
    id: flight.id,
    // 2001-01-31 05:10:00, the wall clock of the airport: its first ten characters are the local date.
    flightDate: flight.departedAt.slice(0, 10),
    departureHour: Number(flight.departedAt.slice(11, 13)),
    origin: flight.origin,
    destination: flight.destination,
    delay: flight.delay,
    isEarly: flight.delay < 0,
    delayClass: delayClassOf(flight.delay),
    distance: flight.distance,
    distanceBand: distanceBandOf(flight.distance),
  }),
  checks: [
    check.unique(t.flightFacts.id),
    check.accepted(t.flightFacts.delayClass, ["early", "on_time", "late", "very_late"]),
    check.accepted(t.flightFacts.distanceBand, ["short", "medium", "long"]),
    check.range(t.flightFacts.departureHour, { min: 0, max: 23 }),
    // The published data has a few departures hours ahead of schedule. They are real rows, so nothing is held.
    check.range(t.flightFacts.delay, { min: -180, max: 1800, severity: "warn" }),
  ],
});

function delayClassOf(delay: number): string {
  if (delay < 0) return "early";
  if (delay < lateFrom) return "on_time";
  return delay < veryLateFrom ? "late" : "very_late";
}

function distanceBandOf(distance: number): string {
  if (distance < shortBelow) return "short";
  return distance < mediumBelow ? "medium" : "long";
}

/** The catalog as it was with the bug (1), or as it is now (2). */
export function flightsCatalog({ version }: { version: FlightsVersion }): Catalog {
  const countedMinutes = version === 1 ? sql`delay` : sql`greatest(delay, 0)`;
  const minutes = sql<number>`sum(${countedMinutes})::integer`;
  const average = sql<string>`round(sum(${countedMinutes})::numeric / count(*), 2)`;
  const flightCount = sql<number>`count(*)::integer`;

  const airportDay = derived(t.airportDay, {
    version,
    key: [t.airportDay.day, t.airportDay.airport],
    description: "Delays by airport of departure and day",
    owner: "punctuality",
    partitions: daily(t.airportDay.day),
    inputs: { facts: flightFacts },
    select: ({ db, facts }) =>
      db
        .select({
          day: facts.flightDate,
          airport: facts.origin,
          flights: flightCount,
          earlyFlights: sql<number>`(count(*) filter (where ${facts.isEarly}))::integer`,
          delayMinutes: minutes,
          averageDelay: average,
        })
        .from(facts)
        .groupBy(facts.flightDate, facts.origin),
    checks: [
      check.unique(t.airportDay.day, t.airportDay.airport),
      check.notNull(t.airportDay.averageDelay),
      check.rowCount({ min: 1 }),
      check.range(t.airportDay.flights, { min: 1 }),
      check.query(
        "every flight is counted",
        sql`select counted, flown
            from (select sum(flights) as counted from candidate) c, (select count(*) as flown from facts) f
            where counted is distinct from flown`,
      ),
      // The check that would have caught the bug on the day it was written.
      ...(version === 1 ? [] : [check.range(t.airportDay.averageDelay, { min: 0 })]),
    ],
  });

  const routeDay = derived(t.routeDay, {
    version,
    key: [t.routeDay.day, t.routeDay.origin, t.routeDay.destination],
    description: "Delays by route and day",
    owner: "punctuality",
    partitions: daily(t.routeDay.day),
    inputs: { facts: flightFacts },
    select: ({ db, facts }) =>
      db
        .select({
          day: facts.flightDate,
          origin: facts.origin,
          destination: facts.destination,
          flights: flightCount,
          delayMinutes: minutes,
          averageDelay: average,
        })
        .from(facts)
        .groupBy(facts.flightDate, facts.origin, facts.destination),
    checks: [
      check.unique(t.routeDay.day, t.routeDay.origin, t.routeDay.destination),
      check.rowCount({ min: 1 }),
      check.sql("no route ends where it begins", sql`origin <> destination`, { severity: "warn" }),
    ],
  });

  const airportMonth = derived(t.airportMonth, {
    version: 1,
    key: [t.airportMonth.month, t.airportMonth.airport],
    description: "Delays by airport and month, added up from the days",
    owner: "punctuality",
    partitions: monthly(t.airportMonth.month),
    inputs: { days: airportDay },
    select: ({ db, days }) =>
      db
        .select({
          month: sql<string>`date_trunc('month', ${days.day}::timestamp)::date`.as("month"),
          airport: days.airport,
          flights: sql<number>`sum(${days.flights})::integer`,
          delayMinutes: sql<number>`sum(${days.delayMinutes})::integer`,
          averageDelay: sql<string>`round(sum(${days.delayMinutes})::numeric / sum(${days.flights}), 2)`,
        })
        .from(days)
        .groupBy(sql`1`, sql`2`),
    checks: [
      check.unique(t.airportMonth.month, t.airportMonth.airport),
      check.conserves(t.airportMonth.flights, { input: "days", column: t.airportDay.flights }),
      check.conserves(t.airportMonth.delayMinutes, { input: "days", column: t.airportDay.delayMinutes }),
    ],
  });

  const airportTrend = derived(t.airportTrend, {
    version: 1,
    key: [t.airportTrend.day, t.airportTrend.airport],
    description: "Average delay of an airport over a day and the six days before it",
    owner: "punctuality",
    partitions: daily(t.airportTrend.day),
    // The same table twice: the day itself says which airports there are, the week what their average is.
    inputs: { today: airportDay, week: lookback(airportDay, 6) },
    select: ({ db, today, week }) =>
      db
        .select({
          day: today.day,
          airport: today.airport,
          days: sql<number>`count(*)::integer`,
          flights: sql<number>`sum(${week.flights})::integer`,
          averageDelay: sql<string>`round(sum(${week.delayMinutes})::numeric / sum(${week.flights}), 2)`,
        })
        .from(today)
        .innerJoin(week, sql`${week.airport} = ${today.airport}`)
        .groupBy(today.day, today.airport),
    checks: [
      check.unique(t.airportTrend.day, t.airportTrend.airport),
      check.range(t.airportTrend.days, { min: 1, max: 7 }),
    ],
  });

  const airportRanking = derived(t.airportRanking, {
    version: 1,
    key: [t.airportRanking.airport],
    description: "Airports from the longest average delay down",
    owner: "punctuality",
    inputs: { months: airportMonth },
    select: ({ months }) => sql`
      select airport, average_delay, flights::integer,
        row_number() over (order by average_delay desc, flights desc, airport collate "C")::integer as rank
      from (
        select airport, sum(flights) as flights, round(sum(delay_minutes)::numeric / sum(flights), 2) as average_delay
        from ${months} group by airport
      ) airports`,
    checks: [check.unique(t.airportRanking.rank), check.range(t.airportRanking.rank, { min: 1 })],
  });

  return defineCatalog({
    datasets: [flights, flightFacts, airportDay, routeDay, airportMonth, airportTrend, airportRanking],
    exposures: [
      exposure("punctuality-board", {
        reads: [airportRanking, airportTrend],
        criticality: "critical",
        description: "The screen in the operations room",
        owner: "punctuality",
      }),
      exposure("route-export", {
        reads: [routeDay],
        criticality: "low",
        description: "A file for analysts, made at night",
        owner: "punctuality",
      }),
    ],
  });
}
