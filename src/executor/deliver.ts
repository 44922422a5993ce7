/**
 * Brings the job of a ready task to where a worker will take it. Everything here may be done twice, or in vain: a
 * delivery too many ends at the guard of the claim.
 */
import type { ReadyTask } from "../store/edges.ts";
import type { Database } from "../tx.ts";
import { jobIdOf, type Queues, taskNode } from "./queues.ts";

/** What the delivery works with. */
export interface Delivery {
  readonly database: Database;
  readonly queues: Queues;
  /** Told of what went wrong and heals by itself. Default: silence. */
  readonly onError?: (message: string, error: unknown) => void;
}

/** How a job was brought on its way, or why nothing was done. */
export type Redelivery =
  | "live" // in the queue already
  | "active" // a worker has it; perhaps a dead one
  | "gate" // it stood behind its gate
  | "waiting" // it waits for children that BullMQ takes for unfinished
  | "retried" // it had failed in BullMQ and was put back
  | "added"; // it was gone, or finished, and was made anew

/** Removes gates; one that is not there, or not there yet, makes no difference. */
export async function openGates(queues: Queues, tasks: readonly { backfill: string; id: string }[]): Promise<void> {
  const gates = queues.gates;
  await Promise.all(tasks.map((task) => gates.remove(jobIdOf(task.backfill, task.id), { removeChildren: false })));
}

/** Adds plain jobs, grouped by queue; a job that exists stays as it is. */
export async function addJobs(queues: Queues, tasks: readonly Omit<ReadyTask, "settled">[]): Promise<void> {
  const byQueue = new Map<string, Omit<ReadyTask, "settled">[]>();
  for (const task of tasks) byQueue.set(task.queue, [...(byQueue.get(task.queue) ?? []), task]);
  for (const [name, group] of byQueue) await queues.queueFor(name).addBulk(group.map(taskNode));
}

/**
 * Looks at the job of one ready task and mends it. `force` also rebuilds a job that waits for children: right only
 * when it has waited for longer than it takes a worker to complete the last child after its commit.
 */
export async function redeliver(queues: Queues, task: ReadyTask, force = false): Promise<Redelivery> {
  const queue = queues.queueFor(task.queue);
  const id = jobIdOf(task.backfill, task.id);
  const state = await queue.getJobState(id);
  if (state === "active") return "active";
  if (state === "waiting" || state === "delayed" || state === "prioritized") return "live";
  if (state === "waiting-children") {
    await openGates(queues, [task]);
    if ((await queue.getJobState(id)) !== "waiting-children") return "gate";
    if (!force) return "waiting";
  }
  if (state === "failed") {
    // Removing it would release its parent as if it had succeeded; a retry puts it back under its parent.
    const job = await queue.getJob(id);
    if (job !== undefined) {
      await job.retry("failed");
      return "retried";
    }
  }
  await queue.remove(id, { removeChildren: false });
  const node = taskNode(task);
  await queue.add(node.name, node.data, node.opts);
  return "added";
}
