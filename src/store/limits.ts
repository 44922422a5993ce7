/** Table `queue_limit`: limits that were changed at run time. They outlive Redis, and they win over the catalog's. */
import type { Tx } from "../tx.ts";

/** By queue; null means no limit of that kind. */
export interface QueueLimit {
  readonly queue: string;
  readonly rate: { readonly max: number; readonly perMs: number } | null;
  readonly concurrency: number | null;
}

export async function readLimits(tx: Tx): Promise<QueueLimit[]> {
  const rows = await tx.query<{ queue: string; max: number | null; perMs: number | null; concurrency: number | null }>(
    `select queue, max, per_ms as "perMs", concurrency from rederive.queue_limit order by queue`,
  );
  return rows.map((row) => ({
    queue: row.queue,
    rate: row.max === null || row.perMs === null ? null : { max: row.max, perMs: row.perMs },
    concurrency: row.concurrency,
  }));
}

export async function writeLimit(tx: Tx, limit: QueueLimit, changedBy: string): Promise<void> {
  await tx.query(
    `insert into rederive.queue_limit (queue, max, per_ms, concurrency, changed_by)
     values ($1::text, $2::int, $3::int, $4::int, $5::text)
     on conflict (queue) do update set max = excluded.max, per_ms = excluded.per_ms,
       concurrency = excluded.concurrency, changed_by = excluded.changed_by, changed_at = clock_timestamp()`,
    [limit.queue, limit.rate?.max ?? null, limit.rate?.perMs ?? null, limit.concurrency, changedBy],
  );
}
