/** What of a backfill is outside of what its plan expects, so far. */
import type { Catalog } from "../catalog/catalog.ts";
import { type Expected, outsideExpectations } from "../promotion/expect.ts";
import { decisionOf, readBackfill, readDatasets } from "../store/backfills.ts";
import type { Database } from "../tx.ts";
import type { Outcome } from "../validation/verdict.ts";

/** By dataset; empty where nothing was expected. */
export async function outsideReach(
  database: Database,
  catalog: Catalog,
  backfill: string,
): Promise<ReadonlyMap<string, readonly Outcome[]>> {
  const row = await readBackfill(database, backfill);
  const { expect = [] } = row === undefined ? {} : decisionOf(row);
  if (expect.length === 0) return new Map();
  const datasets = await readDatasets(database, backfill);
  const expected = expect.flatMap((expectation): Expected[] => {
    const derived = catalog.datasets.get(expectation.dataset);
    const made = datasets.find(({ dataset }) => dataset === expectation.dataset);
    if (derived?.kind !== "derived" || made === undefined) return [];
    return [{ input: { derived, candidate: made.candidate }, expectation }];
  });
  return outsideExpectations(database, backfill, expected);
}
