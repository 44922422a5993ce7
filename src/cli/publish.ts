/** `rederive promote` and `rederive rollback`: the two acts that change live tables. */
import { type Command, Option } from "commander";
import type { MergeReport } from "../report.ts";
import { reasonOf } from "./control.ts";
import { type CommonOptions, type Opened, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface PublishOptions extends CommonOptions {
  readonly reason?: string;
  readonly overrideWindow?: boolean;
  readonly onLaterWrites: "refuse" | "overwrite" | "keep";
}

export function addPromote(program: Command): void {
  program
    .command("promote")
    .description("make the candidates live, all datasets in one transaction")
    .argument("<backfill>")
    .option("--reason <text>", "why; it goes into the audit trail")
    .option("--override-window", "outside of the change window; admins alone")
    .action(async (id: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<PublishOptions>();
      await withRederive(options, async (opened) => {
        const report = await (await opened.acting.backfill(id)).promote({
          reason: reasonOf(options),
          overrideWindow: options.overrideWindow,
        });
        print(report, opened);
        opened.output.text(`undo with: rederive rollback ${id} --reason "…"`);
      });
    });
}

export function addRollback(program: Command): void {
  program
    .command("rollback")
    .description("put back exactly what the promotion replaced")
    .argument("<backfill>")
    .option("--reason <text>", "why; it goes into the audit trail")
    .addOption(
      new Option("--on-later-writes <policy>", "what to do with rows that were written after the promotion")
        .choices(["refuse", "overwrite", "keep"])
        .default("refuse"),
    )
    .action(async (id: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<PublishOptions>();
      await withRederive(options, async (opened) => {
        const backfill = await opened.acting.backfill(id);
        print(await backfill.rollback({ reason: reasonOf(options), onLaterWrites: options.onLaterWrites }), opened);
      });
    });
}

function print(report: MergeReport, { output }: Opened): void {
  output.data(report);
  output.text(`${report.backfill} ${report.state}`);
  const rows = report.datasets.map((dataset) => [
    `  ${dataset.dataset}`,
    dataset.inserted,
    dataset.updated,
    dataset.deleted,
  ]);
  for (const line of table(["  dataset", "inserted", "updated", "deleted"], rows)) output.text(line);
}
