/**
 * The instruments. They are made through the OpenTelemetry API, so they cost next to nothing where no SDK runs, and
 * made again when an SDK is started, because an instrument belongs to the provider that made it.
 */
import { type Attributes, type Counter, type Histogram, type MeterProvider, metrics } from "@opentelemetry/api";

interface Instruments {
  readonly tasks: Counter;
  readonly taskDuration: Histogram;
  readonly rows: Counter;
  readonly errors: Counter;
  readonly promotions: Counter;
  readonly looks: Counter;
  readonly forged: Counter;
}

/** What the fleet looks like now; read from Postgres and the queues when metrics are collected. */
export interface FleetSample {
  /** Tasks of backfills that are not finished, by state. A state that is left out keeps its last value, so say 0. */
  readonly tasks: Readonly<Record<string, number>>;
  /** Jobs by queue, then by state. */
  readonly queues: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Checks that fail on live data, by dataset, where a schedule has them asked. */
  readonly failing?: Readonly<Record<string, number>>;
  /** Entries of the audit trail that are not chained yet, and the age of the oldest one. */
  readonly audit?: { readonly unchained: number; readonly oldestSeconds: number };
}

export type TaskOutcome =
  | "done"
  | "unchanged"
  | "fenced"
  | "failed"
  | "retried"
  | "quarantined"
  | "cancelled"
  | "stale";

// Most tasks take from milliseconds to minutes.
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900];

const byProvider = new WeakMap<MeterProvider, Instruments>();

/** One attempt at a task has ended. */
export function recordTask(attempt: {
  readonly dataset: string;
  readonly outcome: TaskOutcome;
  readonly seconds: number;
  /** Rows written, where the attempt committed. */
  readonly rows?: number;
}): void {
  const { tasks, taskDuration, rows } = instruments();
  const attributes: Attributes = { dataset: attempt.dataset, outcome: attempt.outcome };
  tasks.add(1, attributes);
  taskDuration.record(attempt.seconds, attributes);
  if (attempt.rows) rows.add(attempt.rows, { dataset: attempt.dataset });
}

/** `code` is an error code of errors.ts or a SQLSTATE: few values, never a message. */
export function recordError(code: string, dataset?: string): void {
  instruments().errors.add(1, dataset === undefined ? { code } : { code, dataset });
}

export function recordPromotion(
  act: "promote" | "rollback",
  outcome: "done" | "deferred" | "refused" | "failed",
): void {
  instruments().promotions.add(1, { act, outcome });
}

/** A job was in a queue that no plan of ours put there. */
export function recordForged(): void {
  instruments().forged.add(1);
}

/** A scheduled look at live data has ended: checks fail, none fails, or it could not be made. */
export function recordLook(dataset: string, outcome: "passed" | "failing" | "error"): void {
  instruments().looks.add(1, { dataset, outcome });
}

/**
 * Feeds the gauges `rederive.task.states`, `rederive.queue.depth` and those of the audit trail from `read`, which runs at
 * each collection. A failing read leaves the gauges as they were. Returns a function that ends the observation.
 */
export function observeFleet(read: () => Promise<FleetSample>): () => void {
  const meter = metrics.getMeter("rederive");
  const states = meter.createObservableGauge("rederive.task.states", {
    description: "Tasks of unfinished backfills, by state",
    unit: "{task}",
  });
  const depth = meter.createObservableGauge("rederive.queue.depth", {
    description: "Jobs in each queue, by state",
    unit: "{job}",
  });
  const unchained = meter.createObservableGauge("rederive.audit.unchained", {
    description: "Entries of the audit trail that are not chained yet",
    unit: "{entry}",
  });
  const lag = meter.createObservableGauge("rederive.audit.lag", {
    description: "Age of the oldest entry of the audit trail that is not chained yet",
    unit: "s",
  });
  const failing = meter.createObservableGauge("rederive.live.failing", {
    description: "Checks that fail on live data, by dataset that is validated on a schedule",
    unit: "{check}",
  });
  const gauges = [states, depth, unchained, lag, failing];
  const observe: Parameters<typeof meter.addBatchObservableCallback>[0] = async (result) => {
    const sample = await read().catch(() => undefined);
    if (sample === undefined) return;
    for (const [dataset, count] of Object.entries(sample.failing ?? {})) result.observe(failing, count, { dataset });
    for (const [state, count] of Object.entries(sample.tasks)) result.observe(states, count, { state });
    for (const [queue, counts] of Object.entries(sample.queues)) {
      for (const [state, count] of Object.entries(counts)) result.observe(depth, count, { queue, state });
    }
    if (sample.audit === undefined) return;
    result.observe(unchained, sample.audit.unchained);
    result.observe(lag, sample.audit.oldestSeconds);
  };
  meter.addBatchObservableCallback(observe, gauges);
  return () => meter.removeBatchObservableCallback(observe, gauges);
}

function instruments(): Instruments {
  const provider = metrics.getMeterProvider();
  const known = byProvider.get(provider);
  if (known) return known;
  const made = makeInstruments(provider);
  byProvider.set(provider, made);
  return made;
}

function makeInstruments(provider: MeterProvider): Instruments {
  const meter = provider.getMeter("rederive");
  return {
    tasks: meter.createCounter("rederive.tasks", { description: "Ended attempts at tasks", unit: "{task}" }),
    taskDuration: meter.createHistogram("rederive.task.duration", {
      description: "Seconds from claim to the end of an attempt",
      unit: "s",
      advice: { explicitBucketBoundaries: durationBuckets },
    }),
    rows: meter.createCounter("rederive.rows", { description: "Rows written into candidates", unit: "{row}" }),
    errors: meter.createCounter("rederive.errors", { description: "Errors, by code", unit: "{error}" }),
    promotions: meter.createCounter("rederive.promotions", {
      description: "Promotions and rollbacks, by outcome",
      unit: "{promotion}",
    }),
    forged: meter.createCounter("rederive.queue.forged", {
      description: "Jobs in the queues that no plan put there; they are discarded",
      unit: "{job}",
    }),
    looks: meter.createCounter("rederive.looks", {
      description: "Scheduled looks at live data, by outcome",
      unit: "{look}",
    }),
  };
}
