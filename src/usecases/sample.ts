/** A sampled replay: what a plan would change and cost, told from some of its partitions before anything runs. */
import type { Catalog } from "../catalog/catalog.ts";
import { parsePartition, parseWindow } from "../catalog/label.ts";
import { intersect, isEmpty, type Range, type Ranges, rangesOfOrdinals, size, union } from "../catalog/ranges.ts";
import type { PartitionScheme } from "../catalog/scheme.ts";
import { RederiveError } from "../errors.ts";
import { type Plan, type RecomputeStep, recomputeSteps } from "../plan.ts";
import type { TaskSpeed } from "../planner/input.ts";
import { type Choice, chooseShare, chooseThese, chosenOf, type Stratum } from "../replay/choose.ts";
import { addUp } from "../replay/compare.ts";
import { estimate, type Looked, wholeRows } from "../replay/estimate.ts";
import type { Estimate, Sample, SampledDataset } from "../report.ts";
import { liveRows } from "../store/live.ts";
import { withSpan } from "../telemetry/spans.ts";
import { columnsHidden } from "../warehouse/mask.ts";
import type { Context } from "./context.ts";
import type { PartitionChoice } from "./partitions.ts";
import { masked } from "./publish.ts";
import { type Tried, type TriedPartition, tryPartitions } from "./sample-run.ts";

/** What of a plan is tried before it runs: a share of each dataset, or these partitions. */
export interface SampleInput {
  /** Above 0, up to 1; at least four partitions of each dataset, where it has them. */
  readonly share?: number | undefined;
  /** By dataset: labels, windows such as "2001-01-01..2001-02-01" (the end is exclusive), or ordinal ranges. */
  readonly partitions?: Readonly<Record<string, PartitionChoice>> | undefined;
  /** Ends it early; what was made for it is dropped all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface Sampled {
  readonly sample: Sample;
  /** What tasks of each dataset took, for the forecast. */
  readonly speeds: ReadonlyMap<string, TaskSpeed>;
}

const checksShown = 20;

/**
 * Computes a part of the plan and throws it away; reads live tables and writes none. Throws `usage` or `not_found` for
 * partitions that the plan does not recompute.
 */
export async function samplePlan(context: Context, plan: Plan, input: SampleInput): Promise<Sampled> {
  const started = performance.now();
  const choice = await choiceOf(context, plan, input);
  const chosen = new Map([...choice].map(([dataset, strata]) => [dataset, chosenOf(strata)]));
  return withSpan("rederive sample", { "rederive.datasets": [...chosen.keys()] }, async () => {
    const signal = input.signal ?? new AbortController().signal;
    const tried = chosen.size === 0 ? [] : await tryPartitions(context, plan, chosen, signal);
    const datasets = tried.map((each) => reportOf(each, choice.get(each.step.dataset) ?? []));
    const tasks = datasets.reduce((sum, { partitions }) => sum + size(partitions), 0);
    const speeds = tried.flatMap((each) => speedOf(each, choice.get(each.step.dataset) ?? []));
    return { sample: { tasks, seconds: (performance.now() - started) / 1000, datasets }, speeds: new Map(speeds) };
  });
}

async function choiceOf({ catalog, database }: Context, plan: Plan, input: SampleInput): Promise<Choice> {
  if ((input.share === undefined) === (input.partitions === undefined)) {
    throw new RederiveError("usage", "a sample is a share of each dataset or partitions by name; give one of the two");
  }
  const steps = recomputeSteps(plan.decision);
  const named = new Map(
    Object.entries(input.partitions ?? {}).map(([name, parts]) => [name, namedOf(catalog, steps, name, parts)]),
  );
  const rows = new Map<string, ReadonlyMap<number, number>>();
  for (const { dataset, partitions } of steps) rows.set(dataset, await liveRows(database, dataset, partitions));
  const rowsOf = (dataset: string) => rows.get(dataset) ?? new Map<number, number>();
  if (input.share === undefined) return chooseThese(steps, named, rowsOf);
  if (!(input.share > 0 && input.share <= 1)) {
    throw new RederiveError("usage", `a sample of ${input.share} makes no sense; give a share above 0, up to 1`);
  }
  return chooseShare(catalog, steps, { share: input.share, seed: plan.hash, rowsOf });
}

