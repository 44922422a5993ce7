/**
 * The sequencer: gives each committed entry of the audit trail its place in the chain.
 *
 * An act appends its entry in its own transaction and waits for nobody. The planner that leads runs this once a second,
 * and the command line before it signs or exports. One at a time, by an advisory lock: lock, read the head, read what
 * is pending, link it, all in one short transaction. The statements after the lock see everything that the one before
 * has committed (read committed), so the chain neither forks nor skips; unique columns refuse it besides.
 *
 * Order is that of visibility. An entry whose transaction commits late has a smaller id than some that are chained
 * already; it simply gets a later place, and no gap is left for it.
 */
import { sqlState } from "../errors.ts";
import { chainHead, clearPending, insertLinks, lockChain, pendingEntries, tryLockChain } from "../store/audit-chain.ts";
import type { Database, Tx } from "../tx.ts";
import { genesis, linksOf } from "./chain.ts";

/** Entries a transaction: some milliseconds of work. */
const batchEntries = 1_000;

/** Chains everything that is committed now. Returns how many entries that were. */
export async function chainPending(database: Database, batch = batchEntries): Promise<number> {
  let chained = 0;
  for (;;) {
    const count = await database.transaction(async (tx) => {
      await lockChain(tx);
      return chainBatch(tx, batch);
    });
    chained += count;
    if (count < batch) return chained;
  }
}

/** One batch, where nobody else is at the chain: what a planner's turn has time for. Returns how many entries that were. */
export async function chainSome(database: Database): Promise<number> {
  return database.transaction(async (tx) => ((await tryLockChain(tx)) ? chainBatch(tx, batchEntries) : 0));
}

/** All of it where this role of the database may (see store/roles.ts); else it is left to the planner, and 0. */
export async function chainIfAllowed(database: Database, chain = chainPending): Promise<number> {
  try {
    return await chain(database);
  } catch (error) {
    if (sqlState(error) === "42501") return 0;
    throw error;
  }
}

/** Under the chain's lock. */
async function chainBatch(tx: Tx, batch: number): Promise<number> {
  const records = await pendingEntries(tx, batch);
  if (records.length === 0) return 0;
  await insertLinks(tx, linksOf((await chainHead(tx)) ?? genesis, records));
  const entries = records.map(({ id }) => id);
  await clearPending(tx, entries);
  return records.length;
}
