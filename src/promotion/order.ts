/**
 * Several tables that refer to each other, written in one transaction: by a promotion and by a rollback alike.
 *
 * 1. Parents before their children; what the rows of each table forbid is gathered and refused at once.
 * 2. Children let go of their parents before those are deleted; parents are there before their children refer to them.
 */
import type { Tx } from "../tx.ts";
import {
  factsOf,
  inForeignKeyOrder,
  isReferencedWithin,
  type Preflight,
  refuseIfAny,
  rowProblems,
} from "../warehouse/preflight.ts";
import { checkDeferred, resolveSwaps, type UpdateSource } from "../warehouse/swaps.ts";
import type { Target } from "../warehouse/target.ts";

/** What is to be done to one live table, as its restore point tells. */
export interface Change {
  readonly target: Target;
  readonly deletes: number;
  readonly updates: number;
  readonly source: UpdateSource;
}

/** A change in its place among the others. */
export interface Step<Own extends Change> {
  readonly change: Own;
  /** Rows of the updates that are deleted and inserted again, because they take values from one another. */
  readonly rewrites: number;
  /** Deletes come last where rows of another table of the same transaction may first have to let go of them. */
  readonly deletesLast: boolean;
}

/** How the rows of one table are written. */
export interface Writer<Own extends Change> {
  readonly remove: (step: Step<Own>) => Promise<void>;
  readonly write: (step: Step<Own>) => Promise<void>;
}

/** Parents first, with the rows marked that swap unique values. Refuses what the rows forbid; writes nothing live. */
export async function inOrder<Own extends Change>(
  tx: Tx,
  targets: readonly Target[],
  facts: Preflight,
  changeOf: (target: Target) => Promise<Own>,
): Promise<Step<Own>[]> {
  const steps: Step<Own>[] = [];
  const problems: string[] = [];
  for (const target of inForeignKeyOrder(targets, facts)) {
    const change = await changeOf(target);
    const own = factsOf(facts, target);
    const rewrites = change.updates === 0 ? 0 : await resolveSwaps(tx, target, own, change.source);
    problems.push(...(await rowProblems(tx, target, own, { ...change, rewrites })));
    steps.push({ change, rewrites, deletesLast: isReferencedWithin(target, targets, facts) });
  }
  refuseIfAny(problems);
  const noUpdates = steps.every(({ change }) => change.updates === 0);
  return noUpdates ? steps.map((step) => ({ ...step, deletesLast: false })) : steps;
}

/** Early deletes, then parents before children, then late deletes; deferred constraints are checked at the end. */
export async function writeInOrder<Own extends Change>(
  tx: Tx,
  steps: readonly Step<Own>[],
  { remove, write }: Writer<Own>,
): Promise<void> {
  const childrenFirst = [...steps].reverse();
  for (const step of childrenFirst) if (!step.deletesLast) await remove(step);
  for (const step of steps) await write(step);
  for (const step of childrenFirst) if (step.deletesLast) await remove(step);
  await checkDeferred(tx);
}
