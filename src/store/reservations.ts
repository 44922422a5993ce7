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
