/**
 * A plan in words. Pure: lines of text from values.
 *
 * What changed, then the tree in the topological order of the plan: upstreams first, each dataset under the deepest one
 * that it reads; then what it is expected to cost, what holds however the run goes, and warnings.
 */
import type { Catalog } from "../catalog/catalog.ts";
import { isEmpty, size } from "../catalog/ranges.ts";
import type { DatasetChange, Decision, Forecast, Plan, PlanRequest, RecomputeStep, Step } from "../plan.ts";
import { recomputeSteps } from "../plan.ts";
import { assumptionTexts } from "./assumed.ts";
import { derivedInputs } from "./impact.ts";
import { count, countPartitions, durationText, labelRanges } from "./labels.ts";
import { phaseTexts } from "./phases.ts";
import { findingText, lookedTexts } from "./preflight.ts";
import { listOf } from "./reasons.ts";
import { causeOf } from "./report.ts";
import { sampleTexts } from "./sample.ts";

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
    ...section("Changed definitions", decision.changes.map(changeText)),
    ...decision.steps.flatMap((step) => stepLines(catalog, plan, step, paint)),
    "",
    ...section("To be validated anew, with: rederive check --stale", validationTexts(catalog, decision)),
    nothing ? "Nothing to do." : forecastText(forecast),
    ...deadlineTexts(forecast),
    ...expectationTexts(decision),
    ...assumptionLines(catalog, decision),
    ...phaseLines(catalog, decision),
    ...sampleLines(catalog, forecast),
    ...(nothing ? [] : guaranteeTexts(decision).map((line) => paint("quiet", line))),
    ...forecast.warnings.map((warning) => `${paint("warning", "warning:")} ${warning}`),
    ...preflightLines(forecast, paint),
  ];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`), ""];
}

function phaseLines(catalog: Catalog, decision: Decision): string[] {
  const lines = phaseTexts(catalog, decision);
  return lines.length === 0 ? [] : ["", ...section("Phases, each judged before the next begins", lines)];
}

function sampleLines(catalog: Catalog, { sample }: Forecast): string[] {
  if (sample === undefined) return [];
  const { heading, lines } = sampleTexts(catalog, sample);
  return ["", ...section(heading, lines)];
}

/** What was asked for, in a few words. */
export function requestText(request: PlanRequest): string {
  const what = subjectOf(request);
  const forward = request.kind === "changes" && request.forwardFrom !== undefined;
  const parts = [
    what,
    ...(forward ? [`from ${request.forwardFrom} on`] : []),
    ...(request.order === "newest" ? ["newest first"] : []),
    ...(request.continues === undefined ? [] : [`in place of ${request.continues}`]),
  ];
  return parts.join(", ");
}

function subjectOf(request: PlanRequest): string {
  if (request.datasets === undefined) return "everything that is out of date";
  const names = request.datasets.join(", ");
  if (request.kind === "changes") return `what is out of date in ${names}`;
  if (request.window !== undefined) return `${names} from ${request.window.from} to ${request.window.to}`;
  return request.partitions === undefined ? `all of ${names}` : `${countPartitions(request.partitions)} of ${names}`;
}

function assumptionLines(catalog: Catalog, decision: Decision): string[] {
  const lines = assumptionTexts(catalog, decision);
  return lines.length === 0 ? [] : ["", ...section("Assumed, tested now and again before it starts", lines)];
}

/** What was found before, worst first, and what was looked at. */
function preflightLines({ preflight }: Forecast, paint: Paint): string[] {
  if (preflight === undefined) return [];
  const found = preflight.findings.map(
    (finding) => `${paint("warning", `${finding.severity}:`)} ${findingText(finding)}`,
  );
  return [...found, ...lookedTexts(preflight).map((line) => paint("quiet", line))];
}

const categoryNames = { breaking: "breaking", non_breaking: "non-breaking", metadata: "metadata only" } as const;

/** `airport_day: non-breaking, late_flights added (statement, the owned columns)`. */
export function changeText({ dataset, category, aspects, columns, because }: DatasetChange): string {
  const kinds = (["added", "dropped", "changed"] as const).flatMap((kind) => {
    const names = columns?.[kind] ?? [];
    return names.length === 0 ? [] : [`${listOf(names)} ${kind}`];
  });
  const what = kinds.length === 0 ? "" : `, ${kinds.join(", ")}`;
  return `${dataset}: ${categoryNames[category]}${what} (${aspects.join(", ")})${because === undefined ? "" : `; ${because}`}`;
}

function stepLines(catalog: Catalog, plan: Plan, step: Step, paint: Paint): string[] {
  const indent = "  ".repeat(depthOf(catalog, plan, step.dataset) + 1);
  const head = `${indent}${paint(step.action, step.action.padEnd(9))} ${paint("strong", step.dataset)}`;
  const scheme = catalog.datasets.get(step.dataset)?.partitions;
  const where = scheme === undefined || isEmpty(step.partitions) ? "" : `  ${labelRanges(scheme, step.partitions)}`;
  const lines = [
    `${head}${where}${step.action === "recompute" ? paint("quiet", `  ${costText(plan.forecast, step)}`) : ""}`,
    paint("quiet", `${indent}          ${step.reason}`),
  ];
  // Where the causes differ from partition to partition, each is shown with its own.
  const differ = step.why.some(({ partitions }) => size(partitions) < size(step.partitions));
  if (step.action === "skip" || scheme === undefined || !differ) return lines;
  const causes = step.why.map((entry) => {
    const because = entry.because === undefined ? "" : ` ${entry.because}`;
    return paint("quiet", `${indent}          - ${entry.code}${because}: ${labelRanges(scheme, entry.partitions)}`);
  });
  return [...lines, ...causes];
}

/** `[indirect, 31 tasks, about 2 min of work]`. */
function costText(forecast: Forecast, step: RecomputeStep): string {
  const seconds = forecast.datasets.find(({ dataset }) => dataset === step.dataset)?.seconds;
  const parts = [
    causeOf(step) ?? "",
    count(size(step.partitions), "task"),
    ...(isEmpty(step.adopted) ? [] : [`${countPartitions(step.adopted)} taken over`]),
    ...(seconds === undefined ? [] : [`about ${durationText(seconds)} of work`]),
  ];
  return `[${parts.join(", ")}]`;
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

/** `airport_day: 2001-01-01 to 2001-01-31 (31), for unique(day) and delay in range`. */
export function validationTexts(catalog: Catalog, { validation }: Decision): string[] {
  return validation.map(({ dataset, partitions, checks }) => {
    const scheme = catalog.datasets.get(dataset)?.partitions;
    const where = scheme === undefined ? countPartitions(partitions) : labelRanges(scheme, partitions);
    return `${dataset}: ${where}, for ${listOf(checks)}`;
  });
}

/** `63 tasks, about 63 s (32 s to 2 min); 31 of them end early where what they read comes out as it was`. */
export function forecastText({ tasks, seconds, interval, prunable, adopted }: Forecast): string {
  const time = seconds === undefined ? "" : `, about ${durationText(seconds)}`;
  const range = interval === undefined ? "" : ` (${durationText(interval.low)} to ${durationText(interval.high)})`;
  const early =
    prunable === 0 ? "" : `; ${count(prunable, "task")} will end early if what they read comes out as it was`;
  const taken = adopted === 0 ? "" : `; ${count(adopted, "task")} only take over rows that were verified before`;
  return `${count(tasks, "task")}${time}${range}${early}${taken}`;
}

/** `Expected of airport_day: rows differ in delay alone, 500 of them at most; anything else holds the backfill.` */
export function expectationTexts({ expect = [] }: Decision): string[] {
  return expect.map(({ dataset, columns, maxChangedRows, maxChangedRatio, where }) => {
    const parts = [
      ...(columns === undefined ? [] : [`rows differ in ${columns.length === 0 ? "nothing" : listOf(columns)} alone`]),
      ...(maxChangedRows === undefined ? [] : [`at most ${count(maxChangedRows, "row")}`]),
      ...(maxChangedRatio === undefined
        ? []
        : [`at most ${Number((maxChangedRatio * 100).toPrecision(3))} % of the rows`]),
      ...(where === undefined ? [] : [`only where ${where}`]),
    ];
    return `Expected of ${dataset}: ${parts.join(", ")}; anything else holds the backfill.`;
  });
}

const verdicts = {
  met: "it can be met",
  at_risk: "it may be missed; start soon, raise the concurrency, or ask for less",
  missed: "it cannot be met; raise the concurrency, ask for less, or move it",
  unknown: "nothing like this has run before, so nobody can tell whether it can be met",
} as const;

/** Whether it can be met, where there is one. */
export function deadlineTexts({ deadline }: Forecast): string[] {
  return deadline === undefined ? [] : [`Deadline ${deadline.at}: ${verdicts[deadline.verdict]}.`];
}

/** What holds however the run goes, one sentence each. */
export function guaranteeTexts({ guarantees }: Decision): string[] {
  return [
    "Each task reads its sources and live inputs in one snapshot, taken when it starts and kept with what it writes; live tables stay untouched until the promotion.",
    `The promotion of all datasets is ${guarantees.promotion}: all of it is visible at one instant, or nothing is.`,
    `It can be rolled back exactly ${guarantees.rollback}, which nobody but you does; a later promotion over it goes back first, and rows that were written since are shown.`,
  ];
}
