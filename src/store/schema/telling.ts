/** What others are told: messages to them, OpenLineage runs, and how each exposure was when its consumers last heard. */
import { sql } from "drizzle-orm";
import { check, index, integer, primaryKey, text } from "drizzle-orm/pg-core";
import { at, controlTable, id } from "./columns.ts";
import { backfill } from "./work.ts";

/**
 * Events and notifications that are to leave the system, written in the transaction that decided on them and deleted
 * when they have arrived; so that each is sent at least once.
 */
export const message = controlTable(
  "message",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    channel: text("channel").notNull(),
    /** Who it is for, where a channel has several. */
    target: text("target").notNull().default(""),
    body: text("body").notNull(),
    attempts: integer("attempts").notNull().default(0),
    nextAt: at("next_at").notNull().default(sql`clock_timestamp()`),
    createdAt: at("created_at").notNull().default(sql`clock_timestamp()`),
    error: text("error"),
    /** When its receiver refused it for good: it is kept for people to see, and not sent any more. */
    failedAt: at("failed_at"),
  },
  (table) => [
    check("message_channel", sql`${table.channel} in ('openlineage','webhook')`),
    index("message_of").on(table.channel, table.target, table.id),
  ],
);

/** What OpenLineage was told of a dataset of a backfill, or of the backfill itself (`dataset` is empty). */
export const lineageRun = controlTable(
  "lineage_run",
  {
    backfill: text("backfill")
      .notNull()
      .references(() => backfill.id),
    dataset: text("dataset").notNull(),
    /** A run that failed begins anew after a retry, as a run of its own. */
    attempt: integer("attempt").notNull(),
    run: text("run").notNull(),
    beganAt: at("began_at").notNull(),
    /** Of the last event. */
    toldAt: at("told_at").notNull(),
    /** Null while it runs. */
    ended: text("ended"),
  },
  (table) => [
    primaryKey({ columns: [table.backfill, table.dataset, table.attempt] }),
    check("lineage_run_ended", sql`${table.ended} in ('COMPLETE','FAIL','ABORT')`),
  ],
);

/** The exposures of the catalog, and how each was when its consumers were last told; see the view exposure_status. */
export const exposure = controlTable("exposure", {
  name: text("name").primaryKey(),
  criticality: text("criticality").notNull(),
  /** Datasets. */
  reads: text("reads").array().notNull(),
  /** The derived ones of these, and every derived one above them. */
  upstream: text("upstream").array().notNull(),
  /** Null before anybody looked. */
  status: text("status"),
  changedAt: at("changed_at"),
});
