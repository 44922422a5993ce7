/** What the fleet looks like now, for the gauges of `/metrics`: tasks by state, jobs by queue, the audit trail's lag. */
import type { TaskQueue } from "../executor/queues.ts";
import { taskTransitions } from "../states.ts";
import { auditLag } from "../store/audit-chain.ts";
import { openTasksByState } from "../store/status.ts";
import { looks } from "../store/watches.ts";
import type { FleetSample } from "../telemetry/metrics.ts";
import type { Tx } from "../tx.ts";

/** Every state is named, with 0 where there is none: a gauge that is not set keeps its last value. */
export async function fleetSample(tx: Tx, queues: readonly TaskQueue[]): Promise<FleetSample> {
  const [tasks, audit, watched, depths] = await Promise.all([
    openTasksByState(tx),
    auditLag(tx),
    looks(tx),
    Promise.all(queues.map(depthOf)),
  ]);
  const zeros = Object.fromEntries(Object.keys(taskTransitions).map((state) => [state, 0]));
  const failing = watched.flatMap((row) => (row.failing === null ? [] : [[row.dataset, row.failing] as const]));
  return {
    tasks: { ...zeros, ...tasks },
    queues: Object.fromEntries(depths),
    failing: Object.fromEntries(failing),
    audit,
  };
}

async function depthOf(queue: TaskQueue): Promise<[name: string, counts: Record<string, number>]> {
  return [queue.name, await queue.getJobCounts("waiting", "active", "delayed", "prioritized", "waiting-children")];
}
