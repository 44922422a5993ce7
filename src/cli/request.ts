/** Options that name a part of a dataset, as several commands have them. */
import { RederiveError } from "../errors.ts";

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
