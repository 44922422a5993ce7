/** `rederive plan`: what would be recomputed, and why. Stores the plan, so that it can be reviewed and run. */
import type { Command } from "commander";
import { resolveSettings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import { recomputeSteps } from "../plan.ts";
import { explainPlan } from "../planner/explain.ts";
import { stepsReport } from "../planner/report.ts";
import type { PlanInput } from "../usecases/plan.ts";
import { exitCodes } from "./exit.ts";
import { loadConfig } from "./load-config.ts";
import { lockNote, writeLock } from "./lock.ts";
import { type CommonOptions, type Opened, withRederive } from "./open.ts";
import { createOutput } from "./output.ts";

export interface PlanOptions extends CommonOptions {
  readonly from?: string;
  readonly to?: string;
  readonly partitions?: string;
  readonly reason?: string;
  readonly check?: boolean;
  readonly updateLock?: boolean;
}

export function addPlan(program: Command): void {
  program
    .command("plan")
    .description("plan what changed in the definitions, or the named datasets, and store the plan")
    .argument("[datasets...]", "recompute these on request; without any, everything whose definition changed")
    .option("--from <time>", "first partition of the request (inclusive)")
    .option("--to <time>", "end of the request (exclusive)")
    .option("--partitions <labels>", "partitions instead of a window, comma-separated")
    .option("--reason <text>", "why; it is part of the plan and of the audit trail")
    .option("--check", "store nothing; exit 6 when something would be recomputed")
    .option("--update-lock", "only write rederive.lock.json, the hashes of map functions; needs no database")
    .action(async (datasets: string[], _options: unknown, command: Command) => {
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
    if (options.check === true) {
      const plan = await acting.preview(input);
      output.data(stepsReport(rederive.catalog, plan, { backfill: null, state: "preview" }));
      for (const line of explainPlan(rederive.catalog, plan)) output.text(line);
      if (recomputeSteps(plan.decision).length > 0) process.exitCode = exitCodes.workToDo;
      return;
    }
    const backfill = await acting.plan(input);
    output.data(stepsReport(rederive.catalog, backfill.plan, { backfill: backfill.id, state: "planned" }));
    for (const line of explainPlan(rederive.catalog, backfill.plan)) output.text(line);
    output.text("");
    output.text(`stored as ${backfill.id}; run it with: rederive run ${backfill.id}`);
  };
  await withRederive(options, work, { lock: options.check === true ? "compare" : "refresh" });
}

/** Options and arguments as a request. */
export function planInputOf(datasets: readonly string[], options: PlanOptions): PlanInput {
  const reason = options.reason ?? (options.check === true ? "check" : undefined);
  if (reason === undefined) throw new RederiveError("usage", 'say why: --reason "refunds were ignored"');
  if ((options.from === undefined) !== (options.to === undefined)) {
    throw new RederiveError("usage", "a window needs both --from and --to; --to is exclusive");
  }
  if (datasets.length === 0 && (options.from !== undefined || options.partitions !== undefined)) {
    throw new RederiveError("usage", "a window or partitions need at least one dataset");
  }
  return {
    reason,
    ...(datasets.length === 0 ? { changes: true } : { datasets: [...datasets] }),
    ...(options.from === undefined || options.to === undefined
      ? {}
      : { window: { from: options.from, to: options.to } }),
    ...(options.partitions === undefined
      ? {}
      : { partitions: options.partitions.split(",").map((label) => label.trim()) }),
  };
}
