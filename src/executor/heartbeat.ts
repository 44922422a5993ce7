/**
 * Keeps a worker's lease and tells running tasks that they are no longer wanted.
 *
 * One statement renews the lease and asks which running tasks are not this worker's any more. A worker that was frozen
 * for longer than its lease finds it run out: it stops what it runs, as others may have taken over, and registers anew.
 */
import { performance } from "node:perf_hooks";
import { messageOf, RederiveError } from "../errors.ts";
import { codeLevel } from "../store/migrate.ts";
import { registerWorker, renewLease, type WorkerRegistration } from "../store/workers.ts";
import type { Database } from "../tx.ts";

export interface Beating {
  readonly task: string;
  readonly epoch: number;
  readonly stop: (why: "gone" | "lapsed") => void;
}

export interface HeartbeatOptions {
  readonly database: Database;
  readonly registration: WorkerRegistration;
  /** How often running tasks learn of a cancellation. Default 1,000. */
  readonly pollMs?: number;
  /** Called once when the control schema has moved past this code. */
  readonly onIncompatible: (error: RederiveError) => void;
  /** Called when a beat failed; the next one tries again. */
  readonly onError?: (message: string) => void;
}

export interface Beat {
  readonly renewed: boolean;
  readonly stopped: number;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #running = new Set<Beating>();
  readonly #leaseMs: number;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<Beat> | undefined;
  #started = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#leaseMs = options.registration.leaseMs;
  }

  /** Registers the worker and beats until `stop`. */
  async start(): Promise<void> {
    this.#started = true;
    await this.#register();
    await this.runOnce();
    this.#schedule();
  }

  /** Idempotent; waits for a beat under way. */
  async stop(): Promise<void> {
    this.#started = false;
    clearTimeout(this.#timer);
    await this.#beating?.catch(() => undefined);
  }

  /** False once the lease may have run out. Counted from before the renewal was sent, so it errs on the safe side. */
  leaseLives(): boolean {
    return performance.now() - this.#renewedAt < this.#leaseMs;
  }

  watch(task: Beating): () => void {
    this.#running.add(task);
    return () => this.#running.delete(task);
  }

  /** One beat; those who ask while it is under way share it. */
  runOnce(): Promise<Beat> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #beat(): Promise<Beat> {
    const { database, registration } = this.#options;
    const running = [...this.#running];
    const sentAt = performance.now();
    const { renewed, requiredLevel, gone } = await renewLease(database, {
      worker: registration.id,
      leaseMs: this.#leaseMs,
      running: running.map(({ task, epoch }) => ({ task, epoch })),
    });
    if (requiredLevel > codeLevel) this.#options.onIncompatible(incompatible(requiredLevel));
    if (renewed) this.#renewedAt = sentAt;
    const lost = renewed ? running.filter(({ task }) => gone.includes(task)) : running;
    for (const task of lost) task.stop(renewed ? "gone" : "lapsed");
    if (!renewed) await this.#register();
    return { renewed, stopped: lost.length };
  }

  async #register(): Promise<void> {
    const sentAt = performance.now();
    await registerWorker(this.#options.database, this.#options.registration);
    this.#renewedAt = sentAt;
  }

  #schedule(): void {
    if (!this.#started) return;
    // Idle workers need nothing but their lease; busy ones also hear of cancellations.
    const renewMs = this.#leaseMs / 3;
    const wait = this.#running.size > 0 ? Math.min(renewMs, this.#options.pollMs ?? 1_000) : Math.min(renewMs, 2_000);
    this.#timer = setTimeout(() => {
      this.runOnce()
        .catch((error: unknown) => this.#options.onError?.(messageOf(error)))
        .finally(() => this.#schedule());
    }, wait);
    this.#timer.unref();
  }
}

function incompatible(required: number): RederiveError {
  return new RederiveError(
    "schema_incompatible",
    `the control schema needs code level ${required}, this worker has ${codeLevel}; deploy the newer rederive and restart`,
    { details: { required, codeLevel } },
  );
}