function namedOf(catalog: Catalog, steps: readonly RecomputeStep[], name: string, parts: PartitionChoice): Ranges {
  const step = steps.find(({ dataset }) => dataset === name);
  const scheme = catalog.datasets.get(name)?.partitions;
  if (step === undefined || scheme === undefined) {
    const known = steps.map(({ dataset }) => dataset).join(", ");
    throw new RederiveError(
      "not_found",
      `the plan does not recompute ${name}; ${known === "" ? "it computes nothing" : `it computes ${known}`}`,
      { details: { dataset: name } },
    );
  }
  const ranges = union(
    ...parts.map((part) => (typeof part === "string" ? rangesOfText(scheme, part) : [part as Range])),
  );
  if (!isEmpty(intersect(ranges, step.partitions))) return ranges;
  throw new RederiveError("usage", `the plan recomputes none of the partitions of ${name} that were named to be tried`);
}

/** A label, or a window where partitions have an order. */
function rangesOfText(scheme: PartitionScheme, text: string): Ranges {
  const ordered = scheme.kind === "time" || scheme.kind === "range";
  const [, from, to] = (ordered ? /^(.+)\.\.(.+)$/.exec(text) : null) ?? [];
  if (from !== undefined && to !== undefined) return parseWindow(scheme, { from, to });
  return rangesOfOrdinals([parsePartition(scheme, text)]);
}

function reportOf(tried: Tried, strata: readonly Stratum[]): SampledDataset {
  const { derived, step, partitions, reads, failedChecks, failures } = tried;
  const found = addUp(
    step.dataset,
    partitions.map(({ diff }) => diff),
  );
  const report = {
    ...found,
    partitions: rangesOfOrdinals(partitions.map(({ partition }) => partition)),
    of: size(step.partitions),
    ...estimatesOf(partitions, strata),
    reads,
    failedChecks: failedChecks.slice(0, checksShown),
    failures,
  };
  return masked(report, columnsHidden(derived));
}

function estimatesOf(
  partitions: readonly TriedPartition[],
  strata: readonly Stratum[],
): Pick<SampledDataset, "estimates"> {
  const of = (pick: (each: TriedPartition) => number, bounded = false) =>
    estimate(lookedOf(partitions, strata, pick), { bounded });
  const [added, removed, changed, seconds] = [
    of(({ diff }) => diff.added),
    of(({ diff }) => diff.removed, true),
    of(({ diff }) => diff.changed, true),
    of((each) => each.seconds),
  ];
  if (added === undefined || removed === undefined || changed === undefined || seconds === undefined) return {};
  const rows = (each: Estimate) => wholeRows(each);
  return { estimates: { added: rows(added), removed: rows(removed), changed: rows(changed), seconds } };
}

function lookedOf(
  partitions: readonly TriedPartition[],
  strata: readonly Stratum[],
  pick: (each: TriedPartition) => number,
): Looked[] {
  const byPartition = new Map(partitions.map((each) => [each.partition, each]));
  return strata.map((stratum) => ({
    count: stratum.partitions.length,
    weight: stratum.partitions.reduce((sum, { weight }) => sum + weight, 0),
    values: stratum.chosen.flatMap(({ partition, weight }) => {
      const found = byPartition.get(partition);
      return found === undefined ? [] : [{ weight, value: pick(found) }];
    }),
  }));
}

/** Large partitions are looked at more often, so what they took is put into proportion by their size. */
function speedOf({ step, partitions }: Tried, strata: readonly Stratum[]): (readonly [string, TaskSpeed])[] {
  const looked = lookedOf(partitions, strata, ({ seconds }) => seconds);
  const values = looked.flatMap((stratum) => stratum.values);
  if (values.length === 0) return [];
  const seconds = values.map(({ value }) => value).sort((a, b) => a - b);
  const at = (share: number) => seconds[Math.min(seconds.length - 1, Math.floor(share * seconds.length))] ?? 0;
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
  const rows = mean(values.map(({ weight }) => weight));
  const liveRows = mean(strata.flatMap((stratum) => stratum.partitions.map(({ weight }) => weight)));
  return [[step.dataset, { mean: mean(seconds), quarter: at(0.25), ninetieth: at(0.9), rows, liveRows }]];
}
