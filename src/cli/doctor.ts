/** `rederive doctor`: what is wrong with a set-up, and how to mend it. */
import type { Command } from "commander";
import pc from "picocolors";
import type { Finding } from "../report.ts";
import { exitCodes } from "./exit.ts";
import { type CommonOptions, withRederive } from "./open.ts";

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check Postgres, the control schema, Redis, permissions and the catalog's tables")
    .action(async (_options: unknown, command: Command) => {
      await withRederive(
        command.optsWithGlobals<CommonOptions>(),
        async ({ acting, output }) => {
          const findings = await acting.doctor();
          output.data({ findings });
          for (const finding of findings) for (const line of findingLines(finding)) output.text(line);
          if (findings.some((finding) => finding.level === "error")) process.exitCode = exitCodes.usage;
        },
        { unchecked: true },
      );
    });
}

function findingLines(finding: Finding): string[] {
  const mark = { ok: pc.green("ok   "), warn: pc.yellow("warn "), error: pc.red("error") }[finding.level];
  const line = `${mark} ${finding.check}: ${finding.message}`;
  return finding.remedy === undefined ? [line] : [line, `      → ${finding.remedy}`];
}
