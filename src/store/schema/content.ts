/** What is there and where it came from: stamps, live pointers, restore points, checks, metrics and baselines. */
import { sql } from "drizzle-orm";
import { boolean, check, index, integer, jsonb, primaryKey, text, unique, uniqueIndex } from "drizzle-orm/pg-core";
import { at, controlTable, id, multirange } from "./columns.ts";

/** What a task read, ran and wrote: the row that lineage is made of. One a task, written in its work transaction. */
export const stamp = controlTable(
  "stamp",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    task: id("task").notNull(),
    backfill: text("backfill").notNull(),
    dataset: text("dataset").notNull(),
    partition: id("partition").notNull(),
    epoch: integer("epoch").notNull(),
    fingerprint: text("fingerprint").notNull(),
    definition: text("definition").notNull(),
    /** [{ input, dataset, recomputed: [[from, to)…], live: [[from, to)…] }] */
    inputs: jsonb("inputs").notNull(),
    snapshot: text("snapshot").notNull(),
    rowsRead: id("rows_read"),
    rowsWritten: id("rows_written").notNull(),
    hashAlgorithm: text("hash_algorithm").notNull(),
    /** An unsigned 64-bit number as decimal text. */
    outputHash: text("output_hash").notNull(),
    checks: jsonb("checks").notNull(),
    worker: text("worker").notNull(),
    traceId: text("trace_id"),
    startedAt: at("started_at").notNull(),
    finishedAt: at("finished_at").notNull(),
    /** The stamp of those who computed the rows, where they were taken over from an earlier backfill. */
    adoptedFrom: id("adopted_from"),
  },
  (table) => [unique("stamp_task").on(table.task), index("stamp_partition").on(table.dataset, table.partition)],
);

/** What is live now, partition by partition. */
export const live = controlTable(
  "live",
  {
    dataset: text("dataset").notNull(),
    partition: id("partition").notNull(),
    stamp: id("stamp").notNull(),
    backfill: text("backfill").notNull(),
    fingerprint: text("fingerprint").notNull(),
    outputHash: text("output_hash").notNull(),
    rows: id("rows").notNull(),
    /** The content was proved equal to what the newer fingerprint would give, and was not computed again. */
    unchanged: boolean("unchanged").notNull().default(false),
    promotedAt: at("promoted_at").notNull().defaultNow(),
    /** When a rollback put this pointer back, which `promoted_at` does not tell. */
    restoredAt: at("restored_at"),
    /**
     * [{ dataset, partitions, content }]: what of other datasets it was computed from, as a multirange, and the digest of
     * their content then. Null where an older version did not write it down.
     */
    reads: jsonb("reads"),
    /** When `reads` was written down: what was promoted since then may differ from it. */
    readsAt: at("reads_at"),
    /** Hash of the metadata (in `definition`) whose checks it was validated with; null where unknown. */
    metadata: text("metadata"),
  },
  (table) => [primaryKey({ columns: [table.dataset, table.partition] })],
);

/**
 * What Postgres had counted of writes into a live table when the last promotion or rollback ended: as long as it counts
 * no more, nobody else has written to it, and content is what its stamps say.
 */
export const liveWrites = controlTable("live_writes", {
  dataset: text("dataset").primaryKey(),
  /** Identifies the table's files and the run of the server that counts. */
  storage: text("storage").notNull(),
  writes: id("writes").notNull(),
  /** Partitions promoted since then have seen no other writer. */
  since: at("since").notNull(),
});

/** What stands behind a data fingerprint or a metadata hash, kept so that a plan can say what changed. Never updated. */
export const definition = controlTable("definition", {
  hash: text("hash").primaryKey(),
  dataset: text("dataset").notNull(),
  /** See DataShape and MetadataShape in catalog/definition.ts. */
  content: jsonb("content").notNull(),
  createdAt: at("created_at").notNull().defaultNow(),
});

/** The `live` rows that a promotion replaced (`prior` is null where there was none), to be put back by a rollback. */
export const liveBefore = controlTable(
  "live_before",
  {
    backfill: text("backfill").notNull(),
    dataset: text("dataset").notNull(),
    partition: id("partition").notNull(),
    prior: jsonb("prior"),
  },
  (table) => [primaryKey({ columns: [table.backfill, table.dataset, table.partition] })],
);

