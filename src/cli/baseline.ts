/** `rederive baseline`: what is known to be right, captured, approved, and compared with every candidate. */
import type { Command } from "commander";
import { RederiveError } from "../errors.ts";
import type { Baseline } from "../report.ts";
import { reasonOf } from "./control.ts";
import { wholeNumber } from "./numbers.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface CaptureOptions extends CommonOptions {
  readonly dataset: string;
  readonly partitions?: string;
  readonly query?: string;
  readonly key?: string;
  readonly tolerance?: string;
  readonly severity?: "error" | "warn";
  readonly reason?: string;
}

interface DecideOptions extends CommonOptions {
  readonly version?: number;
  readonly reason?: string;
}

export function addBaseline(program: Command): void {
  const baseline = program
    .command("baseline")
    .description("golden baselines: known results that candidates must match");
  baseline
    .command("capture")
    .description("keep what a dataset, or a query over datasets, gives now")
    .argument("<name>")
    .requiredOption("--dataset <name>", "the dataset that it is compared for")
    .option("--partitions <labels>", "these partitions alone, comma-separated")
    .option("--query <sql>", "a query over datasets by their names, in place of the dataset's rows")
    .option("--key <columns>", "what tells the query's rows apart, comma-separated")
    .option("--tolerance <list>", "how far numbers may be off, for example cents=0.5,rate=1%")
    .option("--severity <severity>", "error holds the backfill, warn only tells", "error")
    .option("--reason <text>", "why this is right; it goes into the audit trail")
    .action(async (name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CaptureOptions>();
      await show(options, ({ dataset, partitions, query, key, tolerance, severity }, acting) =>
        acting.captureBaseline({
          ...{ name, dataset, query, severity, reason: reasonOf(options) },
          partitions: listOf(partitions),
          key: listOf(key),
          tolerance: tolerance === undefined ? undefined : tolerancesOf(tolerance),
        }),
      );
    });
  for (const [act, description] of [
    ["approve", "compare candidates with this version from now on"],
    ["retire", "compare with it no more"],
  ] as const) {
    baseline
      .command(act)
      .description(description)
      .argument("<name>")
      .option("--version <n>", "default: the newest", wholeNumber(1, 1_000_000))
      .option("--reason <text>", "why; it goes into the audit trail")
      .action(async (name: string, _options: unknown, command: Command) => {
        const options = command.optsWithGlobals<DecideOptions>();
        await show(options, ({ version }, acting) => {
          const choice = { name, version, reason: reasonOf(options) };
          return act === "approve" ? acting.approveBaseline(choice) : acting.retireBaseline(choice);
        });
      });
  }
  baseline
    .command("list")
    .description("all versions with where they came from")
    .argument("[name]")
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), async ({ acting, output }) => {
        const baselines = await acting.baselines({ name });
        output.data({ baselines });
        for (const line of baselineLines(baselines)) output.text(line);
      });
    });
}

type ActingOf = Parameters<Parameters<typeof withRederive>[1]>[0]["acting"];

async function show<Options extends CommonOptions>(
  options: Options,
  act: (options: Options, acting: ActingOf) => Promise<Baseline>,
): Promise<void> {
  await withRederive(options, async ({ acting, output }) => {
    const baseline = await act(options, acting);
    output.data(baseline);
    for (const line of baselineLines([baseline])) output.text(line);
    if (baseline.state === "captured") {
      output.text(`compared with nothing until: rederive baseline approve ${baseline.name} --reason "…"`);
    }
  });
}

function baselineLines(baselines: readonly Baseline[]): string[] {
  if (baselines.length === 0) return ['there is no baseline; "rederive baseline capture" makes one'];
  return table(
    ["name", "version", "state", "dataset", "rows of", "rows", "captured", "by", "reason"],
    baselines.map((each) => [
      ...[each.name, each.version, each.state, each.dataset],
      each.query === null ? (each.partitions ?? "all partitions") : "a query",
      ...[each.rows, each.capturedAt.slice(0, 16), each.capturedBy, each.reason],
    ]),
  );
}

function listOf(text: string | undefined): string[] | undefined {
  return text?.split(",").map((part) => part.trim());
}

function tolerancesOf(text: string): Record<string, string> {
  const pairs = text.split(",").map((part) => {
    const at = part.lastIndexOf("=");
    if (at < 1) {
      throw new RederiveError(
        "usage",
        `${JSON.stringify(part.slice(0, 40))} is no tolerance; write column=0.5 or column=1%`,
      );
    }
    return [part.slice(0, at).trim(), part.slice(at + 1).trim()] as const;
  });
  return Object.fromEntries(pairs);
}
