/** Table `table_shape`: the columns that the tables of a backfill had when it was started. */
import type { Tx } from "../tx.ts";

/** `number` stays when a column gets another name. */
export interface ShapedColumn {
  readonly name: string;
  readonly type: string;
  readonly number: number;
}

/** By dataset, as the last start saw them. */
export async function keptShapes(tx: Tx): Promise<Map<string, readonly ShapedColumn[]>> {
  const rows = await tx.query<{ dataset: string; columns: ShapedColumn[] }>(
    "select dataset, columns from rederive.table_shape",
  );
  return new Map(rows.map(({ dataset, columns }) => [dataset, columns]));
}

/** Takes the place of what earlier starts saw. */
export async function keepShapes(
  tx: Tx,
  backfill: string,
  shapes: ReadonlyMap<string, readonly ShapedColumn[]>,
): Promise<void> {
  // Sorted, because two starts that write the same rows in different orders would wait for each other.
  const datasets = [...shapes.keys()].sort();
  await tx.query(
    `insert into rederive.table_shape (dataset, columns, backfill)
     select s.dataset, s.columns::jsonb, $1::text from unnest($2::text[], $3::text[]) as s (dataset, columns)
     on conflict (dataset) do update set columns = excluded.columns, backfill = excluded.backfill, seen_at = now()`,
    [backfill, datasets, datasets.map((dataset) => JSON.stringify(shapes.get(dataset)))],
  );
}
