/**
 * A worker process: takes jobs from the queues of its catalog and carries their tasks.
 *
 * Queues share a fixed number of lanes (dispatcher.ts); each lane has a database connection of its own, opened when it is
 * first used, and carries one task at a time, or a group of short ones. The worker is in the fleet while its heartbeat renews its lease. `stop` drains: no new task, running ones may finish
 * within `drainMs`, then they are ended and their tasks given back; a second `stop` ends them at once.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Catalog } from "../catalog/catalog.ts";
import { definitionOf, type LockFile, queueOf } from "../catalog/definition.ts";
import type { Settings } from "../config.ts";
import type { RederiveError } from "../errors.ts";
import { deregisterWorker, markDraining } from "../store/workers.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Database } from "../tx.ts";
import type { Delivery } from "./deliver.ts";
import { Dispatcher } from "./dispatcher.ts";
import { Heartbeat } from "./heartbeat.ts";
import { answer, refOf, traceparentOf } from "./job.ts";
import { Lane } from "./lane.ts";
import { observeForged, observeOutcome } from "./observe.ts";
import type { TaskOutcome, TaskRef } from "./outcome.ts";
import { laneQueues, type Queues, type TaskJob, type TaskWorker } from "./queues.ts";
import { afterCommit } from "./release.ts";
import { RunPlans } from "./run-plan.ts";
import type { TaskContext } from "./task-context.ts";

export interface WorkerOptions {
  readonly settings: Pick<Settings, "concurrency" | "leaseMs" | "drainMs" | "maxLosses">;
  readonly databaseUrl: string;
  readonly catalog: Catalog;
  /** Hashes of the `map` functions; undefined where the catalog has none. */
  readonly lock?: LockFile | undefined;
  /** Control connections; the worker does not close them. */
  readonly database: Database;
  readonly queues: Queues;
  readonly log?: Logger | undefined;
  /** Told when the last running task has ended: a planner in the same process need not wait for its next turn. */
  readonly onIdle?: (() => void) | undefined;
  /** Tests stop, kill or break an attempt here. */
  readonly at?: TaskContext["at"];
}

export interface RunningWorker {
  readonly id: string;
  /** Drains, and resolves when all is closed. Called a second time it ends running tasks at once. */
  stop(): Promise<void>;
  /** Resolves when the worker has stopped, with the error if it had to: `schema_incompatible`. */
  readonly ended: Promise<RederiveError | undefined>;
}

/** How long Redis may take to hear of the last results before the worker leaves anyway. */
const closeMs = 5_000;
/** How long no task may run before the worker counts as idle. */
const idleMs = 20;

/** Registers a worker and starts to take jobs. */
export async function openWorker(options: WorkerOptions): Promise<RunningWorker> {
  const worker = new FleetWorker(options);
  await worker.start();
  return worker;
}

