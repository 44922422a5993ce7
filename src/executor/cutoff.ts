/**
 * What follows where prunable tasks wait for nothing any more: level by level downstream it is decided who computes and
 * who is unchanged, until nobody is unchanged. Dying on the way leaves tasks that wait for nothing, which the planner's
 * sweep finds.
 */
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
  /** Tasks of each level that are released at once; the rest is left to the planner's windows. */
  readonly release: number;
  /** See `readyConsumers`. */
  readonly graceMs: number;
}

/** Decides about tasks of one backfill. */
export async function cutOff(
  database: Database,
  backfill: string,
  tasks: readonly string[],
  { release, graceMs }: CutOffOptions,
): Promise<CutOff> {
  const ready: ReadyTask[] = [];
  let moved = 0;
  for (let open = tasks; open.length > 0; ) {
    const decided = await database.transaction((tx) => decideTasks(tx, { backfill, tasks: open, release }));
    for (const { dataset } of decided.unchanged) recordTask({ dataset, outcome: "unchanged", seconds: 0 });
    const producers = decided.unchanged.map(({ id }) => id);
    const next = await readyConsumers(database, producers, graceMs);
    ready.push(...decided.ready, ...next.ready);
    moved += decided.moved;
    open = next.prunable;
  }
  return { ready, moved };
}
