/** `rederive preflight`: what was looked at when a backfill was planned, looked at again. */
import type { Command } from "commander";
import { findingText, lookedTexts } from "../planner/preflight.ts";
import { exitCodes } from "./exit.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { colors } from "./output.ts";

export function addPreflight(program: Command): void {
  program
    .command("preflight")
    .description("look again at schema, sources and room for a planned backfill; exit code 4 where something stops it")
    .argument("<backfill>")
    .action(async (id: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      await withRederive(options, async ({ acting, output }) => {
        const report = await (await acting.backfill(id)).preflight();
        output.data(report);
        for (const finding of report.findings) {
          output.text(`${colors.red(`${finding.severity}:`)} ${findingText(finding)}`);
        }
        for (const line of lookedTexts(report)) output.text(line);
        if (report.stopped) process.exitCode = exitCodes.refused;
      });
    });
}
