/**
 * A worker process: takes jobs from the queues of its catalog and carries their tasks.
 *
 * Queues share a fixed number of lanes; each lane has a database connection of its own, opened when it is first used,
 * and carries one task at a time, or a group of short ones (groups.ts).
 * The worker is in the fleet while its heartbeat renews its lease. `stop` drains: no new task, running ones may finish
 * within `drainMs`, then they are ended and their tasks given back; a second `stop` ends them at once.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { DelayedError, UnrecoverableError } from "bullmq";
import type { Catalog } from "../catalog/catalog.ts";
import { definitionOf, type LockFile, queueOf } from "../catalog/definition.ts";
import type { Settings } from "../config.ts";
import type { RederiveError } from "../errors.ts";
import { datasetOf } from "../store/claims.ts";
import { deregisterWorker, markDraining } from "../store/workers.ts";
import type { Logger } from "../telemetry/log.ts";
import { recordError, recordTask, type TaskOutcome as TaskMetric } from "../telemetry/metrics.ts";
import type { Database } from "../tx.ts";
import type { Delivery } from "./deliver.ts";
import { Groups } from "./groups.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Lane } from "./lane.ts";
import { describeOutcome, later, type TaskOutcome, type TaskRef } from "./outcome.ts";
import { backoffMs, laneQueues, type Queues, type TaskJob, type TaskWorker, taskOfJob } from "./queues.ts";
import { afterCommit } from "./release.ts";
import { RunPlans } from "./run-plan.ts";
import { runTasks, type TaskContext } from "./task.ts";
import { Turns } from "./turns.ts";

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

/** A job that waits for a lane. */
interface WaitingJob {
  readonly ref: TaskRef;
  readonly traceparent: string | undefined;
  readonly end: (outcome: TaskOutcome) => void;
  readonly fail: (error: unknown) => void;
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
  readonly #lanes: Lanes;
  readonly #groups: Groups<WaitingJob>;
  readonly #turns = new Turns();
  readonly #heartbeat: Heartbeat;
  readonly #context: Omit<TaskContext, "lane">;
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
    this.#lanes = new Lanes(settings.concurrency, (index) => {
      return new Lane({ databaseUrl, database, applicationName: `rederive worker ${index}` });
    });
    this.#groups = new Groups((dataset) => isSelect(catalog, dataset));
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
    this.#context = {
      worker: this.id,
      catalog,
      definitions,
      database,
      plans: new RunPlans(database),
      heartbeat: this.#heartbeat,
      maxLosses: settings.maxLosses,
      settle: async (refs) => {
        const producers = refs.map(({ task }) => task);
        await afterCommit(delivery, producers);
      },
      signal: this.#aborting.signal,
      at: options.at,
    };
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
    this.#dispatch();
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
    await this.#lanes.close();
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
      await this.#answer(await this.#outcomeOf(job), job, token);
    } finally {
      if (counter !== undefined) counter.active -= 1;
      this.#share();
      this.#noticeIdle();
    }
  }

  async #outcomeOf(job: TaskJob): Promise<TaskOutcome> {
    const ref = await refOf(job, this.#options.database);
    if (ref === undefined) return { kind: "failed", code: "not_found", message: `job ${job.id ?? ""} names no task` };
    return await new Promise<TaskOutcome>((end, fail) => {
      this.#groups.add({ ref, traceparent: traceparentOf(job), end, fail });
      this.#dispatch();
    });
  }

  /** Gives what waits to the lanes that are free; where the worker stops, back to the queue. */
  #dispatch(): void {
    if (this.#stopping !== undefined) {
      for (const job of this.#groups.drain()) job.end(later("stopped"));
      return;
    }
    while (this.#groups.waiting > 0) {
      const lanes = this.#lanes.free;
      const lane = this.#lanes.take();
      if (lane === undefined) return;
      void this.#occupy(lane, this.#groups.take(lanes));
    }
  }

  async #occupy(lane: Lane, group: readonly WaitingJob[]): Promise<void> {
    try {
      const outcomes = await this.#run(group, lane);
      for (const { ref, end } of group) end(outcomes.get(ref.task) ?? later("unsettled"));
    } catch (error) {
      for (const { fail } of group) fail(error);
    } finally {
      this.#lanes.give(lane);
      this.#share();
      this.#dispatch();
      this.#noticeIdle();
    }
  }

  /** Between two jobs a worker is idle for a moment; only a pause counts. */
  #noticeIdle(): void {
    const { onIdle, settings } = this.#options;
    const idle = () => this.#lanes.free === settings.concurrency && this.#groups.waiting === 0;
    if (onIdle === undefined || this.#idleTimer !== undefined || !idle()) return;
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      if (idle()) onIdle();
    }, idleMs).unref();
  }

  async #run(group: readonly WaitingJob[], lane: Lane): Promise<ReadonlyMap<string, TaskOutcome>> {
    const startedAt = performance.now();
    const outcomes = await this.#carry(group, lane);
    const ms = performance.now() - startedAt;
    const [{ ref }] = group as readonly [WaitingJob];
    if ([...outcomes.values()].every(({ kind }) => kind === "done")) this.#groups.learn(ref.dataset, ms, group.length);
    for (const [task, outcome] of outcomes) this.#report({ ...ref, task }, outcome, ms / 1_000 / group.length);
    return outcomes;
  }

  /** Beside other tasks; alone, after those that run now, where a task's worker was lost before. */
  async #carry(group: readonly WaitingJob[], lane: Lane): Promise<ReadonlyMap<string, TaskOutcome>> {
    const [{ traceparent }] = group as readonly [WaitingJob];
    const context = { ...this.#context, lane };
    const refs = group.map(({ ref }) => ref);
    const together = await this.#turns.together(() => runTasks(refs, { ...context, alone: false }, traceparent));
    const outcomes = new Map(together);
    for (const { ref } of group.filter(({ ref }) => isSuspect(outcomes.get(ref.task)))) {
      const stopped = new Map([[ref.task, later("stopped")]]);
      const alone = () => runTasks([ref], { ...context, alone: true }, traceparent);
      const again = await this.#turns.alone(async () => (this.#stopping === undefined ? alone() : stopped));
      for (const [task, outcome] of again) outcomes.set(task, outcome);
    }
    return outcomes;
  }

  /**
   * Queues share the lanes: each may fetch as many jobs as it runs and as are free, and one to wait with. Where tasks go
   * in groups, a group for each lane waits beside the one that runs, so that no lane waits for Redis.
   */
  #share(): void {
    const { concurrency } = this.#options.settings;
    const { width } = this.#groups;
    const capacity = width === 1 ? concurrency : 2 * width * concurrency;
    const held = [...this.#consumers.values()].reduce((sum, { active }) => sum + active, 0);
    for (const [consumer, { active }] of this.#consumers) {
      const room = Math.max(1, active + capacity - held);
      if (consumer.concurrency !== room) consumer.concurrency = room;
    }
  }

  /** Resolves where the job is done with; else puts it off, or throws so that BullMQ retries or fails it. */
  async #answer(outcome: TaskOutcome, job: TaskJob, token: string | undefined): Promise<void> {
    switch (outcome.kind) {
      case "done":
      case "settled":
      case "cancelled":
        return;
      case "later":
        return await this.#putOff(job, token, outcome.delayMs);
      case "retry":
        if (job.attemptsMade + 1 < (job.opts.attempts ?? 1)) throw new Error(outcome.failure.message);
        // BullMQ counts attempts that Postgres does not, so it may run out of them first.
        return await this.#putOff(job, token, backoffMs(outcome.attempts));
      case "failed":
        throw new UnrecoverableError(outcome.message);
    }
  }

  /** Costs the job no attempt. Where another worker has its lock by now, the job is that one's to move. */
  async #putOff(job: TaskJob, token: string | undefined, delayMs: number): Promise<never> {
    try {
      await job.moveToDelayed(Date.now() + delayMs, token);
    } catch (error) {
      this.#options.log?.debug({ job: job.id, err: error }, "cannot put the job off");
    }
    throw new DelayedError();
  }

  #report(ref: TaskRef, outcome: TaskOutcome, seconds: number): void {
    const metric = metricOf(outcome);
    if (metric !== undefined) {
      recordTask({
        dataset: ref.dataset,
        outcome: metric,
        seconds,
        ...(outcome.kind === "done" ? { rows: outcome.rows } : {}),
      });
    }
    if (outcome.kind === "failed") recordError(outcome.code, ref.dataset);
    if (outcome.kind === "retry") recordError(outcome.failure.sqlstate ?? outcome.failure.code, ref.dataset);
    const level = outcome.kind === "failed" ? "error" : outcome.kind === "retry" ? "warn" : "debug";
    this.#options.log?.[level]({ ...ref, worker: this.id }, describeOutcome(outcome));
  }
}

