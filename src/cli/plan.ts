/** `rederive plan`: what would be recomputed, and why. Stores the plan, so that it can be reviewed and run. */
import { type Command, Option } from "commander";
import type { Catalog } from "../catalog/catalog.ts";
import { resolveSettings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import { type Plan, recomputeSteps } from "../plan.ts";
import { explainPlan, type Paint, type Tone } from "../planner/explain.ts";
import { planMarkdown } from "../planner/markdown.ts";
import { stepsReport } from "../planner/report.ts";
import type { PlanInput } from "../usecases/plan.ts";
import type { SampleInput } from "../usecases/sample.ts";
import { exitCodes } from "./exit.ts";
import { interruptible } from "./interrupt.ts";
import { loadConfig } from "./load-config.ts";
import { lockNote, writeLock } from "./lock.ts";
import { shares } from "./numbers.ts";
import { type CommonOptions, type Opened, withRederive } from "./open.ts";
import { colors, createOutput, type Output } from "./output.ts";
import {
  addExpectOptions,
  type ExpectOptions,
  expectOptions,
  partitionOptions,
  sampleOf,
  windowOptions,
} from "./request.ts";

export interface PlanOptions extends CommonOptions, FormatOptions, ExpectOptions {
  readonly from?: string;
  readonly to?: string;
  readonly partitions?: string;
  readonly reason?: string;
  readonly check?: boolean;
  readonly updateLock?: boolean;
  readonly forwardOnly?: string;
  readonly order?: "newest" | "oldest";
  readonly deadline?: string;
  readonly continue?: string;
  readonly sample?: SampleInput;
  readonly pilot?: boolean;
  readonly phases?: number[];
  readonly gate?: "automatic" | "approval";
}

export interface FormatOptions {
  readonly format?: "text" | "markdown";
}

export function addPlan(program: Command): void {
  const command = program
    .command("plan")
    .description("plan what changed in the definitions, or the named datasets, and store the plan")
    .argument("[datasets...]", "recompute these on request; without any, everything whose definition changed")
    .option("--from <time>", "first partition of the request (inclusive)")
    .option("--to <time>", "end of the request (exclusive)")
    .option("--partitions <labels>", "partitions instead of a window, comma-separated")
    .option("--forward-only <date>", "changed definitions hold from this date on; what begins earlier stays as it is")
    .addOption(new Option("--order <which>", "which partitions go first").choices(["oldest", "newest"]))
    .option("--deadline <time>", "when it should be done, with its offset; the plan says whether it can be met")
    .option("--continue <backfill>", "take the place of a backfill, and take over what it has computed and verified")
    .option("--pilot", "begin with a few partitions from all over, of what matters least; then 1%, 10% and the rest")
    .option(
      "--phases <shares>",
      "run in steps that reach these shares, such as 5%,25%,100%, each judged before the next",
      shares,
    )
    .addOption(
      new Option(
        "--gate <which>",
        "after each step: go on if nothing is found (automatic), or wait for approval",
      ).choices(["automatic", "approval"]),
    )
    .option(
      "--sample <what>",
      "compute a share of each dataset (1%), or partitions of one (orders=2001-01-03,2001-02-01..2001-02-08; repeat it), apart, " +
        "and show what would change",
      sampleOf,
    )
    .addOption(new Option("--format <format>", "markdown is made for pull requests").choices(["text", "markdown"]))
    .option("--reason <text>", "why; it is part of the plan and of the audit trail")
    .option("--check", "store nothing; exit 6 when something would be recomputed")
    .option("--update-lock", "only write rederive.lock.json, the hashes of map functions; needs no database");
  addExpectOptions(command).action(async (datasets: string[], _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<PlanOptions>();
    await (options.updateLock === true ? updateLock(options) : planCommand(datasets, options));
  });
}

async function updateLock(options: PlanOptions): Promise<void> {
  const output = createOutput(options.json === true);
  const { config, path } = await loadConfig(options.config);
  const { settings, catalog } = resolveSettings(config);
  const changed = await writeLock(settings, catalog, settings.catalogFile ?? path);
  output.data({ lockFile: settings.lockFile, changed });
  output.text(lockNote(settings, changed));
}

async function planCommand(datasets: readonly string[], options: PlanOptions): Promise<void> {
  const input = planInputOf(datasets, options);
  const work = async ({ acting, rederive, output }: Opened): Promise<void> => {
    const { catalog } = rederive;
    if (options.check === true) {
      const plan = await interruptibly(input, output, (wish) => acting.preview(wish));
      output.data(stepsReport(catalog, plan, { backfill: null, state: "preview" }));
      for (const line of planLines(catalog, plan, null, options)) output.text(line);
      if (recomputeSteps(plan.decision).length > 0) process.exitCode = exitCodes.workToDo;
      return;
    }
    const { id, plan } = await interruptibly(input, output, (wish) => acting.plan(wish));
    output.data(stepsReport(catalog, plan, { backfill: id, state: "planned" }));
    for (const line of planLines(catalog, plan, id, options)) output.text(line);
    if (options.format === "markdown") return;
    output.text("");
    const idle = recomputeSteps(plan.decision).length === 0;
    output.text(idle ? `stored as ${id}` : `stored as ${id}; run it with: rederive run ${id}`);
  };
  await withRederive(options, work, { lock: options.check === true ? "compare" : "refresh" });
}

/** A sample may take a while; Ctrl-C ends it, and what was made for it is dropped. */
async function interruptibly<Result>(
  input: PlanInput,
  output: Output,
  plan: (input: PlanInput) => Promise<Result>,
): Promise<Result> {
  const { sample } = input;
  if (sample === undefined) return plan(input);
  const onInterrupt = (): void => output.note("stopping; press Ctrl-C again to end at once");
  return interruptible({ message: "stopped; nothing was planned", onInterrupt }, (signal) =>
    plan({ ...input, sample: { ...sample, signal } }),
  );
}

/** A plan as text for people, in the format that they asked for. */
export function planLines(catalog: Catalog, plan: Plan, backfill: string | null, options: FormatOptions): string[] {
  if (options.format === "markdown") return [planMarkdown(catalog, plan, backfill).trimEnd()];
  return explainPlan(catalog, plan, paint);
}

const paints: Readonly<Record<Tone, (text: string) => string>> = {
  strong: colors.bold,
  recompute: colors.yellow,
  reuse: colors.green,
  skip: colors.dim,
  quiet: colors.dim,
  warning: colors.red,
};

const paint: Paint = (tone, text) => paints[tone](text);

/** Options and arguments as a request. */
export function planInputOf(datasets: readonly string[], options: PlanOptions): PlanInput {
  const reason = options.reason ?? (options.check === true ? "check" : undefined);
  if (reason === undefined) throw new RederiveError("usage", 'say why: --reason "refunds were ignored"');
  const part = { ...windowOptions(options), ...partitionOptions(options) };
  if (datasets.length === 0 && Object.keys(part).length > 0) {
    throw new RederiveError("usage", "a window or partitions need at least one dataset");
  }
  return {
    reason,
    ...(datasets.length === 0
      ? { changes: true }
      : { datasets: [...datasets], ...(options.forwardOnly === undefined ? {} : { changes: true }) }),
    ...part,
    ...(options.forwardOnly === undefined ? {} : { forwardFrom: options.forwardOnly }),
    ...(options.order === undefined ? {} : { order: options.order }),
    ...(options.deadline === undefined ? {} : { deadline: options.deadline }),
    ...(options.continue === undefined ? {} : { continues: options.continue }),
    ...expectOptions(options),
    ...(options.pilot === undefined ? {} : { pilot: options.pilot }),
    ...(options.phases === undefined ? {} : { phases: options.phases }),
    ...(options.gate === undefined ? {} : { gate: options.gate }),
    ...(options.sample === undefined ? {} : { sample: options.sample }),
  };
}
