/** Who decided what: the audit trail and its chain, tokens, identities, sessions, approvals. */
import { sql } from "drizzle-orm";
import { check, foreignKey, index, integer, jsonb, primaryKey, text, unique } from "drizzle-orm/pg-core";
import { at, controlTable, id } from "./columns.ts";
import { backfill } from "./work.ts";

export const audit = controlTable(
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
export const auditPending = controlTable("audit_pending", { entry: id("entry").primaryKey() });

/** The chain over `audit`: one row an entry, gap-free. Unique columns keep it from forking. See governance/chain.ts. */
export const auditChain = controlTable("audit_chain", {
  seq: id("seq").primaryKey(),
  entry: id("entry").notNull().unique(),
  entryHash: text("entry_hash").notNull(),
  prevHash: text("prev_hash").notNull().unique(),
  hash: text("hash").notNull(),
});

/** Where the chain begins after old entries were taken out: the signed checkpoint of the last one that went. */
export const auditPruned = controlTable("audit_pruned", {
  seq: id("seq").primaryKey(),
  checkpoint: jsonb("checkpoint").notNull(),
  prunedBy: text("pruned_by").notNull(),
  prunedAt: at("pruned_at").notNull().default(sql`clock_timestamp()`),
});

/** API tokens; only the SHA-256 of a token is kept. */
export const apiToken = controlTable(
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
export const approval = controlTable(
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
    // What was taken back counts for nothing: approvals of rollbacks were bound to nothing once, and stay as they were said.
    check(
      "approval_of_difference",
      sql`${table.withdrawnAt} is not null or
        (${table.act} in ('promote', 'rollback') and ${table.verdict} = 'approved') = (${table.diffDigest} is not null)`,
    ),
    index("approval_backfill").on(table.backfill),
  ],
);

/** A person whom an OpenID issuer vouched for, as of the last time. */
export const identity = controlTable(
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
export const session = controlTable("session", {
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
export const keyedRequest = controlTable(
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
