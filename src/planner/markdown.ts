/** A plan as Markdown, for the description or a comment of a pull request. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import { size } from "../catalog/ranges.ts";
import type { Plan } from "../plan.ts";
import { recomputeSteps } from "../plan.ts";
import { assumptionTexts } from "./assumed.ts";
import {
  changeText,
  deadlineTexts,
  expectationTexts,
  forecastText,
  guaranteeTexts,
  requestText,
  validationTexts,
} from "./explain.ts";
import { labelRanges } from "./labels.ts";
import { phaseTexts } from "./phases.ts";
import { findingText } from "./preflight.ts";
import { causeOf } from "./report.ts";
import { sampleTexts } from "./sample.ts";

export function planMarkdown(catalog: Catalog, plan: Plan, backfill: string | null): string {
  const { decision, forecast } = plan;
  const nothing = recomputeSteps(decision).length === 0;
  const rows = decision.steps.map((step) => {
    const scheme = catalog.datasets.get(step.dataset)?.partitions;
    const where = scheme === undefined || step.partitions.length === 0 ? "" : labelRanges(scheme, step.partitions);
    const tasks = step.action === "recompute" ? size(step.partitions).toLocaleString("en-US") : "";
    return [bold(step.action), `\`${step.dataset}\``, causeOf(step) ?? "", where, tasks, step.reason];
  });
  const lines = [
    `### Recomputation plan \`${plan.hash.slice(0, 12)}\``,
    "",
    escaped(`${requestText(decision.request)}; ${decision.requestReason}`),
    "",
    ...list("Changed definitions", decision.changes.map(changeText)),
    "| action | dataset | cause | partitions | tasks | why |",
    "| --- | --- | --- | --- | ---: | --- |",
    ...rows.map((row) => `| ${row.map(cell).join(" | ")} |`),
    "",
    nothing ? "**Nothing to do.**" : `**${forecastText(forecast)}**`,
    "",
    ...deadlineTexts(forecast).flatMap((line) => [escaped(line), ""]),
    ...list("To be validated anew (`rederive check --stale`)", validationTexts(catalog, decision)),
    ...list("Expected", expectationTexts(decision)),
    ...list("Assumed, tested now and again before it starts", assumptionTexts(catalog, decision)),
    ...list("Phases, each judged before the next begins", phaseTexts(catalog, decision)),
    ...sampleBlock(catalog, forecast),
    ...list("Warnings", forecast.warnings),
    ...list("Preflight", (forecast.preflight?.findings ?? []).map(findingText)),
    ...(nothing ? [] : list("Guarantees", guaranteeTexts(decision))),
    ...(backfill === null ? [] : [`Run it with \`rederive run ${backfill}\`.`]),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

/** Rows may hold anything, so they stand in a block of text. */
function sampleBlock(catalog: Catalog, { sample }: Plan["forecast"]): string[] {
  if (sample === undefined) return [];
  const { heading, lines } = sampleTexts(catalog, sample);
  return [`**${heading}**`, "", ...lines.map((line) => `    ${line.replace(/\s*\n\s*/g, " ")}`), ""];
}

function list(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`**${title}**`, "", ...lines.map((line) => `- ${escaped(line)}`), ""];
}

function bold(action: string): string {
  return action === "recompute" ? `**${action}**` : action;
}

/** A bar would end the cell, a line break the row. */
function cell(text: string): string {
  return escaped(text).replaceAll("|", "\\|");
}

function escaped(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").replaceAll("<", "&lt;");
}
