/** `rederive explain`: a stored plan again, with its reasons. */
import type { Command } from "commander";
import { explainPlan } from "../planner/explain.ts";
import { type CommonOptions, withRederive } from "./open.ts";

export function addExplain(program: Command): void {
  program
    .command("explain")
    .description("show a stored plan: every step with its reason")
    .argument("<backfill>")
    .action(async (id: string, _options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), async ({ acting, rederive, output }) => {
        const backfill = await acting.backfill(id);
        output.data({
          backfill: id,
          planHash: backfill.plan.hash,
          ...backfill.plan.decision,
          forecast: backfill.plan.forecast,
        });
        for (const line of explainPlan(rederive.catalog, backfill.plan)) output.text(line);
      });
    });
}
