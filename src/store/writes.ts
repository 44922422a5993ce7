/** Table `live_writes`: how many writes Postgres had counted when we wrote to a live table last. */
import { fromMultirange, type Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";

interface Counted {
  readonly dataset: string;
  readonly counted: number;
  readonly own: number;
  readonly storage: string | null;
}

/**
 * At the end of a promotion or a rollback: its own writes belong to the count. What was counted beyond the last record is
 * another's, and then nothing that was promoted before is vouched for. A smaller count is only a late one.
 */
export async function recordWrites(tx: Tx, { dataset, counted, own, storage }: Counted): Promise<void> {
  if (storage === null) {
    await tx.query("delete from rederive.live_writes where dataset = $1::text", [dataset]);
    return;
  }
  await tx.query(
    `insert into rederive.live_writes as w (dataset, storage, writes, since)
     values ($1::text, $2::text, $3::int8 + $4::int8, now())
     on conflict (dataset) do update set
       storage = excluded.storage,
       since = case when w.storage = excluded.storage and w.writes >= $3::int8 then w.since else now() end,
       writes = case when w.storage = excluded.storage then greatest(w.writes, $3::int8) + $4::int8 else excluded.writes end`,
    [dataset, storage, counted, own],
  );
}

/**
 * Partitions of a backfill whose stamps say the same as those of the live content, where the counts say that nobody
 * wrote to the live table since: they are equal, row for row.
 */
export async function provenEqual(
  tx: Tx,
  backfill: string,
  { dataset, counted, own, storage }: Counted,
): Promise<Ranges> {
  const [row] = await tx.query<{ partitions: string | null }>(
    `select range_agg(int8range(l.partition, l.partition + 1))::text as partitions
     from rederive.live_writes w
     join rederive.live l on l.dataset = w.dataset and l.promoted_at >= w.since
     join rederive.stamp was on was.id = l.stamp
     join rederive.task t on t.backfill = $1::text and t.dataset = l.dataset and t.partition = l.partition and t.state = 'done'
     join rederive.stamp s on s.task = t.id
     where w.dataset = $2::text and w.storage = $3::text and w.writes = $4::int8
       and s.hash_algorithm = was.hash_algorithm and s.output_hash = l.output_hash and s.rows_written = l.rows`,
    [backfill, dataset, storage, counted + own],
  );
  return fromMultirange(row?.partitions ?? "");
}
