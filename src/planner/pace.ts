/**
 * Whether a run will meet its deadline, by its pace so far. Pure.
 *
 * Tasks count by what the plan expected of them, so that a run that begins with its small datasets is not taken for a
 * fast one. Before enough is done to tell a pace, what the plan expected at best is believed.
 */
import type { Forecast } from "../plan.ts";
import type { Lateness } from "../report.ts";
import { durationText } from "./labels.ts";

export interface Pace {
  /** Instants in milliseconds since the epoch. `since`: when the run began to move, or to move again. */
  readonly since: number;
  readonly now: number;
  readonly deadline: number;
  readonly forecast: Forecast;
  readonly datasets: readonly DatasetPace[];
}

export interface DatasetPace {
  readonly dataset: string;
  /** Tasks that came to their end since `since`. */
  readonly settled: number;
  readonly open: number;
}

/** A pace is known from so many tasks on, or from this share of the work. */
const enoughTasks = 50;
const enoughShare = 0.05;

/** What there is to warn of; undefined where the deadline is met as things stand. */
export function latenessOf(pace: Pace): Lateness | undefined {
  const { now, deadline, datasets } = pace;
  if (datasets.every(({ open }) => open === 0)) return undefined;
  const end = expectedEnd(pace);
  const expected = end === undefined ? null : new Date(end).toISOString();
  const late = now >= deadline || (end !== undefined && end > deadline);
  return late ? { seenAt: new Date(now).toISOString(), expected } : undefined;
}

/** Milliseconds since the epoch; undefined where nothing can be said yet. */
function expectedEnd({ since, now, forecast, datasets }: Pace): number | undefined {
  const weigh = weightsOf(forecast, datasets);
  const sum = (pick: (each: DatasetPace) => number) => datasets.reduce((total, each) => total + pick(each), 0);
  const tasks = sum(({ settled }) => settled);
  const done = sum((each) => each.settled * weigh(each.dataset));
  const left = sum((each) => each.open * weigh(each.dataset));
  if (done > 0 && (tasks >= enoughTasks || done >= enoughShare * (done + left))) {
    return now + ((now - since) * left) / done;
  }
  if (forecast.interval === undefined) return undefined;
  return now + ((forecast.interval.low * left) / (done + left)) * 1000;
}

/** Expected seconds of one task; one for all where the plan could not tell for each. */
function weightsOf(forecast: Forecast, datasets: readonly DatasetPace[]): (dataset: string) => number {
  const known = new Map(
    forecast.datasets.flatMap(({ dataset, seconds, tasks }) =>
      seconds === undefined || seconds <= 0 || tasks === 0 ? [] : [[dataset, seconds / tasks] as const],
    ),
  );
  if (datasets.some(({ dataset }) => !known.has(dataset))) return () => 1;
  return (dataset) => known.get(dataset) ?? 1;
}

/** `the deadline 2001-01-31T05:00Z will be missed by 12 min: …`, for people. */
export function latenessText(deadline: string, { expected, seenAt }: Lateness): string {
  const what = "raise the concurrency, add workers, or tell those who wait";
  if (Date.parse(seenAt) >= Date.parse(deadline)) return `the deadline ${deadline} has passed; ${what}`;
  const end = expected === null ? "" : `; at the pace so far it ends at ${expected}`;
  const by = expected === null ? "" : ` by ${durationText((Date.parse(expected) - Date.parse(deadline)) / 1000)}`;
  return `the deadline ${deadline} will be missed${by}${end}: ${what}`;
}
