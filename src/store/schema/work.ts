/** Plans at work: backfills with their tasks, dependencies, phases and reservations, and the processes that carry them. */
import { sql } from "drizzle-orm";
import { boolean, check, foreignKey, index, integer, jsonb, primaryKey, text, unique } from "drizzle-orm/pg-core";
import { at, controlTable, id, multirange } from "./columns.ts";

/** Small facts about the schema itself; `requires_code` is the oldest code level that may still work with it. */
export const meta = controlTable("meta", {
  key: text("key").primaryKey(),
  value: text("value").notNull(),
});

export const backfill = controlTable(
  "backfill",
  {
    id: text("id").primaryKey(),
    state: text("state").notNull().default("planned"),
    planHash: text("plan_hash").notNull(),
    /** Canonical JSON, kept as text so that its hash can be computed again. */
    decision: text("decision").notNull(),
    forecast: jsonb("forecast").notNull().default({}),
    reason: text("reason").notNull(),
    environment: text("environment").notNull(),
    requestedBy: text("requested_by").notNull(),
    /** Approvals by other people that the plan needs before it starts, and before it is promoted. */
    startApprovals: integer("start_approvals").notNull().default(0),
    promotionApprovals: integer("promotion_approvals").notNull().default(0),
    /** Owner groups of which somebody has to be among those who approve the plan. */
    signOff: text("sign_off").array().notNull().default(sql`'{}'`),
    lane: text("lane").notNull().default("backfill"),
    /** W3C traceparent of the planning span, so that every task joins one trace. */
    traceparent: text("traceparent"),
    stateReason: text("state_reason"),
    createdAt: at("created_at").notNull().defaultNow(),
    approvedAt: at("approved_at"),
    startedAt: at("started_at"),
    verifiedAt: at("verified_at"),
    promotedAt: at("promoted_at"),
    /** The last time. */
    rolledBackAt: at("rolled_back_at"),
    finishedAt: at("finished_at"),
  },
  (table) => [
    check(
      "backfill_state",
      sql`${table.state} in ('planned','approved','running','paused','held','verified','promoting','promoted','finalized','rolled_back','cancelled','failed')`,
    ),
    index("backfill_active").on(table.state).where(sql`${table.state} in ('running','paused','held','promoting')`),
    index("backfill_created").on(table.createdAt),
    // Approvals refer to it, so that each is bound to the plan and to who asked for it.
    unique("backfill_asked").on(table.id, table.planHash, table.requestedBy),
  ],
);

/** One dataset that a backfill recomputes, with its hold. */
export const backfillDataset = controlTable(
  "backfill_dataset",
  {
    backfill: text("backfill")
      .notNull()
      .references(() => backfill.id),
    dataset: text("dataset").notNull(),
    ordinal: integer("ordinal").notNull(),
    partitions: multirange("partitions").notNull(),
    fingerprint: text("fingerprint").notNull(),
    definition: text("definition").notNull(),
    queue: text("queue").notNull(),
    criticality: integer("criticality").notNull().default(0),
    /** Quoted, schema-qualified names of the tables made for this backfill. */
    candidate: text("candidate").notNull(),
    restorePoint: text("restore_point").notNull(),
    held: boolean("held").notNull().default(false),
    holdReason: text("hold_reason"),
    heldAt: at("held_at"),
    /** A person has seen what the checks of the whole dataset found and went on. */
    accepted: boolean("accepted").notNull().default(false),
    /** When code drift was first seen: no live worker has this definition. */
    driftedAt: at("drifted_at"),
  },
  (table) => [primaryKey({ columns: [table.backfill, table.dataset] })],
);

export const task = controlTable(
  "task",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    backfill: text("backfill").notNull(),
    dataset: text("dataset").notNull(),
    partition: id("partition").notNull(),
    /** Release order within the backfill: upstreams have lower ranks than their consumers. */
    rank: id("rank").notNull(),
    state: text("state").notNull(),
    /** In the plan for its recomputed inputs alone: unchanged where those come out as they were (see cutoff.ts). */
    prunable: boolean("prunable").notNull().default(false),
    epoch: integer("epoch").notNull().default(0),
    /** Attempts that ended in an error since the last retry by a person. */
    attempts: integer("attempts").notNull().default(0),
    /** Attempts that ended with the loss of their worker since the last retry by a person. */
    losses: integer("losses").notNull().default(0),
    /** When its job was put into the queue; null while it waits outside the window. */
    releasedAt: at("released_at"),
    worker: text("worker"),
    backendPid: integer("backend_pid"),
    backendStart: text("backend_start"),
    claimedAt: at("claimed_at"),
    finishedAt: at("finished_at"),
    error: jsonb("error"),
  },
  (table) => [
    unique("task_partition").on(table.backfill, table.dataset, table.partition),
    foreignKey({
      name: "task_dataset",
      columns: [table.backfill, table.dataset],
      foreignColumns: [backfillDataset.backfill, backfillDataset.dataset],
    }),
    check(
      "task_state",
      sql`${table.state} in ('waiting','ready','running','done','unchanged','stale','failed','quarantined','cancelled')`,
    ),
    index("task_unreleased")
      .on(table.backfill, table.rank)
      .where(
        sql`${table.releasedAt} is null and (${table.state} = 'ready' or (${table.state} = 'waiting' and not ${table.prunable}))`,
      ),
    // Before a gate nothing is to be left that waits to be decided, and behind it there may be a million.
    index("task_undecided").on(table.backfill, table.rank).where(sql`${table.state} = 'waiting' and ${table.prunable}`),
    index("task_window")
      .on(table.backfill, table.id)
      .where(sql`${table.releasedAt} is not null and ${table.state} in ('waiting','ready','running')`),
    index("task_open")
      .on(table.backfill, table.state)
      .where(sql`${table.state} in ('waiting','ready','running','stale','failed','quarantined')`),
    index("task_running").on(table.worker).where(sql`${table.state} = 'running'`),
  ],
);

