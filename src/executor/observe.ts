/** What the fleet's metrics and logs learn of an outcome. */
import type { Logger } from "../telemetry/log.ts";
import { recordError, recordForged, recordTask, type TaskOutcome as TaskMetric } from "../telemetry/metrics.ts";
import { describeOutcome, type TaskOutcome, type TaskRef } from "./outcome.ts";

/** `seconds` is what the task took. */
export function observeOutcome(ref: TaskRef, outcome: TaskOutcome, seconds: number, log: Logger | undefined): void {
  if (outcome.kind === "failed" && outcome.forged === true) {
    observeForged(`${ref.backfill}~${ref.task}`, outcome.message, log);
    return;
  }
  const metric = metricOf(outcome);
  const { dataset } = ref;
  if (metric !== undefined) {
    const rows = outcome.kind === "done" ? { rows: outcome.rows } : {};
    recordTask({ dataset, outcome: metric, seconds, ...rows });
  }
  if (outcome.kind === "failed") recordError(outcome.code, dataset);
  if (outcome.kind === "retry") recordError(outcome.failure.sqlstate ?? outcome.failure.code, dataset);
  const level = outcome.kind === "failed" ? "error" : outcome.kind === "retry" ? "warn" : "debug";
  log?.[level]({ ...ref }, describeOutcome(outcome));
}

/** What a forged job says of itself is shortened in the log and gets into no metric. */
export function observeForged(job: string, message: string, log: Logger | undefined): void {
  recordForged();
  log?.warn({ event: "queue.forged", job: job.slice(0, 80) }, `discarded a job: ${message.slice(0, 200)}`);
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
