/** The contents of all candidates of a backfill as one digest: that of every partition's hash, in order. */
import type { Tx } from "../tx.ts";

export async function candidateContents(tx: Tx, backfill: string): Promise<string> {
  const [row] = await tx.query<{ digest: string }>(
    `select encode(sha256(coalesce(string_agg(each.digest, ',' order by each.dataset), '')::bytea), 'hex') as digest
     from (
       select t.dataset, t.dataset || ':' || encode(sha256(
         string_agg(t.partition || ':' || s.output_hash, ',' order by t.partition)::bytea), 'hex') as digest
       from rederive.task t join rederive.stamp s on s.task = t.id
       where t.backfill = $1::text and t.state = 'done'
       group by t.dataset) each`,
    [backfill],
  );
  return (row as { digest: string }).digest;
}
