#!/usr/bin/env node
/** The command line: one file a command; every command calls use cases and prints what they report. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addApprove } from "./approve.ts";
import { addAudit } from "./audit.ts";
import { addBaseline } from "./baseline.ts";
import { addCatalog } from "./catalog.ts";
import { addCheck } from "./check.ts";
import { addControl } from "./control.ts";
import { addDev } from "./dev.ts";
import { addDiff } from "./diff.ts";
import { addDoctor } from "./doctor.ts";
import { describeError, exitCodeOf, exitCodes } from "./exit.ts";
import { addExplain } from "./explain.ts";
import { addGraph } from "./graph.ts";
import { addIdentity } from "./identity.ts";
import { addImpact } from "./impact.ts";
import { addInit } from "./init.ts";
import { addLimit } from "./limit.ts";
import { addLineage } from "./lineage.ts";
import { addMigrate } from "./migrate.ts";
import { outliveReaders } from "./output.ts";
import { addPlan } from "./plan.ts";
import { addPreflight } from "./preflight.ts";
import { addProcesses } from "./processes.ts";
import { addPromote, addRollback } from "./publish.ts";
import { addRun } from "./run.ts";
import { addStatus } from "./status.ts";
import { addToken } from "./token.ts";

function createProgram(): Command {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const program = new Command("rederive")
    .description("Safely recompute derived data in Postgres: plan it, run it, prove it, promote it, roll it back.")
    .version(manifest.version)
    .option("--config <file>", "configuration file (default: rederive.config.ts, or REDERIVE_CONFIG)")
    .option("--json", "data alone on stdout, as JSON")
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`rederive: ${text.replace(/^error: /, "")}`) })
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 unexpected, 2 usage or configuration, 3 checks failed or held, 4 refused, 5 not found, 6 plan --check has work to do",
    );
  const add = [
    addInit,
    addDev,
    addDoctor,
    addGraph,
    addImpact,
    addLineage,
    addCatalog,
    addPlan,
    addExplain,
    addPreflight,
    addRun,
    addStatus,
    addApprove,
    addControl,
    addLimit,
    addCheck,
    addBaseline,
    addDiff,
    addPromote,
    addRollback,
    addMigrate,
    addProcesses,
    addToken,
    addIdentity,
    addAudit,
  ];
  for (const command of add) command(program);
  return program;
}

outliveReaders([process.stdout, process.stderr]);
try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has printed its message; help and version end well.
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  } else {
    process.stderr.write(`${describeError(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
