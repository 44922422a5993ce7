/**
 * Fleet-wide limits: BullMQ's global rate and concurrency of a queue, from the catalog and from what people changed at
 * run time. Postgres holds the changes, so the limits are compared again and again and come back after a FLUSHALL.
 */
import { type QueueLimit, readLimits } from "../store/limits.ts";
import type { Delivery } from "./deliver.ts";
import type { Queues } from "./queues.ts";

/** The catalog's limits, overlaid with those changed at run time; a row of nulls lifts a limit of the catalog. */
export function effectiveLimits(defaults: readonly QueueLimit[], changed: readonly QueueLimit[]): QueueLimit[] {
  const byQueue = new Map(defaults.map((limit) => [limit.queue, limit]));
  for (const limit of changed) byQueue.set(limit.queue, limit);
  return [...byQueue.values()];
}

/** Brings the queues to their limits. Returns how many settings were changed. */
export async function applyLimits(delivery: Delivery, defaults: readonly QueueLimit[]): Promise<number> {
  const limits = effectiveLimits(defaults, await readLimits(delivery.database));
  let changes = 0;
  for (const limit of limits) {
    changes += (await applyRate(delivery.queues, limit)) + (await applyConcurrency(delivery.queues, limit));
  }
  return changes;
}

async function applyRate(queues: Queues, limit: QueueLimit): Promise<number> {
  const queue = queues.queueFor(limit.queue);
  const now = await queue.getGlobalRateLimit();
  const { rate } = limit;
  if (now === null ? rate === null : now.max === rate?.max && now.duration === rate.perMs) return 0;
  if (rate === null) await queue.removeGlobalRateLimit();
  else await queue.setGlobalRateLimit(rate.max, rate.perMs);
  return 1;
}

async function applyConcurrency(queues: Queues, limit: QueueLimit): Promise<number> {
  const queue = queues.queueFor(limit.queue);
  const now = await queue.getGlobalConcurrency();
  if (now === limit.concurrency) return 0;
  if (limit.concurrency === null) await queue.removeGlobalConcurrency();
  else await queue.setGlobalConcurrency(limit.concurrency);
  return 1;
}
