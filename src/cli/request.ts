/** Options that name a part of a dataset, as several commands have them. */
import type { Command } from "commander";
import { RederiveError } from "../errors.ts";
import type { RequestedExpectation } from "../plan.ts";
import type { SampleInput } from "../usecases/sample.ts";
import { share, wholeNumber } from "./numbers.ts";

export interface WindowOptions {
  readonly from?: string;
  readonly to?: string;
}

/** A window where one was given; half of one is refused. */
export function windowOptions({ from, to }: WindowOptions): { window?: { from: string; to: string } } {
  if ((from === undefined) !== (to === undefined)) {
    throw new RederiveError("usage", "a window needs both --from and --to; --to is exclusive");
  }
  return from === undefined || to === undefined ? {} : { window: { from, to } };
}

/** Labels separated by commas. */
export function partitionOptions({ partitions }: { readonly partitions?: string }): { partitions?: string[] } {
  return partitions === undefined ? {} : { partitions: partitions.split(",").map((label) => label.trim()) };
}

/** `1%` as a share, or `orders=2001-01-03,2001-02-01..2001-02-08` as partitions of a dataset; added to what came before. */
export function sampleOf(text: string, before: SampleInput = {}): SampleInput {
  const [, dataset, parts] = /^([^=]+)=(.+)$/.exec(text.trim()) ?? [];
  if (dataset === undefined || parts === undefined) return { ...before, share: share(text) };
  const labels = parts.split(",").map((label) => label.trim());
  return { ...before, partitions: { ...before.partitions, [dataset.trim()]: labels } };
}

export interface ExpectOptions {
  readonly expectColumns?: string;
  readonly expectRows?: number;
  readonly expectRatio?: number;
  readonly expectWhere?: string;
}

/** What may change, at most. */
export function addExpectOptions(command: Command): Command {
  return command
    .option("--expect-columns <names>", "rows may differ in these columns alone, comma-separated")
    .option("--expect-rows <n>", "at most so many rows of a dataset may differ", wholeNumber(0, 2 ** 31))
    .option("--expect-ratio <share>", "at most this share of a dataset's rows may differ, such as 2%", share)
    .option("--expect-where <condition>", "only rows of which this SQL condition is true may differ");
}

export function expectOptions(options: ExpectOptions): { expect?: RequestedExpectation } {
  const { expectColumns, expectRows, expectRatio, expectWhere } = options;
  const expect: RequestedExpectation = {
    ...(expectColumns === undefined ? {} : { columns: expectColumns.split(",").map((name) => name.trim()) }),
    ...(expectRows === undefined ? {} : { maxChangedRows: expectRows }),
    ...(expectRatio === undefined ? {} : { maxChangedRatio: expectRatio }),
    ...(expectWhere === undefined ? {} : { where: expectWhere }),
  };
  return Object.keys(expect).length === 0 ? {} : { expect };
}
