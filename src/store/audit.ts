/** Table `audit`: one row an act, written in the act's own transaction. */
import type { Tx } from "../tx.ts";

export interface AuditEntry {
  readonly actor: string;
  readonly act: string;
  readonly backfill?: string | undefined;
  readonly dataset?: string | undefined;
  readonly reason?: string | undefined;
  readonly planHash?: string | undefined;
  /** JSON-serialisable; never secrets or row contents. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** An entry as it is stored. */
export interface AuditRecord {
  readonly id: string;
  /** ISO instant in UTC with microseconds. */
  readonly at: string;
  readonly actor: string;
  readonly act: string;
  readonly backfill: string | null;
  readonly dataset: string | null;
  readonly reason: string | null;
  readonly planHash: string | null;
  /** The text of a JSON object, exactly as Postgres writes it: numbers of any size keep their digits. */
  readonly details: string;
}

/** One statement that waits for nobody; the entry is chained later (see governance/sequencer.ts). */
export async function appendAudit(tx: Tx, entry: AuditEntry): Promise<void> {
  await tx.query(
    `insert into rederive.audit (actor, act, backfill, dataset, reason, plan_hash, details)
     values ($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, $7::text::jsonb)`,
    [
      entry.actor,
      entry.act,
      entry.backfill ?? null,
      entry.dataset ?? null,
      entry.reason ?? null,
      entry.planHash ?? null,
      JSON.stringify(entry.details ?? {}),
    ],
  );
}
