/** Table `reservation`: which partitions an active backfill writes and reads. The database refuses overlaps. */
import { fromMultirange, type Ranges, toMultirange } from "../catalog/ranges.ts";
import { RederiveError, sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";

export interface Reservation {
  readonly dataset: string;
  readonly mode: "read" | "write";
  readonly keys: Ranges;
}

/**
 * Reserves for a backfill. Rows go in sorted by dataset: two backfills that insert in different orders would wait for
 * each other. Throws `overlapping_plan` where another active backfill has any of the partitions.
 */
export async function reserve(tx: Tx, backfill: string, reservations: readonly Reservation[]): Promise<void> {
  const sorted = [...reservations].sort((a, b) => compare(a.dataset, b.dataset) || compare(a.mode, b.mode));
  for (const { dataset, mode, keys } of sorted) {
    try {
      await tx.query(
        `insert into rederive.reservation (backfill, dataset, mode, keys)
         values ($1::text, $2::text, $3::text, $4::text::int8multirange)`,
        [backfill, dataset, mode, toMultirange(keys)],
      );
    } catch (error) {
      if (sqlState(error) !== "23P01") throw error;
      throw new RederiveError(
        "overlapping_plan",
        `another active backfill ${mode === "write" ? "uses" : "writes"} partitions of ${dataset} that this one ${mode}s; wait until it is finished or cancel it`,
        { details: { dataset, mode }, cause: error },
      );
    }
  }
}

/**
 * Takes reservations again that have ended, for the rest of a transaction that changes what is live: what others compute
 * meanwhile was not planned for it. Throws `overlapping_plan`, naming them.
 */
export async function reserveAgain(tx: Tx, backfill: string, modes: readonly Reservation["mode"][]): Promise<void> {
  const others = await tx.query<{ backfill: string; dataset: string }>(
    `select distinct o.backfill, o.dataset from rederive.reservation r
     join rederive.reservation o on o.dataset = r.dataset and o.backfill <> r.backfill and o.active and o.keys && r.keys
       and 'write' in (o.mode, r.mode)
     where r.backfill = $1::text and r.mode = any($2::text[]) order by 1, 2`,
    [backfill, modes],
  );
  if (others.length > 0) throw stillUsed(backfill, others);
  try {
    await tx.query(
      `update rederive.reservation set active = true
       where backfill = $1::text and mode = any($2::text[]) and not active`,
      [backfill, modes],
    );
  } catch (error) {
    // Somebody started after the snapshot of this transaction.
    throw sqlState(error) === "23P01" ? stillUsed(backfill, [], error) : error;
  }
}

function stillUsed(
  backfill: string,
  others: readonly { readonly backfill: string; readonly dataset: string }[],
  cause?: unknown,
): RederiveError {
  const named = others.map((other) => `backfill ${other.backfill} reads or writes ${other.dataset}`);
  const who =
    named.length > 0 ? named.join("; ") : "another backfill that was started just now reads or writes the same";
  return new RederiveError(
    "overlapping_plan",
    `${who}, in partitions that backfill ${backfill} would change under it; wait until it is finished, or cancel it`,
    { details: { backfill, others }, cause },
  );
}

/** Ends the reservations of a backfill that is settled one way or the other. */
export async function endReservations(tx: Tx, backfill: string): Promise<void> {
  await tx.query("update rederive.reservation set active = false where backfill = $1::text and active", [backfill]);
}

/** What is reserved now, for refusing an overlap while planning. */
export async function activeReservations(tx: Tx): Promise<(Reservation & { backfill: string })[]> {
  const rows = await tx.query<{ backfill: string; dataset: string; mode: "read" | "write"; keys: string }>(
    "select backfill, dataset, mode, keys::text as keys from rederive.reservation where active order by backfill, dataset, mode",
  );
  return rows.map((row) => ({ ...row, keys: fromMultirange(row.keys) }));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
