/**
 * The transaction of a promotion or a rollback: REPEATABLE READ, pinned, with short lock waits, and the whole of it
 * again when somebody else was at the same rows.
 *
 * A concurrent write to a row that we touch is 40001, a deadlock 40P01, a lock that is not to be had 55P03. Nothing has
 * happened then, and the next attempt compares anew, so it sees what the other one wrote. A violated unique or foreign
 * key may come from a row that was committed after our snapshot; it is tried once more before it counts.
 */
import { setTimeout as wait } from "node:timers/promises";
import { type ErrorCode, messageOf, RederiveError, sqlState } from "../errors.ts";
import type { Database, Tx } from "../tx.ts";
import { lockForWriting, pinTransaction } from "../warehouse/locks.ts";
import { tableName } from "../warehouse/quote.ts";
import type { MergeInput } from "../warehouse/target.ts";

export interface AttemptOptions {
  /** How often the transaction is tried. Default 8. */
  readonly attempts?: number;
  /** How long a statement waits for a lock that another session holds. Default 500, which is also the most to use with live traffic. */
  readonly lockTimeoutMs?: number;
  /** The longest pause before the second attempt; it doubles up to 16 times that, and each is a random part of it. Default 250. */
  readonly backoffMs?: number;
}

export interface Attempted<Result> {
  readonly options: AttemptOptions;
  /** Their live tables are locked before anything is read. */
  readonly datasets: readonly MergeInput[];
  readonly work: (tx: Tx) => Promise<Result>;
  /** What a violated constraint means here. */
  readonly violation: { readonly code: ErrorCode; readonly advice: string };
}

const contended = new Set(["40001", "40P01", "55P03"]);
const violations = new Set(["23505", "23503", "23P01", "23514", "23502"]);

/** Runs the work in a transaction until it commits, cannot, or has been tried often enough. */
export async function attempt<Result>(database: Database, attempted: Attempted<Result>): Promise<Result> {
  const { attempts = 8, lockTimeoutMs = 500, backoffMs = 250 } = attempted.options;
  let violated = 0;
  for (let count = 1; ; count += 1) {
    try {
      return await database.transaction(
        async (tx) => {
          await pinTransaction(tx, { lockTimeoutMs });
          await lockForWriting(
            tx,
            attempted.datasets.map(({ derived }) => tableName(derived.table)),
          );
          return attempted.work(tx);
        },
        { isolation: "repeatable read" },
      );
    } catch (error) {
      const state = sqlState(error) ?? "";
      if (violations.has(state)) violated += 1;
      if (violated > 1 || (violated > 0 && count >= attempts)) throw asViolation(error, attempted.violation);
      if (!contended.has(state) && !violations.has(state)) throw error;
      if (count >= attempts) throw asDeferred(error, attempts);
    }
    await wait(Math.random() * backoffMs * Math.min(2 ** (count - 1), 16));
  }
}

function asDeferred(error: unknown, attempts: number): RederiveError {
  return new RederiveError(
    "promote_deferred",
    `other sessions held locks on the live tables or wrote the same rows in each of ${attempts} attempts ` +
      `(${messageOf(error)}); nothing was changed; try again when it is quieter`,
    { cause: error, details: { attempts, sqlState: sqlState(error) ?? null } },
  );
}

function asViolation(error: unknown, violation: Attempted<unknown>["violation"]): RederiveError {
  const detail = (error as { detail?: unknown }).detail;
  const what = typeof detail === "string" ? `${messageOf(error)}: ${detail}` : messageOf(error);
  return new RederiveError(violation.code, `${what}; nothing was changed; ${violation.advice}`, {
    cause: error,
    details: { sqlState: sqlState(error) ?? null },
  });
}
