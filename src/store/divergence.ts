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
  /** Derived inputs whose live content is another now than when this was computed. */
  readonly movedInputs: readonly string[];
}

/** Undefined where no backfill has promoted the partition. */
export async function liveOrigin(tx: Tx, dataset: string, partition: number): Promise<LiveOrigin | undefined> {
  const [row] = await tx.query<LiveOrigin>(
    `select l.output_hash as "outputHash", s.hash_algorithm as "hashAlgorithm", array(
       select i.dataset from jsonb_to_recordset(l.reads) as i (dataset text, partitions text, content text)
       where i.content <> ${contentDigest("i.dataset", "i.partitions::int8multirange")} order by 1) as "movedInputs"
     from rederive.live l join rederive.stamp s on s.id = l.stamp
     where l.dataset = $1::text and l.partition = $2::int8`,
    [dataset, partition],
  );
  return row;
}
