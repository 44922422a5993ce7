/**
 * The control schema, for drizzle-kit alone: `npx drizzle-kit generate` turns a change here into a migration.
 * Queries are written in SQL in the other files of this folder, one file a table group.
 *
 * Ids of people's things (backfills) are short texts; ids of rows are int8 and travel as text. Partitions are
 * ordinals (see catalog/scheme.ts), and sets of them int8multiranges.
 */
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  customType,
  foreignKey,
  index,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
} from "drizzle-orm/pg-core";

const rederive = pgSchema("rederive");

const multirange = customType<{ data: string }>({ dataType: () => "int8multirange" });
const id = (name: string) => bigint(name, { mode: "bigint" });
const at = (name: string) => timestamp(name, { withTimezone: true });

/** Small facts about the schema itself; `requires_code` is the oldest code level that may still work with it. */
export const meta = rederive.table("meta", {
  key: text("key").primaryKey(),
  value: text("value").notNull(),
});

export const backfill = rederive.table(
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
export const backfillDataset = rederive.table(
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

export const task = rederive.table(
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
export const edge = rederive.table(
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
export const phase = rederive.table(
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

/** What a task read, ran and wrote: the row that lineage is made of. One a task, written in its work transaction. */
export const stamp = rederive.table(
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
export const live = rederive.table(
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
export const liveWrites = rederive.table("live_writes", {
  dataset: text("dataset").primaryKey(),
  /** Identifies the table's files and the run of the server that counts. */
  storage: text("storage").notNull(),
  writes: id("writes").notNull(),
  /** Partitions promoted since then have seen no other writer. */
  since: at("since").notNull(),
});

/** What stands behind a data fingerprint or a metadata hash, kept so that a plan can say what changed. Never updated. */
export const definition = rederive.table("definition", {
  hash: text("hash").primaryKey(),
  dataset: text("dataset").notNull(),
  /** See DataShape and MetadataShape in catalog/definition.ts. */
  content: jsonb("content").notNull(),
  createdAt: at("created_at").notNull().defaultNow(),
});

/** The `live` rows that a promotion replaced (`prior` is null where there was none), to be put back by a rollback. */
export const liveBefore = rederive.table(
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
export const restorePoint = rederive.table(
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

/**
 * Which partitions an active backfill writes and reads. Two exclusion constraints (they are in the migration, as
 * drizzle-kit cannot say them) refuse write/write and write/read overlaps of different backfills.
 */
export const reservation = rederive.table(
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

/** One evaluated check: of a task's partition, or of a whole dataset (`partition` is null). */
export const checkResult = rederive.table(
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
export const metric = rederive.table(
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
export const baseline = rederive.table(
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
export const tableShape = rederive.table("table_shape", {
  dataset: text("dataset").primaryKey(),
  /** [{ name, type, number }] in the table's order. */
  columns: jsonb("columns").notNull(),
  backfill: text("backfill").notNull(),
  seenAt: at("seen_at").notNull().defaultNow(),
});

/** The last look at live data of a dataset that is validated on a schedule. */
export const watch = rederive.table("watch", {
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

/** A process of the fleet. Its `lease_until` is the lease of every task that it runs. */
export const worker = rederive.table("worker", {
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
export const leader = rederive.table("leader", {
  name: text("name").primaryKey(),
  holder: text("holder").notNull(),
  term: id("term").notNull(),
  leaseUntil: at("lease_until").notNull(),
});

/** Limits changed at run time; they outlive Redis. Null means no limit. */
export const queueLimit = rederive.table("queue_limit", {
  queue: text("queue").primaryKey(),
  max: integer("max"),
  perMs: integer("per_ms"),
  concurrency: integer("concurrency"),
  changedBy: text("changed_by").notNull(),
  changedAt: at("changed_at").notNull().defaultNow(),
});

export const audit = rederive.table(
  "audit",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    at: at("at").notNull().default(sql`clock_timestamp()`),
    actor: text("actor").notNull(),
    act: text("act").notNull(),
    backfill: text("backfill"),
    dataset: text("dataset"),
    reason: text("reason"),
    planHash: text("plan_hash"),
    details: jsonb("details").notNull().default({}),
  },
  (table) => [
    index("audit_backfill").on(table.backfill),
    // How often somebody was refused lately is asked before the next refusal is written.
    index("audit_denied").on(table.actor, table.at).where(sql`${table.act} = 'denied'`),
  ],
);

/**
 * Rows of `audit` that the sequencer has not chained yet. A trigger on `audit` writes them, so that no writer can forget
 * it, and that a transaction that commits late is found whatever its ids are.
 */
export const auditPending = rederive.table("audit_pending", { entry: id("entry").primaryKey() });

/** The chain over `audit`: one row an entry, gap-free. Unique columns keep it from forking. See governance/chain.ts. */
export const auditChain = rederive.table("audit_chain", {
  seq: id("seq").primaryKey(),
  entry: id("entry").notNull().unique(),
  entryHash: text("entry_hash").notNull(),
  prevHash: text("prev_hash").notNull().unique(),
  hash: text("hash").notNull(),
});

/** Where the chain begins after old entries were taken out: the signed checkpoint of the last one that went. */
export const auditPruned = rederive.table("audit_pruned", {
  seq: id("seq").primaryKey(),
  checkpoint: jsonb("checkpoint").notNull(),
  prunedBy: text("pruned_by").notNull(),
  prunedAt: at("pruned_at").notNull().default(sql`clock_timestamp()`),
});

/** API tokens; only the SHA-256 of a token is kept. */
export const apiToken = rederive.table(
  "api_token",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    name: text("name").notNull(),
    role: text("role").notNull(),
    prefix: text("prefix").notNull(),
    /** Whose it is: two tokens of one person are one person. */
    person: text("person"),
    /** Owner groups that its person speaks for; null for all. */
    groups: text("groups").array(),
    hash: text("hash").notNull().unique(),
    createdBy: text("created_by").notNull(),
    createdAt: at("created_at").notNull().defaultNow(),
    expiresAt: at("expires_at"),
    lastUsedAt: at("last_used_at"),
    revokedAt: at("revoked_at"),
  },
  (table) => [check("api_token_role", sql`${table.role} in ('viewer','operator','approver','admin')`)],
);

/**
 * What people said of a plan: approvals, requests for changes and comments. An approval counts for the plan and, of a
 * promotion or a rollback, for what was seen of it. Nobody approves what they asked for, whoever writes the row.
 */
export const approval = rederive.table(
  "approval",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    backfill: text("backfill").notNull(),
    planHash: text("plan_hash").notNull(),
    requester: text("requester").notNull(),
    act: text("act").notNull(),
    verdict: text("verdict").notNull(),
    approver: text("approver").notNull(),
    /** Owner groups that the approver speaks for; null for all. */
    groups: text("groups").array(),
    /** The API token that was used; an approval ends with the rights of its token. */
    token: id("token").references(() => apiToken.id),
    /** The identity of an issuer that was used; null for a token, or where the library itself was called. */
    identity: id("identity").references(() => identity.id),
    /** Of the tables that the plan reads and writes, as they were. */
    schemaHash: text("schema_hash").notNull(),
    /** Of what was seen: the difference of a promotion, or what a rollback does to later writes. */
    diffDigest: text("diff_digest"),
    comment: text("comment"),
    at: at("at").notNull().default(sql`clock_timestamp()`),
    expiresAt: at("expires_at").notNull(),
    withdrawnAt: at("withdrawn_at"),
  },
  (table) => [
    foreignKey({
      name: "approval_plan",
      columns: [table.backfill, table.planHash, table.requester],
      foreignColumns: [backfill.id, backfill.planHash, backfill.requestedBy],
    }),
    check("approval_act", sql`${table.act} in ('start','promote','rollback')`),
    check("approval_verdict", sql`${table.verdict} in ('approved','changes_requested','commented')`),
    check("approval_by_another", sql`${table.verdict} <> 'approved' or ${table.approver} <> ${table.requester}`),
    check(
      "approval_of_difference",
      sql`(${table.act} in ('promote', 'rollback') and ${table.verdict} = 'approved') = (${table.diffDigest} is not null)`,
    ),
    index("approval_backfill").on(table.backfill),
  ],
);

/**
 * Events and notifications that are to leave the system, written in the transaction that decided on them and deleted
 * when they have arrived; so that each is sent at least once.
 */
export const message = rederive.table(
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
export const lineageRun = rederive.table(
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
export const exposure = rederive.table("exposure", {
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

/** A person whom an OpenID issuer vouched for, as of the last time. */
export const identity = rederive.table(
  "identity",
  {
    id: id("id").primaryKey().generatedAlwaysAsIdentity(),
    issuer: text("issuer").notNull(),
    subject: text("subject").notNull(),
    /** What they were called when they first came; it stays, so that nobody becomes another person by a new name. */
    person: text("person").notNull().unique(),
    /** Null where none of their roles means one here: then earlier approvals of theirs do not count. */
    role: text("role"),
    groups: text("groups").array(),
    /** When the newest of their tokens was issued: an older one does not bring back a right that they have lost. */
    issuedAt: at("issued_at").notNull().default(sql`'-infinity'`),
    firstSeenAt: at("first_seen_at").notNull().default(sql`clock_timestamp()`),
    seenAt: at("seen_at").notNull().default(sql`clock_timestamp()`),
    /** Shut out by an admin, whatever the issuer says. */
    disabledAt: at("disabled_at"),
  },
  (table) => [
    unique("identity_subject").on(table.issuer, table.subject),
    check("identity_role", sql`${table.role} in ('viewer','operator','approver','admin')`),
  ],
);

/** A browser that somebody has logged in with; only the SHA-256 of its cookie is kept. */
export const session = rederive.table("session", {
  id: id("id").primaryKey().generatedAlwaysAsIdentity(),
  hash: text("hash").notNull().unique(),
  identity: id("identity")
    .notNull()
    .references(() => identity.id),
  /** SHA-256 of the state of the login, which leads to one session and no more. */
  state: text("state").notNull().unique(),
  createdAt: at("created_at").notNull().default(sql`clock_timestamp()`),
  seenAt: at("seen_at").notNull().default(sql`clock_timestamp()`),
});

/** A request that came with an Idempotency-Key, and what was answered; null before it was. */
export const keyedRequest = rederive.table(
  "keyed_request",
  {
    person: text("person").notNull(),
    key: text("key").notNull(),
    /** Of method, path, query and body. */
    hash: text("hash").notNull(),
    status: integer("status"),
    location: text("location"),
    body: text("body"),
    at: at("at").notNull().default(sql`clock_timestamp()`),
  },
  (table) => [primaryKey({ columns: [table.person, table.key] }), index("keyed_request_at").on(table.at)],
);
