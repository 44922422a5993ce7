/**
 * Unique values that updated rows take from one another.
 *
 * Postgres checks a unique index row by row, so an update in which two rows swap a value fails halfway. A deferrable
 * constraint is deferred. Otherwise the rows that take a value which another updated row still holds are marked: they
 * are deleted before the updates and inserted after them, when every value that they want is free.
 */
import type { Tx } from "../tx.ts";
import { secondaryIndexes, type TableFacts, type UniqueIndex } from "./preflight.ts";
import { bookkeeping } from "./restore.ts";
import { column, type Target } from "./target.ts";

/** Where the updates of one merge come from: a join that has the restore point as `r`, with its condition. */
export interface UpdateSource {
  readonly from: string;
  readonly where: string;
  /** SQL of a column before and after the update. */
  before(name: string): string;
  after(name: string): string;
}

/** What a promotion updates: from the before-image to the candidate. */
export function promotedUpdates(target: Target): UpdateSource {
  return {
    from: `${target.restorePoint} r join ${target.candidate} c on c.ctid = r.${bookkeeping.row}`,
    where: `r.${bookkeeping.op} = 'update'`,
    before: (name) => column("r", name),
    after: (name) => column(target.owned.includes(name) ? "c" : "r", name),
  };
}

/** Marks the rows that must be rewritten and defers what can be deferred. Returns how many rows are marked. */
export async function resolveSwaps(tx: Tx, target: Target, facts: TableFacts, source: UpdateSource): Promise<number> {
  const indexes = secondaryIndexes(target, facts);
  for (const index of indexes) {
    if (index.deferrable === null) await markTakers(tx, target, index, source);
    else await tx.query(`set constraints ${index.deferrable} deferred`);
  }
  if (indexes.every((index) => index.deferrable !== null)) return 0;
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::float8 as count from ${target.restorePoint} r where r.${bookkeeping.rewrite}`,
  );
  return row?.count ?? 0;
}

/** Checks what was deferred now, while an error can still be explained. */
export async function checkDeferred(tx: Tx): Promise<void> {
  await tx.query("set constraints all immediate");
}

/**
 * On plain columns the takers are found exactly. For an index with expressions or a condition, and for an exclusion
 * constraint, every row that changes one of its columns counts as one.
 */
async function markTakers(tx: Tx, target: Target, index: UniqueIndex, source: UpdateSource): Promise<void> {
  const pairs = index.columns.map((name, i) => `${source.before(name)} as o${i}, ${source.after(name)} as n${i}`);
  const changes = index.columns.map((name) => `${source.before(name)} is distinct from ${source.after(name)}`);
  const clash = index.columns.map((_, i) => `holder.o${i} = taker.n${i}`);
  const holder = index.plain ? `join changes holder on ${clash.join(" and ")} and holder.id <> taker.id` : "";
  await tx.query(
    `with changes as materialized (
       select r.ctid as id, ${pairs.join(", ")} from ${source.from}
       where ${source.where} and (${changes.join(" or ")})
     )
     update ${target.restorePoint} r set ${bookkeeping.rewrite} = true
     where r.ctid in (select taker.id from changes taker ${holder})`,
  );
}
