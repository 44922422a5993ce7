/** Table `restore_point`: what one promoted dataset can be put back to. The before-images are in a table of their own. */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";

/** A row's `xmin` is the lower half of the transaction's id. */
const ownTransaction = "(pg_current_xact_id()::text::numeric % 4294967296)::text";

export interface RestorePoint {
  readonly dataset: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  /** Partitions that had no live rows, so that no row of theirs is kept. */
  readonly wasEmpty: Ranges;
  /** Our transactions as rows show them in `xmin`: the promotion, and rollbacks of later promotions on top of it. */
  readonly writtenBy: readonly string[];
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
             ${ownTransaction})`,
    [backfill, point.dataset, point.inserted, point.updated, point.deleted, toMultirange(point.wasEmpty)],
  );
}

/** All datasets of a backfill that can be put back. */
export async function readRestorePoints(tx: Tx, backfill: string): Promise<RestorePoint[]> {
  const rows = await tx.query<Omit<RestorePoint, "wasEmpty" | "writtenBy"> & { wasEmpty: string; writtenBy: string }>(
    `select dataset, inserted::float8 as inserted, updated::float8 as updated, deleted::float8 as deleted,
       was_empty::text as "wasEmpty", written_by as "writtenBy"
     from rederive.restore_point where backfill = $1::text order by dataset`,
    [backfill],
  );
  return rows.map((row) => ({
    ...row,
    wasEmpty: fromMultirange(row.wasEmpty),
    writtenBy: row.writtenBy.split(","),
  }));
}

/** A rollback writes rows of earlier promotions anew; those must not take that for somebody else's write. */
export async function noteOwnWrites(tx: Tx, datasets: readonly string[]): Promise<void> {
  await tx.query(
    `update rederive.restore_point set written_by = written_by || ',' || ${ownTransaction} where dataset = any($1::text[])`,
    [datasets],
  );
}

export async function deleteRestorePoints(tx: Tx, backfill: string): Promise<void> {
  await tx.query("delete from rederive.restore_point where backfill = $1::text", [backfill]);
}
