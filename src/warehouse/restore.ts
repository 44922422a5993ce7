/**
 * The restore point: a table with one row for every live row that a promotion touches, holding the row as it was.
 *
 * An `insert` row has only its key, an `update` or `delete` row all columns. The promotion fills it first and then works
 * from it; a rollback works from it backwards and drops it, both in one transaction, so it exists exactly while a
 * promotion can be undone. A comparison fills a temporary one and throws it away, and so cannot tell another story than
 * the promotion that follows.
 */
import type { Tx } from "../tx.ts";
import { createSchema, restoreSchema } from "./candidate.ts";
import { shareTable } from "./owner.ts";
import { identifier } from "./quote.ts";
import type { Target } from "./target.ts";

/** Bookkeeping columns of a restore point; the prefix keeps them apart from users' columns. */
export const bookkeeping = {
  op: "rederive_op",
  /** First partition of the group in which the difference was found. */
  group: "rederive_group",
  /** Where the candidate's row is; valid inside the promotion's transaction alone. */
  row: "rederive_row",
  /** An update carried out as delete and insert, because a unique value moves between rows. */
  rewrite: "rederive_rewrite",
  /** Somebody wrote this row after the promotion. */
  later: "rederive_later",
} as const;

/** A restore point that outlives the transaction. */
export async function createRestorePoint(tx: Tx, target: Target): Promise<void> {
  await createSchema(tx, restoreSchema);
  await tx.query(`drop table if exists ${target.restorePoint}`);
  await tx.query(`create table ${target.restorePoint} (${definition(target)})`);
  await shareTable(tx, target.restorePoint);
}

/** The same in a temporary table, for a comparison. */
export async function createScratch(tx: Tx, target: Target): Promise<void> {
  await tx.query(`create temporary table ${target.restorePoint} (${definition(target)}) on commit drop`);
}

/** For the next comparison in the same transaction. */
export async function emptyScratch(tx: Tx, target: Target): Promise<void> {
  await tx.query(`truncate ${target.restorePoint}`);
}

function definition(target: Target): string {
  const own = [
    `${bookkeeping.op} text not null`,
    `${bookkeeping.group} int8 not null`,
    `${bookkeeping.row} tid`,
    `${bookkeeping.rewrite} boolean not null default false`,
    `${bookkeeping.later} boolean not null default false`,
  ];
  const kept = target.columns
    .filter((live) => !live.generated)
    .map(
      (live) => `${identifier(live.name)} ${live.type}${live.collation === null ? "" : ` collate ${live.collation}`}`,
    );
  return [...own, ...kept].join(", ");
}