class FleetWorker implements RunningWorker {
  readonly id = `${hostname().slice(0, 24)}-${process.pid}-${randomBytes(4).toString("hex")}`;
  readonly ended: Promise<RederiveError | undefined>;
  readonly #options: WorkerOptions;
  readonly #dispatcher: Dispatcher;
  readonly #heartbeat: Heartbeat;
  readonly #aborting = new AbortController();
  readonly #consumers = new Map<TaskWorker, { active: number }>();
  #end: (error: RederiveError | undefined) => void = () => undefined;
  #fault: RederiveError | undefined;
  #stopping: Promise<void> | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(options: WorkerOptions) {
    const { settings, catalog, database, databaseUrl, queues, log } = options;
    this.#options = options;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const definitions = definitionsOf(catalog, options.lock);
    this.#heartbeat = new Heartbeat({
      database,
      registration: {
        id: this.id,
        kind: "worker",
        host: hostname(),
        pid: process.pid,
        concurrency: settings.concurrency,
        definitions,
        leaseMs: settings.leaseMs,
      },
      onIncompatible: (error) => this.#giveUp(error),
      onError: (message) => log?.warn({ worker: this.id }, `heartbeat: ${message}`),
    });
    const delivery: Delivery = { database, queues, onError: (message, error) => log?.warn({ err: error }, message) };
    const context = {
      worker: this.id,
      catalog,
      definitions,
      database,
      plans: new RunPlans(database),
      heartbeat: this.#heartbeat,
      maxLosses: settings.maxLosses,
      settle: async (refs: readonly TaskRef[]) => {
        const [first] = refs;
        if (first === undefined) return;
        const producers = refs.map(({ task }) => task);
        await afterCommit(delivery, first.backfill, producers);
      },
      signal: this.#aborting.signal,
      at: options.at,
    };
    this.#dispatcher = new Dispatcher({
      concurrency: settings.concurrency,
      makeLane: (index) => new Lane({ databaseUrl, database, applicationName: `rederive worker ${index}` }),
      groupable: (dataset) => isSelect(catalog, dataset),
      context,
      onOutcome: (ref, outcome, seconds) => observeOutcome(ref, outcome, seconds, log),
      onFree: () => {
        this.#share();
        this.#noticeIdle();
      },
    });
  }

  async start(): Promise<void> {
    await this.#heartbeat.start();
    const { catalog, queues, settings, log } = this.#options;
    for (const name of queueNamesOf(catalog)) {
      const counter = { active: 0 };
      const consumer = queues.worker(name, (job, token) => this.#process(consumer, job, token), {
        concurrency: settings.concurrency,
      });
      this.#consumers.set(consumer, counter);
      // A lost lock is not a lost task: its lease is in Postgres. The next beat tells whether it is still ours.
      consumer.on("lockRenewalFailed", () => void this.#heartbeat.runOnce().catch(() => undefined));
    }
    log?.info({ worker: this.id, concurrency: settings.concurrency }, "worker started");
  }

  stop(): Promise<void> {
    if (this.#stopping !== undefined) this.#aborting.abort();
    this.#stopping ??= this.#drain();
    this.#dispatcher.stop();
    return this.#stopping;
  }

  async #drain(): Promise<void> {
    const { database, settings, log } = this.#options;
    await markDraining(database, this.id).catch(() => undefined);
    const timer = setTimeout(() => this.#aborting.abort(), settings.drainMs);
    const consumers = [...this.#consumers.keys()];
    const closed = Promise.allSettled(consumers.map((consumer) => consumer.close()));
    // Where the queue cannot be reached, its commands would wait for it; the tasks are safe without.
    const patience = once(this.#aborting.signal).then(() => sleep(closeMs, undefined, { ref: false }));
    await Promise.race([closed, patience]);
    clearTimeout(timer);
    this.#aborting.abort();
    await Promise.allSettled(consumers.map((consumer) => consumer.close(true)));
    await this.#dispatcher.close();
    await this.#heartbeat.stop();
    await deregisterWorker(database, this.id).catch(() => undefined);
    log?.info({ worker: this.id }, "worker stopped");
    this.#end(this.#fault);
  }

  /** An incompatible schema: what runs may finish, nothing new starts. */
  #giveUp(error: RederiveError): void {
    if (this.#stopping !== undefined) return;
    this.#fault = error;
    this.#options.log?.error({ err: error }, error.message);
    void this.stop();
  }

  async #process(consumer: TaskWorker, job: TaskJob, token: string | undefined): Promise<void> {
    const counter = this.#consumers.get(consumer);
    if (counter !== undefined) counter.active += 1;
    this.#share();
    try {
      const outcome = await this.#outcomeOf(job);
      const { log } = this.#options;
      await answer(outcome, job, token, (err) => log?.debug({ job: job.id, err }, "cannot put the job off"));
    } finally {
      if (counter !== undefined) counter.active -= 1;
      this.#share();
      this.#noticeIdle();
    }
  }

  async #outcomeOf(job: TaskJob): Promise<TaskOutcome> {
    const ref = await refOf(job, this.#options.database);
    if (ref === undefined) {
      const message = "its id names no task";
      observeForged(job.id ?? "", message, this.#options.log);
      return { kind: "failed", forged: true, code: "not_found", message };
    }
    return await this.#dispatcher.carry(ref, traceparentOf(job));
  }

  /** Between two jobs a worker is idle for a moment; only a pause counts. */
  #noticeIdle(): void {
    const { onIdle } = this.#options;
    if (onIdle === undefined || this.#idleTimer !== undefined || !this.#dispatcher.idle) return;
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      if (this.#dispatcher.idle) onIdle();
    }, idleMs).unref();
  }

  /** Queues share what the dispatcher can hold: each may fetch as many jobs as it runs and as are free, and one to wait with. */
  #share(): void {
    const { capacity } = this.#dispatcher;
    const held = [...this.#consumers.values()].reduce((sum, { active }) => sum + active, 0);
    for (const [consumer, { active }] of this.#consumers) {
      const room = Math.max(1, active + capacity - held);
      if (consumer.concurrency !== room) consumer.concurrency = room;
    }
  }
}

/** The definitions of a catalog's derived datasets, by name. */
export function definitionsOf(catalog: Catalog, lock: LockFile | undefined): Readonly<Record<string, string>> {
  const derived = [...catalog.datasets.values()].filter((dataset) => dataset.kind === "derived");
  return Object.fromEntries(derived.map((dataset) => [dataset.name, definitionOf(dataset, lock)]));
}

/** The rows of a `map` stream through two connections, so only a `select` shares its transaction. */
function isSelect(catalog: Catalog, name: string): boolean {
  const dataset = catalog.datasets.get(name);
  return dataset?.kind === "derived" && dataset.transform.kind === "select";
}

function queueNamesOf(catalog: Catalog): readonly string[] {
  const derived = [...catalog.datasets.values()].filter((dataset) => dataset.kind === "derived");
  return [...new Set<string>([...laneQueues, ...derived.map(queueOf)])];
}

function once(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
