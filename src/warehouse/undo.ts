/**
 * Undoing a promotion on one live table: the restore point, read backwards.
 *
 * First the rows that somebody wrote after the promotion are marked: those whose owned columns are no longer what the
 * candidate has, those that came back or went, and inserted rows whose other columns were filled in. Then what the
 * promotion inserted is deleted, what it updated gets its old owned columns, and what it deleted comes back whole.
 */
import { type Ranges, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { tableColumns } from "./columns.ts";
import { countWritten } from "./merge.ts";
import { identifier, identifiers, literal } from "./quote.ts";
import { bookkeeping } from "./restore.ts";
import type { UpdateSource } from "./swaps.ts";
import { column, columnsOf, differs, ownedDiffers, sameKey, type Target, unowned, within } from "./target.ts";

const { op, group, rewrite, later } = bookkeeping;

/** What to do with rows that were written after the promotion. */
export type LaterWrites = "refuse" | "overwrite" | "keep";

export interface Undo {
  readonly target: Target;
  readonly wasEmpty: Ranges;
  /** Our own transactions as rows show them in `xmin`. */
  readonly writtenBy: readonly string[];
  /** All partitions of the candidate. */
  readonly partitions: Ranges;
  readonly onLaterWrites: LaterWrites;
}

export interface LaterRows {
  readonly dataset: string;
  readonly changed: number;
  /** Of their keys and of what is live there now; the same for the same rows in any order. */
  readonly digest: string;
  readonly samples: readonly Readonly<Record<string, string | null>>[];
}

/** Only columns that the restore point has too: one that was added since the promotion keeps its live value. */
export async function restrictToKept(tx: Tx, target: Target): Promise<Target> {
  const kept = await tableColumns(tx, target.restorePoint);
  const names = new Set(kept.map((found) => found.name));
  const missing = target.owned.filter((name) => !names.has(name));
  if (kept.length === 0 || missing.length > 0) {
    throw new RederiveError(
      "restore_point_gone",
      `${target.dataset}: the before-images in ${target.restorePoint} are gone or lack a column; this promotion cannot be undone`,
      { details: { dataset: target.dataset, missing } },
    );
  }
  return { ...target, stored: target.stored.filter((name) => names.has(name)) };
}

/** Marks the rows written after the promotion and tells how many and which. */
export async function markLaterWrites(tx: Tx, undo: Undo): Promise<LaterRows> {
  const { target } = undo;
  await tx.query(
    `update ${target.restorePoint} r set ${later} = true where r.ctid in (
       select r.ctid from ${target.restorePoint} r
       left join ${target.table} l on ${sameKey(target, "l", "r")}
       left join ${target.candidate} c on ${sameKey(target, "c", "r")} and ${within(target, undo.partitions, "c")}
       where case r.${op} when 'delete' then l.ctid is not null
                          when 'insert' then l.ctid is not null and ${writtenLater(undo)}
                          else l.ctid is null or ${ownedDiffers(target, "l", "c")} end
     )`,
  );
  if (undo.wasEmpty.length > 0) await inBulk(tx, () => noteLaterInEmpty(tx, undo));
  return readLater(tx, target);
}

/** What a rollback updates: from what is live to the before-image. */
export function undoneUpdates(undo: Undo): UpdateSource {
  const { target } = undo;
  return {
    from: `${target.restorePoint} r join ${target.table} l on ${sameKey(target, "l", "r")}`,
    where: `r.${op} = 'update' and ${chosen(undo)}`,
    before: (name) => column("l", name),
    after: (name) => column(target.owned.includes(name) ? "r" : "l", name),
  };
}

/** Takes away what stands where old rows come back: rows that will be rewritten, and rows inserted again since. */
export async function clearTheWay(tx: Tx, undo: Undo): Promise<void> {
  const { target } = undo;
  await keepUnowned(tx, target);
  await tx.query(
    `delete from ${target.table} l using ${target.restorePoint} r
     where ${chosen(undo)} and (r.${rewrite} or (r.${op} = 'delete' and r.${later})) and ${sameKey(target, "l", "r")}`,
  );
}

/** Deletes what the promotion inserted. */
export async function undoInserts(tx: Tx, undo: Undo): Promise<number> {
  const { target } = undo;
  const noted = await countWritten(
    tx,
    `delete from ${target.table} l using ${target.restorePoint} r
     where ${chosen(undo)} and r.${op} = 'insert' and ${sameKey(target, "l", "r")} returning 1`,
  );
  if (undo.wasEmpty.length === 0) return noted;
  const inEmpty = await inBulk(tx, () =>
    countWritten(
      tx,
      `delete from ${target.table} l using ${target.candidate} c where ${insertedIntoEmpty(undo)} returning 1`,
    ),
  );
  return noted + inEmpty;
}

/** Puts back the owned columns of updated rows, and rows that the promotion deleted. */
export async function undoUpdates(tx: Tx, undo: Undo): Promise<number> {
  const { target } = undo;
  const values = target.owned.map((name) => `${identifier(name)} = ${column("r", name)}`);
  return countWritten(
    tx,
    `update ${target.table} l set ${values.join(", ")} from ${target.restorePoint} r
     where ${chosen(undo)} and r.${op} = 'update' and not r.${rewrite} and ${sameKey(target, "l", "r")} returning 1`,
  );
}

/** Brings back deleted rows with all their columns, rewritten ones, and updated ones that were deleted since. */
export async function undoDeletes(tx: Tx, undo: Undo): Promise<{ inserted: number; rewritten: number }> {
  const { target } = undo;
  const gone = `not exists (select from ${target.table} l where ${sameKey(target, "l", "r")})`;
  const statement = (where: string) =>
    `insert into ${target.table} (${identifiers(target.stored)}) overriding system value
     select ${columnsOf("r", target.stored)} from ${target.restorePoint} r where ${chosen(undo)} and ${where} returning 1`;
  const rewritten = await countWritten(tx, statement(`r.${rewrite}`));
  const inserted = await countWritten(
    tx,
    statement(`not r.${rewrite} and (r.${op} = 'delete' or (r.${op} = 'update' and r.${later} and ${gone}))`),
  );
  return { inserted, rewritten };
}

/** Compares what is live now with the before-images. A difference is an error, and so nothing is committed. */
export async function verifyUndo(tx: Tx, undo: Undo): Promise<void> {
  const { target } = undo;
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::float8 as count from ${target.restorePoint} r
     left join ${target.table} l on ${sameKey(target, "l", "r")}
     where ${chosen(undo)} and case r.${op} when 'insert' then l.ctid is not null
       when 'update' then l.ctid is null or ${ownedDiffers(target, "l", "r")}
       else l.ctid is null or ${differs(target, target.stored, "l", "r")} end`,
  );
  const left = undo.wasEmpty.length === 0 ? 0 : await inBulk(tx, () => countLeftInEmpty(tx, undo));
  const wrong = (row?.count ?? 0) + left;
  if (wrong === 0) return;
  throw new RederiveError(
    "verification_failed",
    `${target.dataset}: ${wrong} rows of ${target.table} are not as they were before the promotion, so nothing was rolled ` +
      "back; look for triggers or rules that change what is written",
    { details: { dataset: target.dataset, rows: wrong } },
  );
}

/** Under `keep`, rows that somebody wrote later are left alone. */
function chosen(undo: Undo): string {
  return undo.onLaterWrites === "keep" ? `not r.${later}` : "true";
}

/** For a row that the promotion inserted: it is not what was written, in any column. */
function writtenLater(undo: Undo): string {
  const changed = ownedDiffers(undo.target, "l", "c");
  const own = undo.writtenBy.map(literal).join(", ");
  // What the other columns got from their defaults is not known any more, but any later write leaves its own xmin.
  return unowned(undo.target).length === 0 ? changed : `(${changed} or l.xmin::text not in (${own}))`;
}

/** No row was noted for ranges that were empty; those that changed since are noted now, as inserts. */
async function noteLaterInEmpty(tx: Tx, undo: Undo): Promise<void> {
  const { target } = undo;
  await tx.query(
    `insert into ${target.restorePoint} (${op}, ${group}, ${later}, ${identifiers(target.stored)})
     select 'insert', ${undo.wasEmpty[0]?.[0] ?? 0}, true, ${columnsOf("l", target.stored)}
     from ${target.table} l join ${target.candidate} c on ${sameKey(target, "l", "c")}
     where ${within(target, undo.wasEmpty, "c")} and ${writtenLater(undo)}
       and not exists (select from ${target.restorePoint} r where ${sameKey(target, "r", "c")})`,
  );
}

/** Live rows `l` that the promotion inserted from candidate rows `c` into empty ranges, save those noted otherwise. */
function insertedIntoEmpty(undo: Undo): string {
  const { target } = undo;
  return `${within(target, undo.wasEmpty, "c")} and ${sameKey(target, "l", "c")}
    and not exists (select from ${target.restorePoint} r where ${sameKey(target, "r", "c")})`;
}

async function countLeftInEmpty(tx: Tx, undo: Undo): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::float8 as count from ${undo.target.table} l, ${undo.target.candidate} c where ${insertedIntoEmpty(undo)}`,
  );
  return row?.count ?? 0;
}

