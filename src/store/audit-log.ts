/** Reading the audit trail: entries with their places in the chain, newest first. */
import type { Tx } from "../tx.ts";
import type { AuditRecord } from "./audit.ts";
import { recordColumns } from "./audit-chain.ts";
import { touches } from "./backfills.ts";

export interface AuditFilter {
  readonly backfill?: string | undefined;
  readonly actor?: string | undefined;
  /** Instant with its offset; entries of it and after it. */
  readonly since?: string | undefined;
  /** Entries before this one. */
  readonly before?: string | undefined;
  /** Entries of one of these datasets, or of a backfill that recomputes one. Default: all. */
  readonly touching?: readonly string[] | undefined;
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
       and ($6::text[] is null or a.dataset = any($6::text[]) or (a.dataset is null and exists (
         select from rederive.backfill b where b.id = a.backfill and ${touches("b.decision", "$6::text[]")})))
     order by a.id desc limit $5::int`,
    [
      filter.backfill ?? null,
      filter.actor ?? null,
      filter.since ?? null,
      filter.before ?? "9223372036854775807",
      filter.limit,
      filter.touching === undefined ? null : [...filter.touching],
    ],
  );
}
