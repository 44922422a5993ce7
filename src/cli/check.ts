/** `rederive check`: the checks asked again, of candidates or of what is live, without computing anything. */
import type { Command } from "commander";
import { RederiveError } from "../errors.ts";
import type { CheckedDataset, CheckOutcome, LiveValidation } from "../report.ts";
import { exitCodes } from "./exit.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface CheckOptions extends CommonOptions {
  readonly dataset?: string;
  readonly partitions?: string;
  readonly stale?: boolean;
  readonly live?: boolean;
  readonly scheduled?: boolean;
}

export function addCheck(program: Command): void {
  program
    .command("check")
    .description("ask the checks again, of a backfill's candidates or of live data, without recomputing")
    .argument("[backfill]", "look at its candidates; without one, at what is live")
    .option("--dataset <name>", "this dataset alone")
    .option("--partitions <labels>", "these partitions of the dataset alone, comma-separated")
    .option("--stale", "only what was not judged by the rules as they are now, or broke one")
    .option("--live", "everything that is live")
    .option("--scheduled", "ask nothing: show what scheduled looks have found in live data")
    .action(async (id: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CheckOptions>();
      if (options.scheduled === true) await showValidation(id, options);
      else await checkCommand(id, options);
    });
}

async function checkCommand(backfill: string | undefined, options: CheckOptions): Promise<void> {
  refuseVague(backfill, options);
  const { dataset, partitions, stale } = options;
  await withRederive(options, async ({ acting, output }) => {
    const report = await acting.check({
      backfill,
      stale,
      datasets: dataset === undefined ? undefined : [dataset],
      partitions: partitions?.split(",").map((label) => label.trim()),
      onProgress: (name, done, total) => output.progress(`${name}: ${done} of ${total} partitions checked`),
    });
    output.endProgress();
    output.data(report);
    for (const line of checkLines(report.datasets)) output.text(line);
    if (report.failed) process.exitCode = exitCodes.checksFailed;
  });
}

async function showValidation(backfill: string | undefined, options: CheckOptions): Promise<void> {
  if (backfill !== undefined || options.live === true || options.stale === true || options.partitions !== undefined) {
    throw new RederiveError(
      "usage",
      "--scheduled shows what is known of live data; give no other option but --dataset",
    );
  }
  await withRederive(options, async ({ acting, output }) => {
    const all = await acting.validation();
    const datasets = all.filter(({ dataset }) => options.dataset === undefined || dataset === options.dataset);
    output.data({ datasets });
    for (const line of validationLines(datasets)) output.text(line);
    const broken = datasets.some(
      ({ error, failures }) => error !== null || failures.some(({ severity }) => severity === "error"),
    );
    if (broken) process.exitCode = exitCodes.checksFailed;
  });
}

function validationLines(datasets: readonly LiveValidation[]): string[] {
  if (datasets.length === 0)
    return ['no dataset is validated on a schedule; declare one with validate: { every: "1 hour" }'];
  const lines = table(
    ["dataset", "every", "last look", "partitions read", "failed checks"],
    datasets.map(({ dataset, every, startedAt, finishedAt, checked, failing }) => [
      dataset,
      every,
      startedAt === null ? "none yet" : `${startedAt}${finishedAt === null ? " (not finished)" : ""}`,
      checked ?? "",
      failing ?? "",
    ]),
  );
  const errors = datasets.flatMap(({ dataset, error }) => (error === null ? [] : [`  ${dataset}: no look: ${error}`]));
  return [...lines, ...errors, ...datasets.flatMap(({ failures }) => failures.flatMap(failureLines))];
}

function refuseVague(backfill: string | undefined, { dataset, partitions, live, stale }: CheckOptions): void {
  if (backfill !== undefined && live === true) {
    throw new RederiveError("usage", "a backfill has candidates; leave out either the backfill or --live");
  }
  if (backfill === undefined && dataset === undefined && live !== true && stale !== true) {
    throw new RederiveError("usage", "say what to check: a backfill, --dataset <name>, or --live for all that is live");
  }
  if (partitions !== undefined && dataset === undefined) {
    throw new RederiveError("usage", "--partitions belongs to one dataset; name it with --dataset");
  }
}

function checkLines(datasets: readonly CheckedDataset[]): string[] {
  const lines = table(
    ["dataset", "checked", "up to date", "failed checks"],
    datasets.map(({ dataset, checked, upToDate, failing }) => [dataset, checked, upToDate, failing]),
  );
  return [...lines, ...datasets.flatMap(({ failures }) => failures.flatMap(failureLines))];
}

function failureLines({ dataset, partition, name, severity, evidence }: CheckOutcome): string[] {
  const where = partition === null ? dataset : `${dataset} ${partition}`;
  const suspects = (evidence.suspects ?? []).map((each) => `${each.dataset} ${each.partitions} (${each.from})`);
  return [
    `  ${severity} ${where} ${name}: ${evidence.message}`,
    ...evidence.rows.map((row) => `    ${rowText(row)}`),
    ...(suspects.length === 0 ? [] : [`    computed from ${suspects.join(", ")}`]),
  ];
}

function rowText(row: CheckOutcome["evidence"]["rows"][number]): string {
  return Object.entries(row)
    .map(([column, value]) => `${column}=${value ?? "null"}`)
    .join(", ");
}
