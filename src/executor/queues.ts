/**
 * The delivery: BullMQ queues on Redis, or on BullMQ's Postgres backend.
 *
 * Lane queues (`backfill`, `live`) carry tasks, `resource-<name>` those of a limited resource, and `gate` carries the
 * gates, which no worker ever reads. A job holds the id of its task and nothing else; what it means is in Postgres.
 * All Redis keys share one hash tag, because a flow must lie in one slot of a cluster.
 */
import {
  createPostgresBackend,
  type FlowJob,
  FlowProducer,
  type Job,
  type JobsOptions,
  Queue,
  type Telemetry,
  Worker,
} from "bullmq";
import { Redis } from "ioredis";
import { messageOf, RederiveError } from "../errors.ts";

/** What a job carries: the id of its task. */
export interface TaskData {
  readonly t: string;
}

export type TaskQueue = Queue<TaskData, void, string>;
export type TaskJob = Job<TaskData, void, string>;
export type TaskWorker = Worker<TaskData, void, string>;
/** `signal` is aborted by `worker.cancelJob`, never by BullMQ itself when a lock is lost. */
export type TaskProcessor = (job: TaskJob, token: string | undefined, signal: AbortSignal | undefined) => Promise<void>;

export interface QueuesOptions {
  readonly backend: "redis" | "postgres";
  /** Needed where `backend` is redis. */
  readonly redisUrl?: string | undefined;
  readonly databaseUrl: string;
  /** One hash tag, for example {rederive}. Without meaning on Postgres. */
  readonly prefix: string;
  /** How long a silent worker keeps its jobs. */
  readonly leaseMs: number;
  /** Schema of BullMQ's tables on Postgres. Default rederive_bullmq. */
  readonly schema?: string;
  /** For workers alone: producers pass the trace in the job, which costs no span a job. */
  readonly telemetry?: Telemetry | undefined;
  /** Told of the first connection error after a good connection, not of each retry. Default: silence. */
  readonly onError?: (message: string, error: Error) => void;
}

export interface WorkerSettings {
  readonly concurrency: number;
  /** Default true. */
  readonly autorun?: boolean;
}

export interface QueueHealth {
  readonly backend: "redis" | "postgres";
  readonly reachable: boolean;
  /** Milliseconds of one round trip. */
  readonly latencyMs: number;
  readonly error?: string;
}

export interface Queues {
  readonly backend: "redis" | "postgres";
  readonly prefix: string;
  /** The same object for the same name. Opens connections when it is first used. */
  queueFor(name: string): TaskQueue;
  readonly gates: TaskQueue;
  readonly flows: FlowProducer;
  /** A worker on one queue; the caller closes it. */
  worker(name: string, processor: TaskProcessor, settings: WorkerSettings): TaskWorker;
  /** Never throws; gives up after a second. */
  health(): Promise<QueueHealth>;
  /** Closes queues and connections; not the workers. */
  close(): Promise<void>;
}

export const gateQueue = "gate";
export const laneQueues = ["backfill", "live"] as const;

/** Completed jobs kept in each queue, so that Bull Board shows what just ran. */
const keptCompleted = 200;
/** A stall is a lost worker, and lost workers are counted in Postgres: BullMQ must not give up first. */
const maxStalledCount = 50;
/** Seconds: how soon an idle worker sees a limit that was lifted. */
const drainDelay = 1;
/** Postgres counts the attempts of a task and decides when there were enough; a job must outlive that decision. */
const maxDeliveries = 1_000;
const firstBackoffMs = 500;
const longestBackoffMs = 60_000;

/** The id of a task's job, and of its gate in the gate queue. Short: Redis packs hashes whose fields are at most 64 bytes. */
export function jobIdOf(backfill: string, taskId: string): string {
  return `${backfill}~${taskId}`;
}

/** Reads a job's id, which also holds for a job whose hash was lost: the task's life is then decided in Postgres. */
export function taskOfJob(job: { readonly id?: string | undefined }): { backfill: string; task: string } | undefined {
  const [backfill, task] = (job.id ?? "").split("~");
  return backfill !== undefined && task !== undefined && /^\d+$/.test(task) ? { backfill, task } : undefined;
}

/** What a job is made of. */
export interface Deliverable {
  readonly id: string;
  readonly backfill: string;
  readonly dataset: string;
  readonly queue: string;
  /** W3C traceparent of the planning span; null where nothing is traced. */
  readonly traceparent: string | null;
}