/** One promoted dataset of one backfill; the before-images are in a table of its own, named in backfill_dataset. */
export const restorePoint = controlTable(
  "restore_point",
  {
    backfill: text("backfill").notNull(),
    dataset: text("dataset").notNull(),
    inserted: id("inserted").notNull(),
    updated: id("updated").notNull(),
    deleted: id("deleted").notNull(),
    /** Partitions that had no live rows: their before-image is "nothing", so no row of theirs is kept. */
    wasEmpty: multirange("was_empty").notNull(),
    /** Our own transactions as rows show them in `xmin`, comma-separated: tells rows that others wrote later. */
    writtenBy: text("written_by").notNull(),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.backfill, table.dataset] })],
);

/** One evaluated check: of a task's partition, or of a whole dataset (`partition` is null). */
export const checkResult = controlTable(
  "check_result",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    backfill: text("backfill").notNull(),
    dataset: text("dataset").notNull(),
    partition: id("partition"),
    name: text("name").notNull(),
    severity: text("severity").notNull(),
    failures: id("failures").notNull(),
    /** { message, sql, rows: [...] }: at most a handful of offending rows as text. */
    evidence: jsonb("evidence").notNull(),
    createdAt: at("created_at").notNull().defaultNow(),
  },
  (table) => [
    check("check_result_severity", sql`${table.severity} in ('error','warn')`),
    index("check_result_of").on(table.backfill, table.dataset),
  ],
);

/** Metrics of one stamped partition, measured once: what anomalies are judged by. */
export const metric = controlTable(
  "metric",
  {
    stamp: id("stamp").primaryKey(),
    dataset: text("dataset").notNull(),
    partition: id("partition").notNull(),
    /** { rows, nulls: { column: n }, distinct: { column: n }, sums: { column: n } } */
    values: jsonb("values").notNull(),
    measuredAt: at("measured_at").notNull().defaultNow(),
  },
  (table) => [index("metric_partition").on(table.dataset, table.partition)],
);

/** One version of a golden baseline: what a dataset or a query gave when it was captured; its rows are in a table of its own. */
export const baseline = controlTable(
  "baseline",
  {
    name: text("name").notNull(),
    version: integer("version").notNull(),
    dataset: text("dataset").notNull(),
    /** Null for all partitions. */
    partitions: multirange("partitions"),
    /** Null where it holds rows of the dataset itself. */
    query: text("query"),
    key: text("key").array().notNull(),
    columns: text("columns").array().notNull(),
    /** { column: { absolute } or { relative } } */
    tolerance: jsonb("tolerance").notNull(),
    severity: text("severity").notNull(),
    /** Quoted, qualified name of the table with its rows. */
    rowsIn: text("rows_in").notNull(),
    rows: id("rows").notNull(),
    contentHash: text("content_hash").notNull(),
    hashAlgorithm: text("hash_algorithm").notNull(),
    /** { fingerprint, live: digest of the live stamps, server } */
    provenance: jsonb("provenance").notNull(),
    state: text("state").notNull().default("captured"),
    reason: text("reason").notNull(),
    capturedBy: text("captured_by").notNull(),
    capturedAt: at("captured_at").notNull().defaultNow(),
    decidedBy: text("decided_by"),
    decidedAt: at("decided_at"),
  },
  (table) => [
    primaryKey({ columns: [table.name, table.version] }),
    check("baseline_state", sql`${table.state} in ('captured','approved','retired')`),
    check("baseline_severity", sql`${table.severity} in ('error','warn')`),
    uniqueIndex("baseline_approved").on(table.name).where(sql`${table.state} = 'approved'`),
  ],
);

/** The columns that the table of a dataset had when a backfill that reads or writes it was last started. */
export const tableShape = controlTable("table_shape", {
  dataset: text("dataset").primaryKey(),
  /** [{ name, type, number }] in the table's order. */
  columns: jsonb("columns").notNull(),
  backfill: text("backfill").notNull(),
  seenAt: at("seen_at").notNull().defaultNow(),
});

/** The last look at live data of a dataset that is validated on a schedule. */
export const watch = controlTable("watch", {
  dataset: text("dataset").primaryKey(),
  startedAt: at("started_at").notNull(),
  /** Null while it is under way, or where its process died. */
  finishedAt: at("finished_at"),
  /** Checks that fail on live content; null where the look could not be carried out, and then `error` says why. */
  failing: integer("failing"),
  /** Partitions that were read. */
  checked: integer("checked"),
  error: text("error"),
  /** What Postgres had counted of writes, and the rules: as long as it is the same there is nothing new to see. */
  seen: text("seen"),
});
