/** A BullMQ job, read as the task that it is for, and told what became of it. */
import { DelayedError, UnrecoverableError } from "bullmq";
import { datasetOf } from "../store/claims.ts";
import type { Database } from "../tx.ts";
import type { TaskOutcome, TaskRef } from "./outcome.ts";
import { backoffMs, type TaskJob, taskOfJob } from "./queues.ts";

/** What the job is for. A job whose hash Redis has lost still has its id, and Postgres knows the rest. */
export async function refOf(job: TaskJob, database: Database): Promise<TaskRef | undefined> {
  const reference = taskOfJob(job);
  if (reference === undefined) return undefined;
  const name: string | undefined = job.name;
  const dataset = name || (await datasetOf(database, reference.task));
  return dataset === undefined ? undefined : { ...reference, dataset };
}

/** The trace of whoever put the job into the queue. */
export function traceparentOf(job: TaskJob): string | undefined {
  const metadata = job.opts.telemetry?.metadata;
  if (metadata === undefined) return undefined;
  try {
    const { traceparent } = JSON.parse(metadata) as { traceparent?: unknown };
    return typeof traceparent === "string" ? traceparent : undefined;
  } catch {
    // Somebody else's job options; the task joins the trace of its plan.
    return undefined;
  }
}

/**
 * Resolves where the job is done with; else puts it off, or throws so that BullMQ retries or fails it. Where another
 * worker has its lock by now, the job is that one's to move: `onLost` hears of it.
 */
export async function answer(
  outcome: TaskOutcome,
  job: TaskJob,
  token: string | undefined,
  onLost: (error: unknown) => void,
): Promise<void> {
  // Costs the job no attempt.
  const putOff = async (delayMs: number): Promise<never> => {
    await job.moveToDelayed(Date.now() + delayMs, token).catch(onLost);
    throw new DelayedError();
  };
  switch (outcome.kind) {
    case "done":
    case "settled":
    case "cancelled":
      return;
    case "later":
      return await putOff(outcome.delayMs);
    case "retry":
      if (job.attemptsMade + 1 < (job.opts.attempts ?? 1)) throw new Error(outcome.failure.message);
      // BullMQ counts attempts that Postgres does not, so it may run out of them first.
      return await putOff(backoffMs(outcome.attempts));
    case "failed":
      throw new UnrecoverableError(outcome.message);
  }
}
