/** `rederive explain`: a stored plan again, with its reasons. */
import { type Command, Option } from "commander";
import { type CommonOptions, withRederive } from "./open.ts";
import { type FormatOptions, planLines } from "./plan.ts";

export function addExplain(program: Command): void {
  program
    .command("explain")
    .description("show a stored plan: every step with its reason")
    .argument("<backfill>")
    .addOption(new Option("--format <format>", "markdown is made for pull requests").choices(["text", "markdown"]))
    .action(async (id: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & FormatOptions>();
      await withRederive(options, async ({ acting, output }) => {
        const backfill = await acting.backfill(id);
        output.data({
          backfill: id,
          planHash: backfill.plan.hash,
          ...backfill.plan.decision,
          forecast: backfill.plan.forecast,
        });
        for (const line of planLines(acting.catalog, backfill.plan, id, options)) output.text(line);
      });
    });
}
