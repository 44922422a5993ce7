/**
 * What a plan is expected to cost. Pure.
 *
 * The duration is an interval: at its fast end every task takes what a quick one took before, at its slow end every task
 * takes what a slow one took, scaled by rows where a live partition has more or fewer than the measured ones, divided
 * by how many run at a time, and never shorter than the longest chain of tasks.
 */
import { size } from "../catalog/ranges.ts";
import type { Decision, Forecast, Interval, RecomputeStep } from "../plan.ts";
import { recomputeSteps } from "../plan.ts";
import type { DeadlineForecast } from "../report.ts";
import { derivedInOrder, hasHome } from "./impact.ts";
import type { PlannerInput, TaskSpeed } from "./input.ts";
import { labelRanges } from "./labels.ts";
import { requireDerived } from "./refuse.ts";

export function forecastOf(input: PlannerInput, decision: Decision, tasks: number): Forecast {
  const steps = recomputeSteps(decision);
  const costs = costsOf(input, steps);
  const sum = (pick: (step: RecomputeStep) => number) => steps.reduce((total, step) => total + pick(step), 0);
  return {
    tasks,
    prunable: sum((step) => size(step.prunable)),
    adopted: sum((step) => size(step.adopted)),
    ...(costs === undefined ? {} : { seconds: costs.seconds, interval: costs.interval }),
    ...deadlineOf(input, decision, costs?.interval),
    datasets: steps.map((step) => datasetForecast(input, step)),
    warnings: warningsOf(input, decision),
    ...(input.preflight === undefined ? {} : { preflight: input.preflight }),
  };
}

function datasetForecast(input: PlannerInput, step: RecomputeStep): Forecast["datasets"][number] {
  const speed = input.speeds?.get(step.dataset);
  const tasks = size(step.partitions);
  const rows = speed?.liveRows ?? speed?.rows;
  return {
    dataset: step.dataset,
    tasks,
    ...(rows === undefined ? {} : { rows: Math.round(rows * tasks) }),
    ...(speed === undefined ? {} : { seconds: speed.mean * scaleOf(speed) * workOf(step) }),
  };
}

interface Costs {
  readonly seconds: number;
  readonly interval: Interval;
}

/** Undefined as soon as one dataset has never been measured. */
function costsOf(input: PlannerInput, steps: readonly RecomputeStep[]): Costs | undefined {
  const speeds = steps.map((step) => input.speeds?.get(step.dataset));
  if (steps.length > 0 && speeds.includes(undefined)) return undefined;
  const lasting = (pick: (speed: TaskSpeed) => number): number => {
    const each = new Map(steps.map((step, index) => [step.dataset, lengthOf(speeds[index], pick)]));
    const work = steps.reduce((total, step) => total + (each.get(step.dataset) ?? 0) * workOf(step), 0);
    return Math.max(work / Math.max(1, input.concurrency ?? 1), longestChain(input, steps, each));
  };
  const seconds = lasting((speed) => speed.mean);
  const [quick, slow] = [lasting((speed) => speed.quarter), lasting((speed) => speed.ninetieth)];
  return { seconds, interval: { low: Math.min(quick, seconds), high: Math.max(slow, seconds) } };
}

function lengthOf(speed: TaskSpeed | undefined, pick: (speed: TaskSpeed) => number): number {
  return speed === undefined ? 0 : pick(speed) * scaleOf(speed);
}

/** Tasks that are taken over copy rows, which costs little beside computing them. */
function workOf(step: RecomputeStep): number {
  return size(step.partitions) - size(step.adopted);
}

/** Live partitions may be larger or smaller than the measured ones; beyond tenfold the measurement says nothing. */
function scaleOf({ rows, liveRows }: TaskSpeed): number {
  if (rows === undefined || liveRows === undefined || rows <= 0) return 1;
  return Math.min(10, Math.max(0.1, liveRows / rows));
}

/** One task of each dataset on the longest way down. */
function longestChain(input: PlannerInput, steps: readonly RecomputeStep[], each: ReadonlyMap<string, number>): number {
  const ends = new Map<string, number>();
  for (const step of steps) {
    const { inputs } = requireDerived(input.catalog, step.dataset);
    const above = Math.max(0, ...inputs.map(({ dataset }) => ends.get(dataset.name) ?? 0));
    ends.set(step.dataset, above + (each.get(step.dataset) ?? 0));
  }
  return Math.max(0, ...ends.values());
}

function deadlineOf(
  input: PlannerInput,
  { request }: Decision,
  interval: Interval | undefined,
): { readonly deadline?: DeadlineForecast } {
  if (request.deadline === undefined) return {};
  const left = (Date.parse(request.deadline) - (input.now ?? 0)) / 1000;
  const verdict = left <= 0 ? "missed" : interval === undefined ? "unknown" : verdictOf(left, interval);
  return { deadline: { at: request.deadline, verdict } };
}

function verdictOf(left: number, { low, high }: Interval): DeadlineForecast["verdict"] {
  if (high <= left) return "met";
  return low <= left ? "at_risk" : "missed";
}

function warningsOf(input: PlannerInput, decision: Decision): string[] {
  const steps = decision.steps.filter((step) => step.action !== "skip");
  const used = new Set(steps.map((step) => step.dataset));
  for (const step of recomputeSteps(decision)) {
    for (const each of requireDerived(input.catalog, step.dataset).inputs) used.add(each.dataset.name);
  }
  const notices = input.catalog.order.flatMap((name) => (used.has(name) ? (input.notices?.get(name) ?? []) : []));
  return [
    ...new Set([
      ...notices,
      ...outdatedReads(input, decision),
      ...unboundedDatasets(input, used),
      ...forwardWholes(input, decision),
    ]),
  ];
}

/** Reading content of an older definition is legitimate (its readers are corrected with it later), but worth knowing. */
function outdatedReads(input: PlannerInput, decision: Decision): string[] {
  return decision.steps.flatMap((step) => {
    const outdated = step.why.find((entry) => entry.code === "outside_window")?.partitions;
    if (step.action !== "reuse" || outdated === undefined) return [];
    const { partitions } = requireDerived(input.catalog, step.dataset);
    return (
      `${step.dataset} (${labelRanges(partitions, outdated)}) is read as it is, although its definition has changed since; ` +
      "to bring it up to date first, plan without naming datasets"
    );
  });
}

function unboundedDatasets({ catalog }: PlannerInput, used: ReadonlySet<string>): string[] {
  return derivedInOrder(catalog)
    .filter((derived) => used.has(derived.name) && !hasHome(derived))
    .map(
      (derived) =>
        `no input says which partitions ${derived.name} has, so only live and requested ones are planned; ` +
        "read an input by the same partitions, by rollup, or by a custom mapping",
    );
}

/** What is not cut by time cannot be changed from a date on. */
function forwardWholes({ catalog }: PlannerInput, { request, steps }: Decision): string[] {
  if (request.kind !== "changes" || request.forwardFrom === undefined) return [];
  return steps
    .filter((step) => step.action === "recompute" && step.why.some(({ code }) => code === "definition_changed"))
    .map((step) => requireDerived(catalog, step.dataset))
    .filter((derived) => derived.partitions.kind !== "time")
    .map((derived) => `${derived.name} is not cut by time, so its change holds for all of it, not from a date on`);
}