/** Options of every task job. What does not differ from job to job is an option of the worker, to keep jobs small. */
function jobOptions(task: Deliverable): JobsOptions {
  const carrier = task.traceparent;
  return {
    jobId: jobIdOf(task.backfill, task.id),
    attempts: maxDeliveries,
    backoff: { type: "retry" },
    ...(carrier === null ? {} : { telemetry: { metadata: JSON.stringify({ traceparent: carrier }) } }),
  };
}

/** Exponential with full jitter, so that tasks that failed together do not come back together. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.max(0, attempt - 1));
  return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}

/** Opens the queues of one process. */
export function openQueues(options: QueuesOptions): Queues {
  return options.backend === "redis" ? new RedisQueues(options) : new PostgresQueues(options);
}

/** Refuses a Redis that may evict keys: it would lose jobs silently. Outside production it returns the warning instead. */
export async function checkRedis(
  redisUrl: string,
  environment: "development" | "test" | "production",
): Promise<string | undefined> {
  const policy = await evictionPolicy(redisUrl);
  if (policy === "noeviction") return undefined;
  const message =
    policy === undefined
      ? "Redis does not tell its eviction policy; make sure that maxmemory-policy is noeviction"
      : `Redis has maxmemory-policy ${policy} and may drop jobs; set it to noeviction`;
  if (environment === "production" && policy !== undefined) {
    throw new RederiveError("configuration", message, { details: { policy } });
  }
  return message;
}

/** Undefined where the server does not say (managed services forbid CONFIG, and some leave it out of INFO). */
async function evictionPolicy(redisUrl: string): Promise<string | undefined> {
  const redis = new Redis(redisUrl, { lazyConnect: true, maxRetriesPerRequest: 1, retryStrategy: () => null });
  // Without a listener ioredis prints each error; the rejected command tells us all.
  redis.on("error", () => {});
  try {
    await redis.connect();
    const info = await redis.info("memory");
    return /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  } catch (error) {
    throw new RederiveError(
      "unavailable",
      `cannot reach Redis: ${messageOf(error)}; check REDIS_URL and that the server runs`,
      {
        cause: error,
      },
    );
  } finally {
    redis.disconnect();
  }
}

function workerOptions(options: QueuesOptions, settings: WorkerSettings) {
  return {
    concurrency: settings.concurrency,
    autorun: settings.autorun ?? true,
    lockDuration: options.leaseMs,
    stalledInterval: Math.max(250, Math.round(options.leaseMs / 2)),
    maxStalledCount,
    drainDelay,
    removeOnComplete: { count: keptCompleted },
    settings: { backoffStrategy: (attempt: number) => backoffMs(attempt) },
    ...(options.telemetry === undefined ? {} : { telemetry: options.telemetry }),
  };
}

/** Reports the first error of an outage; `ready` ends the outage. */
function reportOutages(report: QueuesOptions["onError"]): {
  failed(what: string, error: Error): void;
  recovered(): void;
} {
  let silent = false;
  return {
    failed: (what, error) => {
      if (!silent) report?.(`${what}: ${error.message}`, error);
      silent = true;
    },
    recovered: () => {
      silent = false;
    },
  };
}

async function probe(backend: "redis" | "postgres", roundTrip: () => Promise<unknown>): Promise<QueueHealth> {
  const from = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error("no answer within 1 s")), 1_000);
  });
  try {
    await Promise.race([roundTrip(), timeout]);
    return { backend, reachable: true, latencyMs: performance.now() - from };
  } catch (error) {
    return { backend, reachable: false, latencyMs: performance.now() - from, error: messageOf(error) };
  } finally {
    clearTimeout(timer);
  }
}

class RedisQueues implements Queues {
  readonly backend = "redis";
  readonly prefix: string;
  readonly flows: FlowProducer;
  readonly #options: QueuesOptions;
  readonly #redis: Redis;
  readonly #queues = new Map<string, TaskQueue>();
  readonly #outage: ReturnType<typeof reportOutages>;

