/**
 * The tables of the flights example: one source and six derived tables.
 *
 * drizzle describes them for the catalog; `createTables` makes them from schema.sql, as an application's own
 * migrations would. Primary keys of the derived tables start with the partition column, so that one partition is
 * one range of the index.
 */
import { readFile } from "node:fs/promises";
import {
  bigint,
  boolean,
  date,
  index,
  integer,
  numeric,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
} from "drizzle-orm/pg-core";
import type { ClientBase } from "pg";

/** One row per flight, as published; `id` is the row's ordinal in the file, because the data has no key of its own. */
export const flight = pgTable(
  "flight",
  {
    id: bigint({ mode: "number" }).primaryKey(),
    /** Wall-clock time at the airport of origin. */
    departedAt: timestamp("departed_at", { mode: "string" }).notNull(),
    /** Minutes; negative means early. */
    delay: integer().notNull(),
    /** Miles. */
    distance: integer().notNull(),
    origin: text().notNull(),
    destination: text().notNull(),
  },
  (table) => [index("flight_departed_at").on(table.departedAt)],
);

/** One row per flight with what every report derives from it. */
export const flightFacts = pgTable(
  "flight_facts",
  {
    id: bigint({ mode: "number" }).primaryKey(),
    flightDate: date("flight_date", { mode: "string" }).notNull(),
    departureHour: smallint("departure_hour").notNull(),
    origin: text().notNull(),
    destination: text().notNull(),
    delay: integer().notNull(),
    isEarly: boolean("is_early").notNull(),
    delayClass: text("delay_class").notNull(),
    distance: integer().notNull(),
    distanceBand: text("distance_band").notNull(),
  },
  (table) => [index("flight_facts_flight_date").on(table.flightDate)],
);

export const airportDay = pgTable(
  "airport_day",
  {
    day: date({ mode: "string" }).notNull(),
    airport: text().notNull(),
    flights: integer().notNull(),
    earlyFlights: integer("early_flights").notNull(),
    /** The numerator of the average, kept so that coarser tables add integers and never average averages. */
    delayMinutes: integer("delay_minutes").notNull(),
    averageDelay: numeric("average_delay", { precision: 8, scale: 2 }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.airport] })],
);

export const routeDay = pgTable(
  "route_day",
  {
    day: date({ mode: "string" }).notNull(),
    origin: text().notNull(),
    destination: text().notNull(),
    flights: integer().notNull(),
    delayMinutes: integer("delay_minutes").notNull(),
    averageDelay: numeric("average_delay", { precision: 8, scale: 2 }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.origin, table.destination] })],
);

export const airportMonth = pgTable(
  "airport_month",
  {
    month: date({ mode: "string" }).notNull(),
    airport: text().notNull(),
    flights: integer().notNull(),
    delayMinutes: integer("delay_minutes").notNull(),
    averageDelay: numeric("average_delay", { precision: 8, scale: 2 }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.month, table.airport] })],
);

/** The average over a day and the six days before it. */
export const airportTrend = pgTable(
  "airport_trend",
  {
    day: date({ mode: "string" }).notNull(),
    airport: text().notNull(),
    days: integer().notNull(),
    flights: integer().notNull(),
    averageDelay: numeric("average_delay", { precision: 8, scale: 2 }).notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.airport] })],
);

/** Airports from the longest average delay down. A fix makes them swap ranks, hence the deferrable constraint. */
export const airportRanking = pgTable(
  "airport_ranking",
  {
    airport: text().primaryKey(),
    rank: integer().notNull(),
    flights: integer().notNull(),
    averageDelay: numeric("average_delay", { precision: 8, scale: 2 }).notNull(),
    /** Written by people, not by the transform: recomputing and rolling back must leave it alone. */
    note: text().notNull().default(""),
  },
  (table) => [unique("airport_ranking_rank").on(table.rank)],
);

/** The derived tables in the order in which they depend on each other. */
export const derivedTables = [
  "flight_facts",
  "airport_day",
  "route_day",
  "airport_month",
  "airport_trend",
  "airport_ranking",
] as const;

export type DerivedTable = (typeof derivedTables)[number];

/** Creates what is missing; existing tables keep their rows. */
export async function createTables(client: ClientBase): Promise<void> {
  await client.query(await readFile(new URL("schema.sql", import.meta.url), "utf8"));
}

/** Drops the derived tables and all that rederive and its queues keep; the loaded source stays. */
export async function dropDerived(client: ClientBase): Promise<void> {
  await client.query(`drop table if exists ${derivedTables.join(", ")} cascade`);
  await client.query("drop schema if exists rederive, rederive_candidate, rederive_restore, bullmq cascade");
}
