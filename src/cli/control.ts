/** `rederive pause`, `resume`, `cancel`, `finalize`, `retry`: acts on a backfill, each with a reason for the audit trail. */
import type { Command } from "commander";
import type { Backfill } from "../backfill.ts";
import { RederiveError } from "../errors.ts";
import type { Status } from "../report.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { statusLines } from "./status.ts";

interface ActOptions extends CommonOptions {
  readonly reason?: string;
  readonly dataset?: string;
  readonly partitions?: string;
  readonly phase?: string;
}

export function addControl(program: Command): void {
  act(program, "pause", "let running tasks finish and start nothing new", (backfill, reason) =>
    backfill.pause({ reason }),
  );
  act(
    program,
    "resume",
    "go on after a pause, accept what a hold showed, or approve a phase",
    (backfill, reason, options) =>
      options.phase === undefined
        ? backfill.resume({ reason })
        : backfill.approvePhase({ phase: options.phase, reason }),
  ).option("--phase <name>", "let this phase pass, which waits for approval");
  act(program, "cancel", "give the backfill up; live tables stay as they are", (backfill, reason) =>
    backfill.cancel({ reason }),
  );
  act(
    program,
    "finalize",
    "give up the way back from a promotion, for good, and free its space; live tables stay as they are",
    (backfill, reason) => backfill.finalize({ reason }),
  );
  act(program, "retry", "compute again what failed, or the named partitions", (backfill, reason, options) =>
    backfill.retry({
      reason,
      dataset: options.dataset,
      partitions: options.partitions?.split(",").map((label) => label.trim()),
    }),
  )
    .option("--dataset <name>", "this dataset alone")
    .option("--partitions <labels>", "these partitions of the dataset, comma-separated");
}

function act(
  program: Command,
  name: string,
  description: string,
  run: (backfill: Backfill, reason: string, options: ActOptions) => Promise<Status>,
): Command {
  return program
    .command(name)
    .description(description)
    .argument("<backfill>")
    .option("--reason <text>", "why; it goes into the audit trail")
    .action(async (id: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ActOptions>();
      await withRederive(options, async ({ acting, output }) => {
        const status = await run(await acting.backfill(id), reasonOf(options), options);
        output.data(status);
        for (const line of statusLines(status)) output.text(line);
      });
    });
}

/** The reason that a control act needs. */
export function reasonOf(options: { readonly reason?: string }): string {
  if (options.reason === undefined || options.reason.trim() === "") {
    throw new RederiveError("usage", 'say why: --reason "checked with finance"');
  }
  return options.reason;
}