  constructor(options: QueuesOptions) {
    if (options.redisUrl === undefined) throw new RederiveError("configuration", "queues on Redis need REDIS_URL");
    this.#options = options;
    this.prefix = options.prefix;
    this.#outage = reportOutages(options.onError);
    this.#redis = this.#connect(options.redisUrl);
    this.flows = new FlowProducer({ connection: this.#redis, prefix: this.prefix });
    this.flows.on("error", (error) => this.#outage.failed("flows", error));
  }

  get gates(): TaskQueue {
    return this.queueFor(gateQueue);
  }

  queueFor(name: string): TaskQueue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const queue: TaskQueue = new Queue(name, { connection: this.#redis, prefix: this.prefix });
    queue.on("error", (error) => this.#outage.failed(`queue ${name}`, error));
    this.#queues.set(name, queue);
    return queue;
  }

  worker(name: string, processor: TaskProcessor, settings: WorkerSettings): TaskWorker {
    // A worker's commands wait for Redis to come back, however long that takes: its tasks are safe in Postgres.
    const connection = { url: this.#options.redisUrl ?? "", maxRetriesPerRequest: null, retryStrategy };
    const worker: TaskWorker = new Worker(name, processor, {
      ...workerOptions(this.#options, settings),
      connection,
      prefix: this.prefix,
    });
    worker.on("error", (error) => this.#outage.failed(`worker ${name}`, error));
    return worker;
  }

  health(): Promise<QueueHealth> {
    return probe("redis", () => this.#redis.ping());
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.flows.close(), ...[...this.#queues.values()].map((queue) => queue.close())]);
    // `disconnect` rather than `quit`, which would wait for a server that is gone.
    this.#redis.disconnect();
  }

  #connect(url: string): Redis {
    // Commands of a producer fail after a few reconnections, so that a loop can report and go on.
    const redis = new Redis(url, { maxRetriesPerRequest: 3, retryStrategy });
    redis.on("error", (error) => this.#outage.failed("Redis", error));
    redis.on("ready", () => this.#outage.recovered());
    return redis;
  }
}

function retryStrategy(times: number): number {
  return Math.min(2_000, 50 * 2 ** Math.min(times, 10));
}

class PostgresQueues implements Queues {
  readonly backend = "postgres";
  readonly prefix: string;
  readonly flows: FlowProducer;
  readonly #options: QueuesOptions;
  readonly #queues = new Map<string, TaskQueue>();
  readonly #outage: ReturnType<typeof reportOutages>;

  constructor(options: QueuesOptions) {
    this.#options = options;
    this.prefix = options.prefix;
    this.#outage = reportOutages(options.onError);
    const flows = new FlowProducer({ connection: this.#connection(2) }, createPostgresBackend);
    flows.on("error", (error) => this.#outage.failed("flows", error));
    // The classes differ from those over Redis in the type of their backend alone, which nobody outside looks at.
    this.flows = flows as unknown as FlowProducer;
  }

  get gates(): TaskQueue {
    return this.queueFor(gateQueue);
  }

  queueFor(name: string): TaskQueue {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    const queue = new Queue(name, { connection: this.#connection(2) }, createPostgresBackend) as unknown as TaskQueue;
    queue.on("error", (error) => this.#outage.failed(`queue ${name}`, error));
    this.#queues.set(name, queue);
    return queue;
  }

  worker(name: string, processor: TaskProcessor, settings: WorkerSettings): TaskWorker {
    const options = { ...workerOptions(this.#options, settings), connection: this.#connection(2) };
    const worker = new Worker(name, processor, options, createPostgresBackend) as unknown as TaskWorker;
    worker.on("error", (error) => this.#outage.failed(`worker ${name}`, error));
    return worker;
  }

  health(): Promise<QueueHealth> {
    return probe("postgres", () => this.gates.getGlobalConcurrency());
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.flows.close(), ...[...this.#queues.values()].map((queue) => queue.close())]);
  }

  /** Each BullMQ object owns its pool, because only then can it choose the schema; so the pools are small. */
  #connection(max: number) {
    return {
      connectionString: this.#options.databaseUrl,
      schema: this.#options.schema ?? "rederive_bullmq",
      migrate: true,
      max,
      idleTimeoutMillis: 10_000,
      application_name: "rederive queues",
    };
  }
}

/** A task's job, for `Queue.add` and as a node of a flow. */
export function taskNode(task: Deliverable): { name: string; queueName: string; data: TaskData; opts: JobsOptions } {
  return { name: task.dataset, queueName: task.queue, data: { t: task.id }, opts: jobOptions(task) };
}

/** A consumer's gate: a child that nobody processes; removing it lets the consumer go. */
export function gateNode(task: Deliverable): FlowJob & { children?: never } {
  return {
    name: gateQueue,
    queueName: gateQueue,
    data: { t: task.id },
    opts: { jobId: jobIdOf(task.backfill, task.id) },
  };
}
