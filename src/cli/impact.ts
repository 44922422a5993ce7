/** `rederive impact`: what a change of a dataset would reach, without planning anything. */
import type { Command } from "commander";
import { affectedText } from "../planner/affected.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { partitionOptions, windowOptions } from "./request.ts";

interface ImpactOptions extends CommonOptions {
  readonly from?: string;
  readonly to?: string;
  readonly partitions?: string;
}

export function addImpact(program: Command): void {
  program
    .command("impact")
    .description("show which datasets, partitions and exposures a change of a dataset would reach")
    .argument("<dataset>", "a source or a derived dataset")
    .option("--from <time>", "first partition that changes (inclusive)")
    .option("--to <time>", "end of what changes (exclusive)")
    .option("--partitions <labels>", "partitions instead of a window, comma-separated")
    .action(async (dataset: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ImpactOptions>();
      const input = { dataset, ...windowOptions(options), ...partitionOptions(options) };
      await withRederive(options, async ({ acting, output }) => {
        const affected = await acting.impact(input);
        output.data(affected);
        for (const line of affectedText(affected)) output.text(line);
      });
    });
}
