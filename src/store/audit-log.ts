/** Reading the audit trail: entries with their places in the chain, newest first. */
import type { Tx } from "../tx.ts";
import type { AuditRecord } from "./audit.ts";
import { recordColumns } from "./audit-chain.ts";

export interface AuditFilter {
  readonly backfill?: string | undefined;
  readonly actor?: string | undefined;
  /** Instant with its offset; entries of it and after it. */
  readonly since?: string | undefined;
  /** Entries before this one. */
  readonly before?: string | undefined;
  readonly limit: number;
}

export interface LoggedRecord extends AuditRecord {
  /** Null where the sequencer has not reached it. */
  readonly seq: number | null;
}

export async function auditLog(tx: Tx, filter: AuditFilter): Promise<LoggedRecord[]> {
  return tx.query<LoggedRecord>(
    `select ${recordColumns}, c.seq::float8 as seq
     from rederive.audit a left join rederive.audit_chain c on c.entry = a.id
     where ($1::text is null or a.backfill = $1::text) and ($2::text is null or a.actor = $2::text)
       and ($3::text is null or a.at >= $3::text::timestamptz) and a.id < $4::int8
     order by a.id desc limit $5::int`,
    [
      filter.backfill ?? null,
      filter.actor ?? null,
      filter.since ?? null,
      filter.before ?? "9223372036854775807",
      filter.limit,
    ],
  );
}
