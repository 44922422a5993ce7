/**
 * What becomes of a task whose attempt did not come to its end: recorded under the attempt's epoch, so that one that was
 * replaced changes nothing. Being stopped counts for nothing, an error counts as an attempt.
 */
import { isRederiveError } from "../errors.ts";
import { appendAudit } from "../store/audit.ts";
import { moveBackfill } from "../store/backfills.ts";
import { failTask, giveBackTask, taskState } from "../store/claims.ts";
import { classify, type Failure, triesOf } from "./classify.ts";
import { later, standing, type TaskOutcome, type TaskRef } from "./outcome.ts";
import { persistently } from "./patience.ts";
import { type Claimed, type Outcomes, requireDerived, type Shared, type TaskContext } from "./task-context.ts";

export async function recordFailures(claimed: readonly Claimed[], shared: Shared, error: unknown): Promise<Outcomes> {
  const outcomes: Outcomes = new Map();
  for (const part of claimed) outcomes.set(part.ref.task, await recordFailure(part, shared, error));
  return outcomes;
}

/** After an error: what happened to the attempt, recorded under its epoch, so that a fenced one changes nothing. */
export async function recordFailure(part: Claimed, shared: Shared, error: unknown): Promise<TaskOutcome> {
  const { ref, epoch } = part;
  const { context, session, signal } = shared;
  const mine = { task: ref.task, epoch };
  const connectionLost = !session.usable;
  await clean(shared);
  try {
    // Stopping counts neither as an attempt nor as a loss.
    if (signal.aborted || isFenced(error)) {
      const given = await persistently(() => giveBackTask(context.database, mine));
      return given ? later("stopped") : await standingOf(part, shared);
    }
    const failure = classify(error, connectionLost);
    if (failure.kind === "exhausted") {
      await persistently(() => giveBackTask(context.database, mine));
      return await holdExhausted(ref.backfill, context, failure);
    }
    return await countFailure(part, shared, failure);
  } catch (unrecorded) {
    if (classify(unrecorded).kind === "deterministic") throw unrecorded;
    // Postgres is away. The task stays running under a lease that ends, or under a backend that is gone.
    return later("unavailable");
  }
}

async function countFailure(part: Claimed, shared: Shared, failure: Failure): Promise<TaskOutcome> {
  const { ref, epoch } = part;
  const { context } = shared;
  const recorded = await persistently(() =>
    failTask(context.database, {
      task: ref.task,
      epoch,
      error: failure,
      maxAttempts: requireDerived(context.catalog, ref.dataset).attempts,
      maxOfKind: triesOf[failure.kind],
    }),
  );
  if (recorded === undefined) return await standingOf(part, shared);
  if (recorded.state === "failed") return { kind: "failed", code: failure.code, message: failure.message };
  return { kind: "retry", failure, attempts: recorded.attempts };
}

/** The lane is ready for the next task: rolled back where the connection lives, else cut off on the server too. */
async function clean({ session, lane, signal }: Shared): Promise<void> {
  if (session.usable && !signal.aborted) {
    try {
      await session.query("rollback");
      return;
    } catch {
      // It broke just now.
    }
  }
  await lane.cut();
}

/** Out of disk or connections: the backfill waits for a person, instead of trying over and over. */
async function holdExhausted(backfill: string, context: TaskContext, failure: Failure): Promise<TaskOutcome> {
  const reason = `resource_exhausted: ${failure.message}; make room in Postgres, then resume`;
  try {
    await context.database.transaction(async (tx) => {
      const held = await moveBackfill(tx, { id: backfill, to: "held", reason, from: ["running"] });
      if (held) await appendAudit(tx, { actor: "worker", act: "resource_exhausted", backfill, reason });
    });
  } catch {
    return later("unavailable");
  }
  return later("held");
}

/** The lane could not be opened, or the claim itself failed: no attempt was made, so none is counted. */
export async function refusedBeforeClaim(
  refs: readonly TaskRef[],
  context: TaskContext,
  error: unknown,
): Promise<TaskOutcome> {
  const failure = classify(error);
  await context.lane.cut();
  const [{ backfill }] = refs as readonly [TaskRef];
  if (failure.kind === "exhausted") return await holdExhausted(backfill, context, failure);
  if (failure.kind === "deterministic") return { kind: "failed", code: failure.code, message: failure.message };
  return later("unavailable");
}

/** Another task of the same claim has taken the connection with it; this one goes back as it was. */
export async function giveBack(part: Claimed, shared: Shared): Promise<TaskOutcome> {
  const mine = { task: part.ref.task, epoch: part.epoch };
  try {
    const given = await persistently(() => giveBackTask(shared.database, mine));
    return given ? later("unavailable") : await standingOf(part, shared);
  } catch (unrecorded) {
    if (classify(unrecorded).kind === "deterministic") throw unrecorded;
    return later("unavailable");
  }
}

async function standingOf({ ref }: Claimed, { database }: Shared): Promise<TaskOutcome> {
  return standing(await persistently(() => taskState(database, ref.task)));
}

function isFenced(error: unknown): boolean {
  return isRederiveError(error) && error.code === "fenced";
}
