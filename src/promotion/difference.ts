/**
 * What people agree to, as digests that are compared before the act commits: the difference that a promotion makes (how many
 * rows of each dataset, and the contents of the candidates), and what a rollback does to rows that others wrote since.
 */
import { hashOf } from "../hash.ts";
import { candidateContents } from "../store/candidate-contents.ts";
import { promotionOf } from "../store/promotions.ts";
import type { Tx } from "../tx.ts";
import type { LaterRows, LaterWrites } from "../warehouse/undo.ts";

export interface DifferenceCounts {
  readonly dataset: string;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

export async function differenceDigest(
  tx: Tx,
  backfill: string,
  datasets: readonly DifferenceCounts[],
): Promise<string> {
  const counts = datasets
    .map(({ dataset, added, removed, changed }) => ({ dataset, added, removed, changed }))
    .sort((one, other) => (one.dataset < other.dataset ? -1 : 1));
  return hashOf({ backfill, counts, contents: await candidateContents(tx, backfill) });
}

/** By what is done to rows that were written after a promotion: of that promotion and of these rows. */
export type LossDigests = Readonly<Record<Exclude<LaterWrites, "refuse">, string>>;

export async function lossDigests(tx: Tx, backfill: string, later: readonly LaterRows[]): Promise<LossDigests> {
  const promotion = await promotionOf(tx, backfill);
  const rows = later
    .map(({ dataset, changed, digest }) => ({ dataset, changed, digest }))
    .sort((one, other) => (one.dataset < other.dataset ? -1 : 1));
  const digestOf = (onLaterWrites: keyof LossDigests) => hashOf({ backfill, promotion, onLaterWrites, rows });
  return { overwrite: digestOf("overwrite"), keep: digestOf("keep") };
}
