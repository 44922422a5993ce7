/**
 * Pause, resume, cancel, retry and finalize: each one transaction that changes the state and writes its audit row. Workers
 * see the change at their next claim; running tasks of a cancelled backfill lose at their final statement.
 */
import { RederiveError } from "../errors.ts";
import { appendAudit } from "../store/audit.ts";
import { type BackfillRow, moveBackfill, readDatasets, releaseHolds } from "../store/backfills.ts";
import { judgedPhase, reopenPhase } from "../store/phases.ts";
import { endReservations } from "../store/reservations.ts";
import { cancelTasks, retryTasks } from "../store/tasks.ts";
import type { Tx } from "../tx.ts";
import { type Context, requireLocked, wrongState } from "./context.ts";
import { type PartitionChoice, rangesOfChoice } from "./partitions.ts";

export interface Reasoned {
  /** Why; it goes into the audit trail. */
  readonly reason: string;
}

export interface RetryInput extends Reasoned {
  /** Default: every dataset. */
  readonly dataset?: string | undefined;
  /** Labels such as "2001-01-31", or ordinal ranges; default: every failed, quarantined or held partition. */
  readonly partitions?: PartitionChoice | undefined;
}

/** Nothing new starts; running tasks finish. */
export async function pause(context: Context, id: string, input: Reasoned): Promise<void> {
  await act(context, id, "pause", input.reason, async (tx, row) => {
    const moved = await moveBackfill(tx, {
      id,
      to: "paused",
      reason: `paused by ${context.actor.name}: ${input.reason}`,
    });
    if (!moved) throw wrongState(row, "pause", "only a running backfill can be paused");
  });
}

/** Goes on after a pause, or accepts what a hold showed. */
export async function resume(context: Context, id: string, input: Reasoned): Promise<void> {
  await act(context, id, "resume", input.reason, async (tx, row) => {
    await refuseAtGate(tx, row);
    const overruled = await standingReasons(tx, row);
    const released = await releaseHolds(tx, id, true);
    const moved = await moveBackfill(tx, { id, to: "running", reason: null, from: ["paused", "held"] });
    // A hold on one dataset does not stop the others: then there is no state to change, only the hold to release.
    if (!moved && !(row.state === "running" && released.length > 0)) {
      throw wrongState(row, "resume", "only a paused or held backfill can be resumed");
    }
    return { released, overruled };
  });
}

/** What waits for approval is approved, which takes another role, and not only resumed. */
async function refuseAtGate(tx: Tx, row: BackfillRow): Promise<void> {
  const waiting = await judgedPhase(tx, row.id);
  if (waiting === undefined) return;
  const approval = `rederive resume ${row.id} --phase ${waiting.name} --reason "…"`;
  throw wrongState(row, "resume", `an approver lets the phase pass with: ${approval}`);
}

/** Why the backfill stands still: what a person who resumes it decides to go on in spite of. */
async function standingReasons(tx: Tx, { id, stateReason }: BackfillRow): Promise<string[]> {
  const datasets = await readDatasets(tx, id);
  const holds = datasets.flatMap(({ dataset, held, holdReason }) =>
    held ? [`${dataset}: ${holdReason ?? "held"}`] : [],
  );
  return holds.length > 0 || stateReason === null ? holds : [stateReason];
}

/** Gives it up. What is live stays as it is. */
export async function cancel(context: Context, id: string, input: Reasoned): Promise<void> {
  await act(context, id, "cancel", input.reason, async (tx, row) => {
    const moved = await moveBackfill(tx, {
      id,
      to: "cancelled",
      reason: `cancelled by ${context.actor.name}: ${input.reason}`,
    });
    if (!moved)
      throw wrongState(row, "cancel", "a promoted backfill is undone by rollback; a finished one stays as it is");
    const cancelled = await cancelTasks(tx, id);
    await endReservations(tx, id);
    return { tasks: cancelled };
  });
}

/**
 * Ends the way back: what a rollback would need, and the candidates, may be dropped, which the planner does. Live tables
 * stay as they are. There is no way to take it back.
 */
export async function finalize(context: Context, id: string, input: Reasoned): Promise<void> {
  await act(context, id, "finalize", input.reason, async (tx, row) => {
    const moved = await moveBackfill(tx, {
      id,
      to: "finalized",
      reason: `finalized by ${context.actor.name}: ${input.reason}`,
    });
    if (!moved)
      throw wrongState(row, "finalize", "only a promoted backfill can be; one that is not wanted is cancelled");
  });
}

/** Computes failed, quarantined or named tasks again, and what is downstream of them. */
export async function retry(context: Context, id: string, input: RetryInput): Promise<number> {
  let count = 0;
  await act(context, id, "retry", input.reason, async (tx, row) => {
    if (!["running", "paused", "held", "verified"].includes(row.state)) {
      throw wrongState(row, "retry", "only a backfill that is at work, held or verified can be retried");
    }
    const named = input.dataset === undefined ? [] : [input.dataset];
    const partitions = input.partitions && rangesOfChoice(context.catalog, named, input.partitions);
    const retried = await retryTasks(tx, {
      backfill: id,
      dataset: input.dataset,
      partitions,
      alsoDone: partitions !== undefined,
    });
    if (retried === "running") {
      throw new RederiveError(
        "wrong_state",
        `tasks downstream are running on the old output; pause ${id}, wait for them, and retry again`,
      );
    }
    count = retried;
    await releaseHolds(tx, id, false);
    await reopenPhase(tx, id);
    await moveBackfill(tx, { id, to: "running", reason: null, from: ["held", "verified"] });
    return { tasks: retried, dataset: input.dataset, partitions: input.partitions };
  });
  return count;
}

async function act(
  context: Context,
  id: string,
  name: string,
  reason: string,
  work: (tx: Tx, row: BackfillRow) => Promise<Record<string, unknown> | undefined>,
): Promise<void> {
  if (reason.trim() === "") throw new RederiveError("usage", `${name} needs a reason, for the audit trail`);
  await context.database.transaction(async (tx) => {
    const row = await requireLocked(tx, id);
    const details = await work(tx, row);
    await appendAudit(tx, {
      actor: context.actor.name,
      act: `backfill.${name}`,
      backfill: id,
      reason,
      planHash: row.planHash,
      details: { from: row.state, ...details },
    });
  });
  context.wake();
}
