/** What is live, as the planner needs it: partitions by dataset and fingerprint, and a digest of all of it. */
import { fromMultirange, type Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";

export interface LiveContents {
  readonly dataset: string;
  readonly fingerprint: string;
  readonly partitions: Ranges;
}

/** One row a dataset and fingerprint. */
export async function liveContents(tx: Tx): Promise<LiveContents[]> {
  const rows = await tx.query<{ dataset: string; fingerprint: string; partitions: string }>(
    `select dataset, fingerprint, range_agg(int8range(partition, partition + 1))::text as partitions
     from rederive.live group by dataset, fingerprint order by dataset, fingerprint`,
  );
  return rows.map((row) => ({ ...row, partitions: fromMultirange(row.partitions) }));
}

/** A digest of the content that is live in each dataset: equal content gives equal text, whoever computed it and when. */
export async function liveDigests(tx: Tx): Promise<Map<string, string>> {
  const rows = await tx.query<{ dataset: string; digest: string }>(
    `select dataset, md5(string_agg(concat_ws(' ', partition, fingerprint, output_hash), ',' order by partition)) as digest
     from rederive.live group by dataset`,
  );
  return new Map(rows.map((row) => [row.dataset, row.digest]));
}
