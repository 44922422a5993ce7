/** What tables `live` and `stamp` tell about a difference: another definition, other inputs, and what was promoted. */
import { fromMultirange, type Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { contentDigest } from "./contents.ts";

/** Computed partitions whose live content has another fingerprint. */
export async function redefinedPartitions(tx: Tx, backfill: string, dataset: string): Promise<Ranges> {
  const [row] = await tx.query<{ partitions: string | null }>(
    `select range_agg(int8range(t.partition, t.partition + 1))::text as partitions
     from rederive.task t
     join rederive.stamp s on s.task = t.id
     join rederive.live l on l.dataset = t.dataset and l.partition = t.partition
     where t.backfill = $1::text and t.dataset = $2::text and t.state = 'done' and s.fingerprint <> l.fingerprint`,
    [backfill, dataset],
  );
  return fromMultirange(row?.partitions ?? "");
}

/** How one live partition came about. */
export interface LiveOrigin {
  readonly outputHash: string;
  readonly hashAlgorithm: string;
  /** The backfill computed the same again: whatever differs was written by others since. */
  readonly reproduced: boolean;
  /** Derived inputs whose live content is another now than when this was computed. */
  readonly movedInputs: readonly string[];
}

/** Of a partition that a backfill has computed; undefined where none has promoted it. */
export async function liveOrigin(
  tx: Tx,
  backfill: string,
  dataset: string,
  partition: number,
): Promise<LiveOrigin | undefined> {
  const [row] = await tx.query<LiveOrigin>(
    `select l.output_hash as "outputHash", s.hash_algorithm as "hashAlgorithm",
       coalesce(c.output_hash = l.output_hash and c.hash_algorithm = s.hash_algorithm, false) as reproduced, array(
       select i.dataset from jsonb_to_recordset(l.reads) as i (dataset text, partitions text, content text)
       where i.content <> ${contentDigest("i.dataset", "i.partitions::int8multirange")} order by 1) as "movedInputs"
     from rederive.live l join rederive.stamp s on s.id = l.stamp
     left join rederive.task t on t.backfill = $3::text and t.dataset = l.dataset and t.partition = l.partition
     left join rederive.stamp c on c.task = t.id
     where l.dataset = $1::text and l.partition = $2::int8`,
    [dataset, partition, backfill],
  );
  return row;
}
