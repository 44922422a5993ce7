/**
 * The difference that a promotion makes, as one digest: how many rows of each dataset, and the contents of the candidates.
 * Whoever approves a promotion approves this digest, and the promotion compares it before it commits.
 */
import { hashOf } from "../hash.ts";
import { candidateContents } from "../store/candidate-contents.ts";
import type { Tx } from "../tx.ts";

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
