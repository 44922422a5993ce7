/** `rederive limit`: how fast a dataset or a shared resource may be worked on, changed while it runs. */
import type { Command } from "commander";
import { RederiveError } from "../errors.ts";
import type { LimitSetting } from "../report.ts";
import { reasonOf } from "./control.ts";
import { rate, wholeNumber } from "./numbers.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { table } from "./output.ts";

interface LimitOptions extends CommonOptions {
  readonly rate?: { max: number; perMs: number };
  readonly concurrency?: number;
  readonly clear?: boolean;
  readonly reason?: string;
}

export function addLimit(program: Command): void {
  program
    .command("limit")
    .description("show all limits, or set those of a dataset or resource for the whole fleet")
    .argument("[name]")
    .option("--rate <rate>", "tasks per time, for example 50/s or 5/100ms", rate)
    .option("--concurrency <n>", "tasks at a time over all workers; 0 stops it", wholeNumber(0, 100_000))
    .option("--clear", "take all limits off")
    .option("--reason <text>", "why; it goes into the audit trail")
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<LimitOptions>();
      await withRederive(options, async ({ acting, output }) => {
        const limits =
          name === undefined
            ? await acting.limits()
            : [await acting.setLimit(name, limitOf(options), reasonOf(options))];
        output.data({ limits });
        for (const line of limitLines(limits)) output.text(line);
      });
    });
}

function limitOf(options: LimitOptions): { rate?: { max: number; perMs: number } | null; concurrency?: number | null } {
  if (options.clear === true) return { rate: null, concurrency: null };
  if (options.rate === undefined && options.concurrency === undefined) {
    throw new RederiveError("usage", "say what to set: --rate 50/s, --concurrency 4 or --clear");
  }
  return {
    ...(options.rate === undefined ? {} : { rate: options.rate }),
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
  };
}

function limitLines(limits: readonly LimitSetting[]): string[] {
  if (limits.length === 0)
    return ["nothing is limited; a dataset gets a queue of its own by `limits` in its definition"];
  return table(
    ["name", "rate", "concurrency"],
    limits.map(({ name, rate: set, concurrency }) => [
      name,
      set === null ? "no limit" : `${set.max} per ${set.perMs} ms`,
      concurrency === null ? "no limit" : String(concurrency),
    ]),
  );
}
