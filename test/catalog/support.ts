/** Tables and definitions that the catalog's tests share. */
import { sql } from "drizzle-orm";
import { bigint, date, integer, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { derived, source } from "../../src/catalog/dataset.ts";
import { daily } from "../../src/catalog/scheme.ts";

/** One column of each type that a scheme can be over. */
export const events = pgTable("events", {
  id: bigint("id", { mode: "number" }).notNull(),
  at: timestamp("at", { withTimezone: true }).notNull(),
  wall: timestamp("wall").notNull(),
  day: date("day").notNull(),
  code: text("code").notNull(),
});

export const totals = pgTable("totals", {
  day: date("day").notNull(),
  code: text("code").notNull(),
  cents: integer("cents").notNull(),
  note: text("note").default("none"),
});

export const zones = [
  "UTC",
  "Australia/Lord_Howe",
  "America/New_York",
  "Europe/Bratislava",
  "Asia/Kolkata",
  "Pacific/Apia",
  "America/St_Johns",
  "America/Sao_Paulo",
] as const;

export const eventRows = source(events, { partitions: daily(events.at) });

export const totalsByDay = derived(totals, {
  version: 1,
  key: [totals.day, totals.code],
  partitions: daily(totals.day),
  inputs: { events: eventRows },
  select: ({ db, events }) =>
    db.select({ day: sql<string>`${events.at}::date`, code: events.code, cents: sql<number>`1` }).from(events),
});
