/** Table `restore_point`: what one promoted dataset can be put back to. The before-images are in a table of their own. */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";

export interface RestorePoint {
  readonly dataset: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  /** Partitions that had no live rows, so that no row of theirs is kept. */
  readonly wasEmpty: Ranges;
  /** The promotion's transaction as rows show it in `xmin`. */
  readonly writtenBy: string;
}

/** Called in the promotion's transaction, whose id it keeps. */
export async function insertRestorePoint(
  tx: Tx,
  backfill: string,
  point: Omit<RestorePoint, "writtenBy">,
): Promise<void> {
  await tx.query(
    `insert into rederive.restore_point (backfill, dataset, inserted, updated, deleted, was_empty, written_by)
     values ($1::text, $2::text, $3::int8, $4::int8, $5::int8, $6::text::int8multirange,
             (pg_current_xact_id()::text::numeric % 4294967296)::text)`,
    [backfill, point.dataset, point.inserted, point.updated, point.deleted, toMultirange(point.wasEmpty)],
  );
}

/** All datasets of a backfill that can be put back. */
export async function readRestorePoints(tx: Tx, backfill: string): Promise<RestorePoint[]> {
  const rows = await tx.query<Omit<RestorePoint, "wasEmpty"> & { wasEmpty: string }>(
    `select dataset, inserted::float8 as inserted, updated::float8 as updated, deleted::float8 as deleted,
       was_empty::text as "wasEmpty", written_by as "writtenBy"
     from rederive.restore_point where backfill = $1::text order by dataset`,
    [backfill],
  );
  return rows.map((row) => ({ ...row, wasEmpty: fromMultirange(row.wasEmpty) }));
}

export async function deleteRestorePoints(tx: Tx, backfill: string): Promise<void> {
  await tx.query("delete from rederive.restore_point where backfill = $1::text", [backfill]);
}
