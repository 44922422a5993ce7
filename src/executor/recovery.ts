/**
 * Brings back the tasks of lost workers: those whose database connection is gone (a killed worker loses it at once),
 * and those whose worker let its lease run out (a frozen one keeps it, so it is ended first).
 *
 * The task becomes ready, or quarantined after too many losses, under the epoch that was lost: whoever claimed it anew
 * meanwhile keeps it. Its job is still active under the dead worker's lock and would come back after the lease; a
 * second job with an id of its own is delivered at once, and the first one ends at the claim as settled.
 */
import { sqlState } from "../errors.ts";
import { appendAudit } from "../store/audit.ts";
import { terminateBackend } from "../store/claims.ts";
import { type LostTask, lostTasks, returnLost } from "../store/release.ts";
import type { Tx } from "../tx.ts";
import type { Delivery } from "./deliver.ts";
import { jobIdOf, taskNode } from "./queues.ts";

export interface RecoveryOptions {
  /** Quarantined after so many losses. Default 3. */
  readonly maxLosses?: number;
  /** A live worker that lost its connection gives its task back by itself within this time. Default 1,000. */
  readonly graceMs?: number;
  /** How long to wait for the end of a frozen worker's backend. Default 5,000. */
  readonly terminateMs?: number;
  /** How long to wait for a task's row before it is left to the next look. Default 500. */
  readonly lockTimeoutMs?: number;
  /** The monotonic clock. Default performance.now. */
  readonly now?: () => number;
}

export interface RecoveryCounts {
  readonly recovered: number;
  readonly quarantined: number;
}

export class Recovery {
  readonly #delivery: Delivery;
  readonly #options: Required<RecoveryOptions>;
  /** When an attempt was first seen without a backend, by task and epoch. */
  readonly #seen = new Map<string, number>();
  /** Attempts whose backend could not be ended, which was reported. */
  readonly #stuck = new Set<string>();

  constructor(delivery: Delivery, options: RecoveryOptions = {}) {
    this.#delivery = delivery;
    this.#options = {
      ...{ maxLosses: 3, graceMs: 1_000, terminateMs: 5_000, lockTimeoutMs: 500 },
      ...{ now: () => performance.now(), ...options },
    };
  }

  async recover(): Promise<RecoveryCounts> {
    const lost = await lostTasks(this.#delivery.database);
    const due = this.#due(lost);
    const states = await Promise.all(due.map((task) => this.#bringBack(task)));
    return {
      recovered: states.filter((state) => state === "ready").length,
      quarantined: states.filter((state) => state === "quarantined").length,
    };
  }

  /** An expired lease counts at once; a missing backend only when it is still missing after the grace. */
  #due(lost: readonly LostTask[]): LostTask[] {
    const now = this.#options.now();
    const keys = new Set(lost.map(attemptOf));
    for (const key of this.#seen.keys()) if (!keys.has(key)) this.#seen.delete(key);
    for (const key of this.#stuck) if (!keys.has(key)) this.#stuck.delete(key);
    return lost.filter((task) => {
      const since = this.#seen.get(attemptOf(task)) ?? now;
      this.#seen.set(attemptOf(task), since);
      return task.expired || now - since >= this.#options.graceMs;
    });
  }

  async #bringBack(task: LostTask): Promise<"ready" | "quarantined" | undefined> {
    const { database } = this.#delivery;
    if (task.alive && !(await this.#endBackend(task))) return this.#report(task);
    try {
      const state = await database.transaction((tx) => this.#returnLost(tx, task));
      if (state === "ready") await this.#deliverAgain(task);
      return state;
    } catch (error) {
      // Somebody is at the task's row; the others need not wait for that.
      if (sqlState(error) === "55P03") return undefined;
      throw error;
    }
  }

  /** Once of each attempt: it is tried again at every look, and nobody else will say why the task does not go on. */
  #report(task: LostTask): undefined {
    const key = attemptOf(task);
    if (this.#stuck.has(key)) return;
    this.#stuck.add(key);
    const message =
      `task ${task.id} of ${task.backfill} is lost, and its session (process ${task.backendPid} of Postgres) cannot be ` +
      "ended, so nobody can take the task over; see rederive doctor, or end the session";
    this.#delivery.onError?.(message, undefined);
  }

  async #returnLost(tx: Tx, task: LostTask): Promise<"ready" | "quarantined" | undefined> {
    const { id, epoch, backfill, dataset } = task;
    const { maxLosses, lockTimeoutMs } = this.#options;
    const state = await returnLost(tx, { id, epoch, loss: !task.restarted, maxLosses, lockTimeoutMs });
    if (state === "quarantined") {
      const reason = `its worker was lost ${maxLosses} times`;
      await appendAudit(tx, {
        actor: "planner",
        act: "task.quarantine",
        backfill,
        dataset,
        reason,
        details: { task: id, epoch },
      });
    }
    return state;
  }

  async #endBackend(task: LostTask): Promise<boolean> {
    if (task.backendPid === null || task.backendStart === null) return true;
    const waitMs = this.#options.terminateMs;
    return terminateBackend(this.#delivery.database, { pid: task.backendPid, start: task.backendStart, waitMs });
  }

  async #deliverAgain(task: LostTask): Promise<void> {
    const node = taskNode(task);
    const jobId = `${jobIdOf(task.backfill, task.id)}~${task.epoch}`;
    await this.#delivery.queues.queueFor(task.queue).add(node.name, node.data, { ...node.opts, jobId });
  }
}

function attemptOf(task: LostTask): string {
  return `${task.id}~${task.epoch}`;
}
