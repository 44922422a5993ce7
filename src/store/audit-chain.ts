/**
 * Tables `audit_pending`, `audit_chain` and `audit_pruned`: what is chained, what waits for it, and where the chain
 * begins. What a link is made of is said in governance/chain.ts.
 */
import type { Tx } from "../tx.ts";
import type { AuditRecord } from "./audit.ts";

/** An arbitrary constant: the advisory lock of whoever appends to the chain or cuts its beginning. */
const lockKey = 7_337_201_736;

/** An entry, from `rederive.audit a`. */
export const recordColumns = `a.id::text as id, to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at,
  a.actor, a.act, a.backfill, a.dataset, a.reason, a.plan_hash as "planHash", a.details::text as details`;

export interface LinkRow {
  readonly seq: number;
  /** The id of the entry. */
  readonly entry: string;
  readonly entryHash: string;
  readonly prevHash: string;
  readonly hash: string;
}

/** Until the end of the transaction. What is read after it sees all that the last holder has committed. */
export async function lockChain(tx: Tx): Promise<void> {
  await tx.query("select pg_advisory_xact_lock($1::int8)", [lockKey]);
}

/** The same where nobody else holds it; false where somebody does, without waiting. */
export async function tryLockChain(tx: Tx): Promise<boolean> {
  const [row] = await tx.query<{ locked: boolean }>("select pg_try_advisory_xact_lock($1::int8) as locked", [lockKey]);
  return row?.locked === true;
}

/** Where the chain ends now; undefined where nothing was ever chained. */
export async function chainHead(tx: Tx): Promise<{ readonly seq: number; readonly hash: string } | undefined> {
  const [row] = await tx.query<{ seq: number; hash: string }>(
    `(select seq::float8 as seq, hash from rederive.audit_chain order by audit_chain.seq desc limit 1)
     union all
     (select seq::float8, checkpoint ->> 'hash' from rederive.audit_pruned order by audit_pruned.seq desc limit 1)
     order by seq desc limit 1`,
  );
  return row;
}

/** Committed entries that are not chained, oldest id first. */
export async function pendingEntries(tx: Tx, limit: number): Promise<AuditRecord[]> {
  return tx.query<AuditRecord>(
    `select ${recordColumns} from rederive.audit_pending p join rederive.audit a on a.id = p.entry
     order by p.entry limit $1::int`,
    [limit],
  );
}

export async function insertLinks(tx: Tx, links: readonly LinkRow[]): Promise<void> {
  await tx.query(
    `insert into rederive.audit_chain (seq, entry, entry_hash, prev_hash, hash)
     select seq, entry, "entryHash", "prevHash", hash from jsonb_to_recordset($1::text::jsonb)
       as l (seq int8, entry int8, "entryHash" text, "prevHash" text, hash text)`,
    [JSON.stringify(links)],
  );
}

export async function clearPending(tx: Tx, entries: readonly string[]): Promise<void> {
  await tx.query("delete from rederive.audit_pending where entry = any($1::int8[])", [entries]);
}

/** The newest entry that waits to be chained; undefined where none does. */
export async function newestPending(tx: Tx): Promise<string | undefined> {
  const [row] = await tx.query<{ entry: string | null }>(
    "select max(entry)::text as entry from rederive.audit_pending",
  );
  return row?.entry ?? undefined;
}

/** How many entries up to this one wait to be chained. */
export async function pendingThrough(tx: Tx, entry: string): Promise<number> {
  const [row] = await tx.query<{ waiting: number }>(
    "select count(*)::int as waiting from rederive.audit_pending where entry <= $1::text::int8",
    [entry],
  );
  return row?.waiting ?? 0;
}

/** How far the chain is behind. */
export interface AuditLag {
  /** Committed entries that are not chained yet. */
  readonly unchained: number;
  /** Age of the oldest of them; 0 where there is none. */
  readonly oldestSeconds: number;
}

export async function auditLag(tx: Tx): Promise<AuditLag> {
  const [row] = await tx.query<AuditLag>(
    `select count(*)::int as unchained,
       coalesce(greatest(extract(epoch from clock_timestamp() - min(a.at)), 0), 0)::float8 as "oldestSeconds"
     from rederive.audit_pending p join rederive.audit a on a.id = p.entry`,
  );
  return row ?? { unchained: 0, oldestSeconds: 0 };
}

