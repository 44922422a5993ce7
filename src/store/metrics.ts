/** Table `metric`: what was counted in stamped partitions, of candidates and of what is live. */
import type { PartitionMetrics } from "../report.ts";
import type { Tx } from "../tx.ts";

export interface StampedMetrics {
  readonly stamp: string;
  readonly partition: number;
  /** From the stamp, so it is known without measuring. */
  readonly rows: number;
  /** Null where nothing was measured since the content was written. */
  readonly values: Omit<PartitionMetrics, "partition"> | null;
}

const columns = `s.id::text as stamp, s.partition::float8 as partition, s.rows_written::float8 as rows, m."values" as values`;
const measured = "left join rederive.metric m on m.stamp = s.id and m.measured_at >= s.finished_at";

/** What a backfill computed of a dataset, in order. */
export async function candidateMetrics(tx: Tx, backfill: string, dataset: string): Promise<StampedMetrics[]> {
  return tx.query<StampedMetrics>(
    `select ${columns} from rederive.task t join rederive.stamp s on s.task = t.id ${measured}
     where t.backfill = $1::text and t.dataset = $2::text and t.state = 'done' order by s.partition`,
    [backfill, dataset],
  );
}

/** What is live of it and was promoted by another backfill: a run is never judged by what it wrote itself. */
export async function historyMetrics(tx: Tx, backfill: string, dataset: string): Promise<StampedMetrics[]> {
  return tx.query<StampedMetrics>(
    `select ${columns} from rederive.live l join rederive.stamp s on s.id = l.stamp ${measured}
     where l.dataset = $2::text and l.backfill <> $1::text order by s.partition`,
    [backfill, dataset],
  );
}

/** Keeps what was measured; `stamps` are those of the partitions, in the same order. */
export async function keepMetrics(
  tx: Tx,
  args: { readonly dataset: string; readonly stamps: readonly string[]; readonly metrics: readonly PartitionMetrics[] },
): Promise<void> {
  const rows = args.metrics.map(({ partition, ...values }, index) => ({
    stamp: args.stamps[index],
    partition,
    values,
  }));
  await tx.query(
    `insert into rederive.metric (stamp, dataset, partition, "values", measured_at)
     select r.stamp, $1::text, r.partition, r.values, clock_timestamp()
     from jsonb_to_recordset($2::text::jsonb) as r (stamp int8, partition int8, "values" jsonb)
     on conflict (stamp) do update set "values" = excluded."values", measured_at = excluded.measured_at`,
    [args.dataset, JSON.stringify(rows)],
  );
}
