/** `rederive diff`: what a promotion would change, by key. */
import type { Command } from "commander";
import { differenceText } from "../planner/sample.ts";
import type { DatasetDiff } from "../report.ts";
import { bisectionLines } from "./bisection.ts";
import { wholeNumber } from "./numbers.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface DiffOptions extends CommonOptions {
  readonly samples: number;
  readonly bisect?: boolean;
  readonly rows: number;
}

export function addDiff(program: Command): void {
  program
    .command("diff")
    .description("compare the candidates with what is live")
    .argument("<backfill>")
    .option("--samples <n>", "differing rows to show for each dataset and kind", wholeNumber(0, 100), 3)
    .option("--bisect", "narrow differences down to partitions, rows and columns, and show the input rows behind them")
    .option("--rows <n>", "with --bisect: differing rows to trace for each dataset", wholeNumber(1, 50), 5)
    .action(async (id: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<DiffOptions>();
      await withRederive(options, async ({ acting, output }) => {
        if (options.bisect === true) {
          const bisection = await (await acting.backfill(id)).bisect({ rows: options.rows });
          output.data(bisection);
          for (const line of bisection.datasets.flatMap(bisectionLines)) output.text(line);
          return;
        }
        const diff = await (await acting.backfill(id)).diff({ samples: options.samples });
        output.data(diff);
        for (const line of diffLines(diff.datasets)) output.text(line);
        output.text(`digest ${diff.digest}`);
      });
    });
}

export function diffLines(datasets: readonly DatasetDiff[]): string[] {
  const lines = table(
    ["dataset", "added", "removed", "changed", "unchanged", "columns that changed"],
    datasets.map((diff) => [
      diff.dataset,
      diff.added,
      diff.removed,
      diff.changed,
      diff.unchanged,
      Object.entries(diff.columns)
        .filter(([, count]) => count > 0)
        .map(([column, count]) => `${column} (${count.toLocaleString("en-US")})`)
        .join(", "),
    ]),
  );
  for (const diff of datasets) {
    for (const sample of diff.samples) lines.push(`  ${diff.dataset} ${sample.kind}: ${differenceText(sample)}`);
  }
  return lines;
}