/** A fixed number of lanes. */
class Lanes {
  readonly #all: readonly Lane[];
  readonly #idle: Lane[];

  constructor(count: number, make: (index: number) => Lane) {
    this.#all = Array.from({ length: count }, (_, index) => make(index + 1));
    this.#idle = [...this.#all];
  }

  get free(): number {
    return this.#idle.length;
  }

  /** Undefined where none is free. */
  take(): Lane | undefined {
    return this.#idle.pop();
  }

  give(lane: Lane): void {
    this.#idle.push(lane);
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((lane) => lane.close()));
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

function isSuspect(outcome: TaskOutcome | undefined): boolean {
  return outcome?.kind === "later" && outcome.why === "suspect";
}

function queueNamesOf(catalog: Catalog): readonly string[] {
  const derived = [...catalog.datasets.values()].filter((dataset) => dataset.kind === "derived");
  return [...new Set<string>([...laneQueues, ...derived.map(queueOf)])];
}

/** What the job is for. A job whose hash Redis has lost still has its id, and Postgres knows the rest. */
async function refOf(job: TaskJob, database: Database): Promise<TaskRef | undefined> {
  const reference = taskOfJob(job);
  if (reference === undefined) return undefined;
  const name: string | undefined = job.name;
  const dataset = name || (await datasetOf(database, reference.task));
  return dataset === undefined ? undefined : { ...reference, dataset };
}

/** The trace of whoever put the job into the queue. */
function traceparentOf(job: TaskJob): string | undefined {
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

function metricOf(outcome: TaskOutcome): TaskMetric | undefined {
  switch (outcome.kind) {
    case "done":
      return "done";
    case "cancelled":
      return "cancelled";
    case "retry":
      return "retried";
    case "failed":
      return outcome.code === "worker_lost" ? "quarantined" : "failed";
    case "later":
      return outcome.why === "fenced" ? "fenced" : undefined;
    case "settled":
      return undefined;
  }
}

function once(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
