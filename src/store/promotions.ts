/**
 * The states of a backfill around its promotion.
 *
 * `promoting` is committed before the work and `promoted` within it, so that a crash leaves `promoting` with nothing
 * changed; the next call finds the row unlocked and takes over.
 */
import { sqlState } from "../errors.ts";
import type { BackfillState } from "../states.ts";
import type { Database, Tx } from "../tx.ts";
import { moveBackfill } from "./backfills.ts";

/** "busy": another process is at it right now. A state: that of the backfill, which forbids the act. */
export type Begun = "begun" | "busy" | BackfillState | undefined;

/** Marks the backfill as promoting, or takes over a promotion whose process died. */
export async function beginPromoting(database: Database, backfill: string): Promise<Begun> {
  if (await moveBackfill(database, { id: backfill, to: "promoting", reason: null })) return "begun";
  const state = await stateOf(database, backfill);
  if (state !== "promoting") return state;
  return (await isLocked(database, backfill)) ? "busy" : "begun";
}

/** In the promotion's own transaction: false where somebody else has decided meanwhile. */
export async function markPromoted(tx: Tx, backfill: string): Promise<boolean> {
  if (!(await moveBackfill(tx, { id: backfill, to: "promoted", reason: null }))) return false;
  await tx.query("update rederive.backfill set promoted_at = clock_timestamp() where id = $1::text", [backfill]);
  return true;
}

/** A deferred or refused promotion; nothing live has changed. */
export async function backToVerified(tx: Tx, backfill: string, reason: string): Promise<boolean> {
  return moveBackfill(tx, { id: backfill, to: "verified", reason, from: ["promoting"] });
}

/** In the rollback's own transaction. */
export async function markRolledBack(tx: Tx, backfill: string, reason: string | null): Promise<boolean> {
  if (!(await moveBackfill(tx, { id: backfill, to: "rolled_back", reason }))) return false;
  await tx.query("update rederive.backfill set rolled_back_at = clock_timestamp() where id = $1::text", [backfill]);
  return true;
}

/** When a backfill was promoted the last time, to the microsecond: it names that promotion. */
export async function promotionOf(tx: Tx, backfill: string): Promise<string> {
  const [row] = await tx.query<{ at: string | null }>(
    `select to_char(promoted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
     from rederive.backfill where id = $1::text`,
    [backfill],
  );
  return row?.at ?? "";
}

export async function stateOf(tx: Tx, backfill: string): Promise<BackfillState | undefined> {
  const [row] = await tx.query<{ state: BackfillState }>("select state from rederive.backfill where id = $1::text", [
    backfill,
  ]);
  return row?.state;
}

export interface Unready {
  /** Datasets with a hold. */
  readonly held: readonly string[];
  /** Tasks that are neither done nor unchanged. */
  readonly unfinished: number;
}

/** What stands in the way of a promotion. */
export async function unreadiness(tx: Tx, backfill: string): Promise<Unready> {
  const [row] = await tx.query<{ held: string[]; unfinished: number }>(
    `select
       array(select dataset from rederive.backfill_dataset where backfill = $1::text and held order by ordinal) as held,
       (select count(*)::int from rederive.task
        where backfill = $1::text and not state = any('{done,unchanged}'::text[])) as unfinished`,
    [backfill],
  );
  return row as Unready;
}

/** True while another transaction holds the row; the lock taken here to find out ends with the statement. */
async function isLocked(database: Database, backfill: string): Promise<boolean> {
  try {
    await database.query("select id from rederive.backfill where id = $1::text for no key update nowait", [backfill]);
    return false;
  } catch (error) {
    if (sqlState(error) === "55P03") return true;
    throw error;
  }
}