/** A consumer needs its producer's output; `done` is set in the producer's work transaction. */
export const edge = controlTable(
  "edge",
  {
    producer: id("producer").notNull(),
    consumer: id("consumer").notNull(),
    done: boolean("done").notNull().default(false),
  },
  (table) => [
    primaryKey({ columns: [table.producer, table.consumer] }),
    index("edge_consumer").on(table.consumer),
    index("edge_undone").on(table.consumer).where(sql`not ${table.done}`),
  ],
);

/**
 * One phase of a backfill that widens step by step. Tasks are ranked phase by phase, so that a phase begins at a rank, and
 * from the first rank of a waiting phase on nothing is released. Only backfills whose plan has phases have rows.
 */
export const phase = controlTable(
  "phase",
  {
    backfill: text("backfill")
      .notNull()
      .references(() => backfill.id),
    ordinal: integer("ordinal").notNull(),
    name: text("name").notNull(),
    firstRank: id("first_rank").notNull(),
    tasks: integer("tasks").notNull(),
    gate: text("gate").notNull(),
    /** waiting, open (its tasks are released), judged (clean, and waits for approval) or passed. */
    state: text("state").notNull(),
    openedAt: at("opened_at"),
    judgedAt: at("judged_at"),
    passedAt: at("passed_at"),
    /** Who let it pass: a person, or the planner where the gate is automatic. */
    passedBy: text("passed_by"),
    /** What differed at its gate, of all that was computed by then: [{ dataset, added, removed, changed, unchanged }]. */
    found: jsonb("found"),
  },
  (table) => [
    primaryKey({ columns: [table.backfill, table.ordinal] }),
    check("phase_gate", sql`${table.gate} in ('automatic','approval')`),
    check("phase_state", sql`${table.state} in ('waiting','open','judged','passed')`),
  ],
);

/**
 * Which partitions an active backfill writes and reads. Two exclusion constraints (they are in the migration, as
 * drizzle-kit cannot say them) refuse write/write and write/read overlaps of different backfills.
 */
export const reservation = controlTable(
  "reservation",
  {
    backfill: text("backfill")
      .notNull()
      .references(() => backfill.id),
    dataset: text("dataset").notNull(),
    mode: text("mode").notNull(),
    keys: multirange("keys").notNull(),
    active: boolean("active").notNull().default(true),
  },
  (table) => [
    primaryKey({ columns: [table.backfill, table.dataset, table.mode] }),
    check("reservation_mode", sql`${table.mode} in ('read','write')`),
  ],
);

/** A process of the fleet. Its `lease_until` is the lease of every task that it runs. */
export const worker = controlTable("worker", {
  id: text("id").primaryKey(),
  kind: text("kind").notNull(),
  host: text("host").notNull(),
  pid: integer("pid").notNull(),
  concurrency: integer("concurrency").notNull(),
  codeLevel: integer("code_level").notNull(),
  /** { dataset: definition hash } of the catalog that it has loaded. */
  definitions: jsonb("definitions").notNull(),
  draining: boolean("draining").notNull().default(false),
  startedAt: at("started_at").notNull().defaultNow(),
  leaseUntil: at("lease_until").notNull(),
});

/** One row a loop that only one process may run at a time; `term` fences the writes of a former leader. */
export const leader = controlTable("leader", {
  name: text("name").primaryKey(),
  holder: text("holder").notNull(),
  term: id("term").notNull(),
  leaseUntil: at("lease_until").notNull(),
});

/** Limits changed at run time; they outlive Redis. Null means no limit. */
export const queueLimit = controlTable("queue_limit", {
  queue: text("queue").primaryKey(),
  max: integer("max"),
  perMs: integer("per_ms"),
  concurrency: integer("concurrency"),
  changedBy: text("changed_by").notNull(),
  changedAt: at("changed_at").notNull().defaultNow(),
});
