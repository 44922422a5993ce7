/** `rederive doctor`: what is wrong with a set-up, and how to mend it. */
import type { Command } from "commander";
import { isRederiveError } from "../errors.ts";
import type { Finding } from "../report.ts";
import { exitCodes } from "./exit.ts";
import { settleLock } from "./lock.ts";
import { type CommonOptions, type Opened, withRederive } from "./open.ts";
import { colors, createOutput, type Output } from "./output.ts";

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check Postgres, the control schema, Redis, permissions and the catalog's tables")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      try {
        await withRederive(
          options,
          async (opened) => show([...(await opened.acting.doctor()), await lockFinding(opened)], opened.output),
          { unchecked: true },
        );
      } catch (error) {
        if (!isRederiveError(error) || error.code !== "unavailable") throw error;
        show([{ check: "postgres", level: "error", message: error.message }], createOutput(options.json === true));
      }
    });
}

function show(findings: readonly Finding[], output: Output): void {
  output.data({ findings });
  for (const finding of findings) for (const line of findingLines(finding)) output.text(line);
  if (findings.some((finding) => finding.level === "error")) process.exitCode = exitCodes.usage;
}

async function lockFinding({ rederive, output }: Opened): Promise<Finding> {
  try {
    await settleLock(rederive, "compare", output);
    return { check: "lock", level: "ok", message: "the lock file names every map as it is in the code" };
  } catch (error) {
    if (!isRederiveError(error)) throw error;
    return { check: "lock", level: "error", message: error.message };
  }
}

function findingLines(finding: Finding): string[] {
  const mark = { ok: colors.green("ok   "), warn: colors.yellow("warn "), error: colors.red("error") }[finding.level];
  const line = `${mark} ${finding.check}: ${finding.message}`;
  return finding.remedy === undefined ? [line] : [line, `      → ${finding.remedy}`];
}
