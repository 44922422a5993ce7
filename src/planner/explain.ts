/**
 * A plan in words. Pure: lines of text from values.
 *
 * The tree is the topological order of the plan: upstreams first, each dataset under the deepest one that it reads.
 */
import type { Catalog } from "../catalog/catalog.ts";
import { isEmpty } from "../catalog/ranges.ts";
import type { Plan, PlanRequest, Step } from "../plan.ts";
import { recomputeSteps } from "../plan.ts";
import { derivedInputs } from "./impact.ts";
import { count, countPartitions, labelRanges } from "./labels.ts";

export type Tone = "strong" | "recompute" | "reuse" | "skip" | "quiet" | "warning";

/** Paints a piece of text; the default leaves it as it is. */
export type Paint = (tone: Tone, text: string) => string;

const plain: Paint = (_, text) => text;

/** The plan as lines for people. */
export function explainPlan(catalog: Catalog, plan: Plan, paint: Paint = plain): string[] {
  const { decision, forecast } = plan;
  const nothing = recomputeSteps(decision).length === 0;
  return [
    `${paint("strong", "Plan")} ${plan.hash.slice(0, 12)}  ${requestText(decision.request)}`,
    paint("quiet", `  because: ${decision.requestReason}`),
    "",
    ...decision.steps.flatMap((step) => stepLines(catalog, step, depthOf(catalog, plan, step.dataset), paint)),
    "",
    nothing ? "Nothing to do." : `${count(forecast.tasks, "task")}${forecastText(forecast.seconds)}`,
    ...forecast.warnings.map((warning) => `${paint("warning", "warning:")} ${warning}`),
  ];
}

function requestText(request: PlanRequest): string {
  if (request.datasets === undefined) return "everything that is out of date";
  const names = request.datasets.join(", ");
  if (request.kind === "changes") return `what is out of date in ${names}`;
  if (request.window !== undefined) return `${names} from ${request.window.from} to ${request.window.to}`;
  return request.partitions === undefined ? `all of ${names}` : `${countPartitions(request.partitions)} of ${names}`;
}

function stepLines(catalog: Catalog, step: Step, depth: number, paint: Paint): string[] {
  const indent = "  ".repeat(depth + 1);
  const head = `${indent}${paint(step.action, step.action.padEnd(9))} ${paint("strong", step.dataset)}`;
  const scheme = catalog.datasets.get(step.dataset)?.partitions;
  const where = scheme === undefined || isEmpty(step.partitions) ? "" : `  ${labelRanges(scheme, step.partitions)}`;
  const lines = [`${head}${where}`, paint("quiet", `${indent}          ${step.reason}`)];
  // Where the causes differ from partition to partition, each is shown with its own.
  if (step.action !== "recompute" || scheme === undefined || step.why.length < 2) return lines;
  const causes = step.why.map((entry) => {
    const because = entry.because === undefined ? "" : ` ${entry.because}`;
    return paint("quiet", `${indent}          - ${entry.code}${because}: ${labelRanges(scheme, entry.partitions)}`);
  });
  return [...lines, ...causes];
}

/** How many steps of the plan lie above a dataset, on the longest way. */
function depthOf(catalog: Catalog, plan: Plan, name: string): number {
  const planned = new Set(plan.decision.steps.map((step) => step.dataset));
  const depths = new Map<string, number>();
  for (const each of catalog.order) {
    const dataset = catalog.datasets.get(each);
    if (dataset?.kind !== "derived" || !planned.has(each)) continue;
    const above = derivedInputs(dataset).map((input) => depths.get(input.dataset.name) ?? -1);
    depths.set(each, Math.max(-1, ...above) + 1);
    if (each === name) break;
  }
  return depths.get(name) ?? 0;
}

function forecastText(seconds: number | undefined): string {
  return seconds === undefined ? "" : `, about ${durationText(seconds)}`;
}

/** `40 s`, `12 min`, `3 h 20 min`. */
export function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest === 0 ? "" : ` ${rest} min`}`;
}
