/**
 * Tables `audit_pending`, `audit_chain` and `audit_pruned`: what is chained, what waits for it, and where the chain
 * begins. What a link is made of is said in governance/chain.ts.
 */
import type { Tx } from "../tx.ts";
import type { AuditRecord } from "./audit.ts";

/** An arbitrary constant: the advisory lock of whoever appends to the chain or cuts its beginning. */
const lockKey = 7_337_201_736;

const recordColumns = `a.id::text as id, to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at,
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
