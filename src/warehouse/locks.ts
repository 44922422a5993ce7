/** How a transaction on live tables begins: pinned like a task's session, with short waits, and with its tables locked. */
import type { Tx } from "../tx.ts";
import { identifier, literal } from "./quote.ts";
import { pins } from "./session.ts";

/**
 * For speed alone: joins and sorts of a group of partitions stay in memory, the rows to be written are looked up rather
 * than found by a scan of the whole table, and no statement is worth compiling.
 */
const tuning: Readonly<Record<string, string>> = {
  work_mem: "64MB",
  hash_mem_multiplier: "2",
  random_page_cost: "1.1",
  jit: "off",
};

/**
 * Settings for this transaction only. `set local` takes no snapshot, so what is locked afterwards is seen as it is then,
 * and not as it was before the wait.
 */
export async function pinTransaction(tx: Tx, settings: { lockTimeoutMs: number }): Promise<void> {
  const all = { ...pins, ...tuning, lock_timeout: `${settings.lockTimeoutMs}ms`, statement_timeout: "0" };
  const statements = Object.entries(all).map(
    ([name, value]) => `set local ${identifier(name.toLowerCase())} = ${setting(name, value)}`,
  );
  await tx.query(statements.join("; "));
}

/** Lets readers and writers go on, and keeps migrations of these tables out until the transaction ends. */
export async function lockForWriting(tx: Tx, tables: readonly string[]): Promise<void> {
  if (tables.length === 0) return;
  // In one order everywhere, so that two promotions cannot wait for each other.
  await tx.query(`lock table ${[...tables].sort().join(", ")} in row exclusive mode`);
}

/** Lists such as search_path are lists of names, not one text. */
function setting(name: string, value: string): string {
  return name === "search_path" || name === "DateStyle" ? value : literal(value);
}
