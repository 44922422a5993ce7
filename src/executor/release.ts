/**
 * Puts tasks into the queue: a bounded window of each backfill, and the consumers of what was just committed.
 *
 * The window is filled by rank, so that it is closed under upstream, in chunks: mark the tasks released in Postgres,
 * read their undone edges in the same transaction, add flow trees, then sweep the gates of those that became ready
 * meanwhile (their producer's worker looked for a gate before there was one). Waiting tasks may take half of the
 * window at most: behind a failed or held upstream they may wait for days, and the rest must be able to go on.
 */

import type { FlowJob } from "bullmq";
import { type ReadyTask, readyConsumers, readyOf, undoneEdges } from "../store/edges.ts";
import { type ReleasedTask, type RunningBackfill, releaseTasks, stillReady, windowOf } from "../store/release.ts";
import { cutOff } from "./cutoff.ts";
import { addJobs, type Delivery, openGates, redeliver } from "./deliver.ts";
import { buildForest, type FlowCall, type FlowEdge, type FlowTree } from "./flows.ts";
import { gateNode, jobIdOf, taskNode } from "./queues.ts";

export interface ReleaseOptions {
  /** Released, unsettled tasks of one backfill at most. Default 2,000. */
  readonly windowTasks?: number;
  /** Tasks of one transaction and one turn of adding. Default 500. */
  readonly chunkTasks?: number;
}

export const defaultWindowTasks = 2_000;

/** A released task with what its job needs. */
type Released = ReadyTask & Pick<ReleasedTask, "state" | "epoch">;

/** A consumer that was released less than this ago may be on its way into the queue: its releaser opens its gate. */
const settleMs = 2_000;
/** Tasks found to need computing that go into the queue at once: they wait for no turn of the planner. */
const releasedAtOnce = 100;

/**
 * Called by a worker after the commit of tasks of one backfill, for those that have consumers. One statement where
 * nothing becomes ready, none without producers; more where something downstream may be unchanged. Never throws: the
 * tasks are done, and the sweep heals what could not be delivered. Returns how many consumers became ready in the queue.
 */
export async function afterCommit(delivery: Delivery, backfill: string, producers: readonly string[]): Promise<number> {
  try {
    const consumers = await readyConsumers(delivery.database, producers, settleMs);
    const options = { release: releasedAtOnce, graceMs: settleMs };
    const decided = await cutOff(delivery.database, backfill, consumers.prunable, options);
    const ready = [...consumers.ready, ...decided.ready];
    if (ready.length === 0) return 0;
    await openGates(delivery.queues, ready);
    // Where Redis lost the job, this makes it anew; where it did not, this changes nothing. A job that is just being
    // added as a parent must not be made here, or it would run while its gate is added under it.
    await addJobs(
      delivery.queues,
      ready.filter((task) => task.settled),
    );
    return ready.length;
  } catch (error) {
    delivery.onError?.("cannot release consumers; the planner will", error);
    return 0;
  }
}

/** Fills the window of one backfill. `blocked` are the datasets below a hold. Returns how many tasks were released. */
export async function releaseWindow(
  delivery: Delivery,
  backfill: RunningBackfill,
  blocked: readonly string[],
  options: ReleaseOptions = {},
): Promise<number> {
  const size = options.windowTasks ?? defaultWindowTasks;
  const chunk = Math.min(options.chunkTasks ?? 500, size);
  let window = await windowOf(delivery.database, backfill.id);
  // Refilled at half, so that chunks are large enough to hold whole trees.
  if (window.waiting + window.moving > size / 2) return 0;
  let released = 0;
  for (;;) {
    const room = size - window.waiting - window.moving;
    const waitingRoom = Math.floor(size / 2) - window.waiting;
    const readyOnly = waitingRoom < Math.min(chunk, size / 10);
    const limit = Math.min(room, chunk, readyOnly ? room : waitingRoom);
    if (limit <= 0) return released;
    const count = await releaseChunk(delivery, backfill, { limit, blocked, readyOnly });
    released += count;
    if (count < limit && (readyOnly || count === 0)) return released;
    window = await windowOf(delivery.database, backfill.id);
  }
}

/** One chunk. The order of its steps is what makes a crash or a race between any two of them harmless. */
async function releaseChunk(
  delivery: Delivery,
  backfill: RunningBackfill,
  args: { readonly limit: number; readonly blocked: readonly string[]; readonly readyOnly: boolean },
): Promise<number> {
  const { tasks, edges } = await delivery.database.transaction(async (tx) => {
    const rows = await releaseTasks(tx, { backfill: backfill.id, ...args });
    if (rows.length === 0) return { tasks: [], edges: [] };
    const ids = rows.map((row) => row.id);
    // The rows are locked: a producer that commits now makes its consumers ready after us, in its own statement.
    const undone = await undoneEdges(tx, ids);
    const blockedIds = new Set(undone.map((edge) => edge.consumer));
    const free = await readyOf(
      tx,
      rows.filter((row) => row.state === "waiting" && !blockedIds.has(row.id)).map((row) => row.id),
    );
    return { tasks: rows.map((row) => jobOf(row, backfill, free)), edges: undone };
  });
  if (tasks.length === 0) return 0;
  await addChunk(delivery, tasks, edges);
  return tasks.length;
}

function jobOf(row: ReleasedTask, backfill: RunningBackfill, free: readonly string[]): Released {
  return {
    ...row,
    state: free.includes(row.id) ? "ready" : row.state,
    backfill: backfill.id,
    queue: backfill.queues[row.dataset] ?? "backfill",
    traceparent: backfill.traceparent,
    settled: false,
  };
}

async function addChunk(delivery: Delivery, tasks: readonly Released[], edges: readonly FlowEdge[]): Promise<void> {
  const { queues, database } = delivery;
  // Tasks that ran before may have old jobs, which must not become part of a new flow: a finished child would never
  // be delivered, an active parent would fail. They are delivered one by one, when they are ready.
  const again = tasks.filter((task) => task.epoch > 0);
  for (const task of again) await renew(delivery, task);
  const calls = buildForest(
    tasks.filter((task) => task.epoch === 0),
    edges,
  );
  for (const call of calls) await queues.flows.addBulk(nodesOfCall(call));
  const gated = calls.flat().flatMap(gatedOf);
  const ready = await stillReady(
    database,
    gated.map((task) => task.id),
  );
  await openGates(
    queues,
    gated.filter((task) => ready.has(task.id)),
  );
}

/** A task in its second life: its job of the first is brought back, or cleared away until the task is ready. */
async function renew(delivery: Delivery, task: Released): Promise<void> {
  if (task.state === "ready") await redeliver(delivery.queues, task, true);
  else await delivery.queues.queueFor(task.queue).remove(jobIdOf(task.backfill, task.id), { removeChildren: false });
}

function nodesOfCall(call: FlowCall<Released>): FlowJob[] {
  return call.map(flowOf);
}

function flowOf(tree: FlowTree<Released>): FlowJob {
  const node = taskNode(tree.task);
  const children = tree.children.map(flowOf);
  if (tree.gated) children.push(gateNode(tree.task));
  return children.length === 0 ? node : { ...node, children: children as NonNullable<FlowJob["children"]> };
}

function gatedOf(tree: FlowTree<Released>): Released[] {
  const below = tree.children.flatMap(gatedOf);
  return tree.gated ? [tree.task, ...below] : below;
}
