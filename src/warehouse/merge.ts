/**
 * Carrying out what comparison found: the statements of a promotion on one live table, each driven by the restore point.
 *
 * Only rows that differ are written. Updates set owned columns; inserts give owned columns and leave the others to their
 * defaults. Each step says how many rows it wrote, so that a row which a trigger or rule swallowed is noticed at once.
 */
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { countMismatches, type Differences } from "./compare.ts";
import { identifier, identifiers } from "./quote.ts";
import { bookkeeping } from "./restore.ts";
import { column, columnsOf, ownedDiffers, sameKey, type Target, within } from "./target.ts";

const { op, row: candidateRow, rewrite } = bookkeeping;

/** Deletes rows that the candidate does not have, and those that will be rewritten. */
export async function deleteRows(tx: Tx, target: Target, expected: number): Promise<void> {
  if (expected === 0) return;
  const count = await countWritten(
    tx,
    `delete from ${target.table} l using ${target.restorePoint} r
     where (r.${op} = 'delete' or r.${rewrite}) and ${sameKey(target, "l", "r")} returning 1`,
  );
  requireCount(target, "deleted", count, expected);
}

/** Sets the owned columns of rows that differ. */
export async function updateRows(tx: Tx, target: Target, expected: number): Promise<void> {
  if (expected === 0) return;
  const values = target.owned.map((name) => `${identifier(name)} = ${column("c", name)}`);
  const count = await countWritten(
    tx,
    `update ${target.table} l set ${values.join(", ")}
     from ${target.restorePoint} r join ${target.candidate} c on c.ctid = r.${candidateRow}
     where r.${op} = 'update' and not r.${rewrite} and ${sameKey(target, "l", "r")} returning 1`,
  );
  requireCount(target, "updated", count, expected);
}

/** Inserts rewritten rows with all their columns, then rows that are new. */
export async function insertRows(tx: Tx, target: Target, found: Differences, rewrites: number): Promise<void> {
  if (rewrites > 0) await reinsertRows(tx, target);
  const into = `insert into ${target.table} (${identifiers(target.owned)}) ${overriding(target)}`;
  if (found.inserts > 0) {
    await tx.query(
      `${into} select ${columnsOf("c", target.owned)}
       from ${target.restorePoint} r join ${target.candidate} c on c.ctid = r.${candidateRow} where r.${op} = 'insert'`,
    );
  }
  if (found.wasEmpty.length > 0) {
    const moved = `and not exists (select from ${target.restorePoint} r where r.${op} = 'update' and r.${candidateRow} = c.ctid)`;
    await tx.query(
      `${into} select ${columnsOf("c", target.owned)} from ${target.candidate} c
       where ${within(target, found.wasEmpty, "c")} ${found.movedIntoEmpty > 0 ? moved : ""}`,
    );
  }
}

/**
 * Compares what is live now with the candidate: every row of the restore point by key, and every range that was empty
 * as a whole. Returns how many rows the empty ranges got. A difference is an error, and so nothing is committed.
 */
export async function verifyMerge(tx: Tx, target: Target, found: Differences): Promise<number> {
  const wrong = await countWrong(tx, target);
  const empty = { rows: 0, mismatches: 0 };
  for (const group of found.emptyGroups) {
    const counted = await countMismatches(tx, target, group);
    empty.rows += counted.rows;
    empty.mismatches += counted.mismatches;
  }
  if (wrong + empty.mismatches > 0) {
    throw new RederiveError(
      "verification_failed",
      `${target.dataset}: ${wrong + empty.mismatches} rows of ${target.table} are not as the candidate has them after the ` +
        "merge, so nothing was promoted; look for triggers, rules or defaults that change what is written",
      { details: { dataset: target.dataset, rows: wrong + empty.mismatches } },
    );
  }
  return empty.rows - found.movedIntoEmpty;
}

async function countWrong(tx: Tx, target: Target): Promise<number> {
  const [found] = await tx.query<{ count: number }>(
    `select count(*)::float8 as count from ${target.restorePoint} r
     left join ${target.table} l on ${sameKey(target, "l", "r")}
     left join ${target.candidate} c on c.ctid = r.${candidateRow}
     where case when r.${op} = 'delete' then l.ctid is not null
                else l.ctid is null or c.ctid is null or ${ownedDiffers(target, "l", "c")} end`,
  );
  return found?.count ?? 0;
}

/** The row as it was, with the candidate's owned columns; identity values stay as they were. */
async function reinsertRows(tx: Tx, target: Target): Promise<void> {
  const values = target.stored.map((name) => column(target.owned.includes(name) ? "c" : "r", name));
  await tx.query(
    `insert into ${target.table} (${identifiers(target.stored)}) overriding system value
     select ${values.join(", ")} from ${target.restorePoint} r
     join ${target.candidate} c on c.ctid = r.${candidateRow} where r.${rewrite}`,
  );
}

function overriding(target: Target): string {
  const identity = target.columns.some((live) => live.identity && target.owned.includes(live.name));
  return identity ? "overriding system value" : "";
}

/** Runs a statement that returns a row for each row it wrote, and counts them in Postgres. */
export async function countWritten(tx: Tx, statement: string): Promise<number> {
  const [found] = await tx.query<{ count: number }>(
    `with written as (${statement}) select count(*)::float8 as count from written`,
  );
  return found?.count ?? 0;
}

function requireCount(target: Target, what: string, count: number, expected: number): void {
  if (count === expected) return;
  throw new RederiveError(
    "verification_failed",
    `${target.dataset}: ${count} rows of ${target.table} were ${what} where ${expected} should have been, so nothing was ` +
      "promoted; look for triggers or rules that swallow writes",
    { details: { dataset: target.dataset, count, expected } },
  );
}
