/** When each dataset was promoted last, by whom and why. */
import type { Tx } from "../tx.ts";

export interface LastChange {
  readonly dataset: string;
  /** Partitions that are live, and the last of them. */
  readonly partitions: number;
  readonly newest: number;
  /** ISO 8601. */
  readonly at: string;
  readonly backfill: string;
  /** Who promoted it, and with which reason; null where the trail does not say. */
  readonly by: string | null;
  readonly reason: string | null;
  /** Why it was computed. */
  readonly because: string;
}

export async function lastChanges(tx: Tx): Promise<Map<string, LastChange>> {
  const rows = await tx.query<LastChange>(
    `select d.dataset, d.partitions, d.newest, b.id as backfill, b.reason as because, a.actor as by, a.reason,
       to_char(d.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at
     from (
       select dataset, count(*)::float8 as partitions, max(partition)::float8 as newest, max(promoted_at) as at,
         (array_agg(backfill order by promoted_at desc))[1] as backfill
       from rederive.live group by dataset
     ) d
     join rederive.backfill b on b.id = d.backfill
     left join lateral (
       select actor, reason from rederive.audit
       where backfill = b.id and act = 'backfill.promote' order by at desc limit 1) a on true`,
  );
  return new Map(rows.map((row) => [row.dataset, row]));
}