export interface ChainedRow extends LinkRow {
  /** Null where the entry is missing. */
  readonly record: AuditRecord | null;
}

/** A page of the chain in order, after a place in it; `entry` tells links of one seq apart, of which there is one. */
export async function chainPage(
  tx: Tx,
  after: { readonly seq: number; readonly entry: string },
  limit: number,
): Promise<ChainedRow[]> {
  const rows = await tx.query<LinkRow & { [Key in keyof AuditRecord]: AuditRecord[Key] | null }>(
    `select c.seq::float8 as seq, c.entry::text as entry, c.entry_hash as "entryHash", c.prev_hash as "prevHash", c.hash,
       ${recordColumns}
     from rederive.audit_chain c left join rederive.audit a on a.id = c.entry
     where (c.seq, c.entry) > ($1::int8, $2::int8) order by c.seq, c.entry limit $3::int`,
    [after.seq, after.entry, limit],
  );
  return rows.map(({ seq, entry, entryHash, prevHash, hash, ...record }) => ({
    ...{ seq, entry, entryHash, prevHash, hash },
    record: record.id === null ? null : (record as AuditRecord),
  }));
}

/** Entries after an id that are not chained, in order of their ids. */
export async function unchainedPage(tx: Tx, after: string, limit: number): Promise<AuditRecord[]> {
  return tx.query<AuditRecord>(
    `select ${recordColumns} from rederive.audit a
     where a.id > $1::int8 and not exists (select from rederive.audit_chain c where c.entry = a.id)
     order by a.id limit $2::int`,
    [after, limit],
  );
}

export interface Unchained {
  readonly entries: number;
  /** ISO instant. */
  readonly oldestAt: string | null;
  /** Those that no sequencer will find: they were chained once, or were taken out of what waits. */
  readonly lost: number;
}

export async function unchainedEntries(tx: Tx): Promise<Unchained> {
  const [row] = await tx.query<Unchained>(
    `select count(*)::int as entries,
       to_char(min(a.at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "oldestAt",
       (count(*) filter (where not exists (select from rederive.audit_pending p where p.entry = a.id)))::int as lost
     from rederive.audit a where not exists (select from rederive.audit_chain c where c.entry = a.id)`,
  );
  return row ?? { entries: 0, oldestAt: null, lost: 0 };
}

/** The signed checkpoint behind which the chain begins, as it was stored; undefined where nothing was pruned. */
export async function prunedCheckpoint(tx: Tx): Promise<unknown> {
  const [row] = await tx.query<{ checkpoint: unknown }>(
    "select checkpoint from rederive.audit_pruned order by seq desc limit 1",
  );
  return row?.checkpoint;
}

/** The last link of which it and all before it are older than an instant; undefined where there is none. */
export async function lastBefore(tx: Tx, instant: string): Promise<{ seq: number; hash: string } | undefined> {
  const [row] = await tx.query<{ seq: number; hash: string }>(
    `select c.seq::float8 as seq, c.hash from rederive.audit_chain c
     where c.seq < coalesce((
       select min(y.seq) from rederive.audit_chain y join rederive.audit a on a.id = y.entry
       where a.at >= $1::text::timestamptz), 9223372036854775807)
     order by c.seq desc limit 1`,
    [instant],
  );
  return row;
}

/** Takes entries and links up to a checkpoint out. Returns how many. The triggers let go nothing beyond it. */
export async function pruneChain(
  tx: Tx,
  args: { readonly seq: number; readonly checkpoint: object; readonly actor: string },
): Promise<number> {
  await tx.query(
    "insert into rederive.audit_pruned (seq, checkpoint, pruned_by) values ($1::int8, $2::text::jsonb, $3::text)",
    [args.seq, JSON.stringify(args.checkpoint), args.actor],
  );
  await tx.query(
    `delete from rederive.audit a using rederive.audit_chain c where c.entry = a.id and c.seq <= $1::int8`,
    [args.seq],
  );
  const links = await tx.query("delete from rederive.audit_chain where seq <= $1::int8 returning seq", [args.seq]);
  return links.length;
}