/** Ranges that were empty are joined as a whole; statistics of just before the promotion would suggest row by row. */
async function inBulk<Result>(tx: Tx, work: () => Promise<Result>): Promise<Result> {
  await tx.query("set local enable_nestloop = off");
  const result = await work();
  await tx.query("set local enable_nestloop = on");
  return result;
}

async function readLater(tx: Tx, target: Target): Promise<LaterRows> {
  const names = target.key.map((name) => `'${name.replaceAll("'", "''")}'`).join(", ");
  const values = target.key.map((name) => `${column("r", name)}::text`).join(", ");
  const [row] = await tx.query<LaterRows>(
    `select found.changed, found.digest,
       coalesce((select json_agg(k.key) from (
         select json_object(array[${names}]::text[], array[${values}]::text[]) as key
         from ${target.restorePoint} r where r.${later} order by ${columnsOf("r", target.key)} limit 5) k), '[]') as samples
     from (
       select count(*)::float8 as changed,
         coalesce(sum(hashtextextended(row(${columnsOf("r", target.key)})::text || coalesce(l::text, ''), 0)::numeric), 0)::text as digest
       from ${target.restorePoint} r left join ${target.table} l on ${sameKey(target, "l", "r")} where r.${later}) found`,
  );
  const { changed = 0, digest = "0", samples = [] } = row ?? {};
  return { dataset: target.dataset, changed, digest, samples };
}

/** A rewritten row keeps the other columns as they are live, not as they were before the promotion. */
async function keepUnowned(tx: Tx, target: Target): Promise<void> {
  const names = unowned(target);
  if (names.length === 0) return;
  const values = names.map((name) => `${identifier(name)} = ${column("l", name)}`);
  await tx.query(
    `update ${target.restorePoint} r set ${values.join(", ")} from ${target.table} l
     where r.${rewrite} and ${sameKey(target, "l", "r")}`,
  );
}

/** The ranges of all partitions that a candidate holds. */
export function rangesOfRows(partitions: readonly { readonly partition: number }[]): Ranges {
  return union(partitions.map(({ partition }) => [partition, partition + 1] as const));
}
