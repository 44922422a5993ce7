/** `rederive lineage`: what a dataset was computed from and what was computed from it, by the stamps. */
import type { Command } from "commander";
import { RederiveError } from "../errors.ts";
import { columnsText } from "../lineage/columns.ts";
import { lineageText } from "../lineage/graph.ts";
import { parseKey, rowText } from "../lineage/rows.ts";
import { wholeNumber } from "./numbers.ts";
import { type CommonOptions, withRederive } from "./open.ts";

interface LineageOptions extends CommonOptions {
  readonly partition?: string;
  readonly up?: boolean;
  readonly down?: boolean;
  readonly depth?: number;
  readonly asOf?: string;
  readonly columns?: boolean;
  readonly key?: string;
  readonly rows?: number;
}

export function addLineage(program: Command): void {
  program
    .command("lineage")
    .description("show what a dataset was computed from, and what was computed from it")
    .argument("<dataset>", "a source or a derived dataset")
    .option("--partition <label>", "one partition; all that are live where left out")
    .option("--up", "only what it was computed from")
    .option("--down", "only what was computed from it")
    .option("--depth <steps>", "steps away from it, at most", wholeNumber(1, 1_000))
    .option("--as-of <time>", "what was live then, an ISO 8601 date or instant")
    .option("--columns", "from which columns of its inputs each of its columns comes")
    .option(
      "--key <values>",
      "the input rows behind one row: its key as column=value,column=value, or as a JSON object",
    )
    .option("--rows <count>", "with --key, rows of each input to show (default 20)", wholeNumber(1, 10_000))
    .action(async (dataset: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<LineageOptions>();
      const { partition, depth, asOf } = options;
      const input = { dataset, partition, depth, asOf, direction: directionOf(options) };
      await withRederive(options, async ({ acting, output }) => {
        if (options.columns) {
          const report = await acting.lineageColumns(dataset);
          output.data(report);
          for (const line of columnsText(report)) output.text(line);
          return;
        }
        if (options.key !== undefined) {
          const report = await acting.lineageRow({ dataset, key: parseKey(options.key), rows: options.rows });
          output.data(report);
          for (const line of rowText(report)) output.text(line);
          return;
        }
        const found = await acting.lineage(input);
        output.data(found);
        for (const line of lineageText(found)) output.text(line);
      });
    });
}

function directionOf({ up, down }: LineageOptions): "up" | "down" | "both" {
  if (up && down) throw new RederiveError("usage", "give --up or --down; both is what you get without them");
  if (up) return "up";
  return down ? "down" : "both";
}
