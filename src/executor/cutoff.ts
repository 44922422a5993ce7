/**
 * What follows where prunable tasks wait for nothing any more: level by level downstream it is decided who computes and
 * who is unchanged, until nobody is unchanged. Dying on the way leaves tasks that wait for nothing, which the planner's
 * sweep finds.
 */
import { chunks } from "../chunks.ts";
import { decideTasks } from "../store/cutoff.ts";
import { type ReadyTask, readyConsumers } from "../store/edges.ts";
import { recordTask } from "../telemetry/metrics.ts";
import type { Database } from "../tx.ts";

export interface CutOff {
  /** Tasks that became ready and are released; those that were not before (`settled`) have no job yet. */
  readonly ready: readonly ReadyTask[];
  /** How many tasks were decided. */
  readonly moved: number;
}

export interface CutOffOptions {
  /** Tasks of each level that are released at once, at most; the rest is left to the planner's windows. */
  readonly release: number;
  /** See `readyConsumers`. */
  readonly graceMs: number;
}

/**
 * Tasks of one transaction. Behind a partition that everything reads a hundred thousand come at once: deciding them
 * together would lock as many rows, and a person who retries or cancels would wait for the last of them.
 */
const chunkTasks = 1_000;

/** Decides about tasks of one backfill. */
export async function cutOff(
  database: Database,
  backfill: string,
  tasks: readonly string[],
  options: CutOffOptions,
): Promise<CutOff> {
  const ready: ReadyTask[] = [];
  let moved = 0;
  for (let open = tasks; open.length > 0; ) {
    const level = await decideLevel(database, backfill, open, options);
    ready.push(...level.ready);
    moved += level.moved;
    open = level.next;
  }
  return { ready, moved };
}

/** `next` are those below what was found unchanged. None comes twice: it waits for the last of its upstreams. */
async function decideLevel(
  database: Database,
  backfill: string,
  tasks: readonly string[],
  { release, graceMs }: CutOffOptions,
): Promise<CutOff & { readonly next: readonly string[] }> {
  const released: ReadyTask[] = [];
  const ready: ReadyTask[] = [];
  const next: (readonly string[])[] = [];
  let moved = 0;
  for (const chunk of chunks(tasks, chunkTasks)) {
    const args = { backfill, tasks: chunk, release: release - released.length };
    const decided = await database.transaction((tx) => decideTasks(tx, args));
    for (const { dataset } of decided.unchanged) recordTask({ dataset, outcome: "unchanged", seconds: 0 });
    const producers = decided.unchanged.map(({ id }) => id);
    const consumers = await readyConsumers(database, producers, graceMs);
    released.push(...decided.ready);
    ready.push(...consumers.ready);
    next.push(consumers.prunable);
    moved += decided.moved;
  }
  return { ready: [...released, ...ready], moved, next: next.flat() };
}
