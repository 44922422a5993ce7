/**
 * The last look before a backfill is verified: rules that one partition cannot show, asked of each dataset as it will be
 * after promotion (uniqueness across partitions, foreign keys). Called by the planner loop when no task is open.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import type { BackfillState } from "../states.ts";
import { appendAudit } from "../store/audit.ts";
import { type BackfillDataset, lockBackfill, moveBackfill, readDatasets } from "../store/backfills.ts";
import { clearCheckResults, holdDataset, insertCheckResults } from "../store/checks.ts";
import type { Database, Tx } from "../tx.ts";
import { datasetProbes } from "../validation/across.ts";
import { judgeDataset, type Verdict } from "../validation/verdict.ts";
import { liveConstraints, type Recomputed } from "../warehouse/constraints.ts";

interface Judged {
  readonly dataset: string;
  readonly accepted: boolean;
  readonly verdict: Verdict;
}

/** Judges, records and moves the backfill to verified or held. Undefined where it is not running any more. */
export async function verify(
  database: Database,
  catalog: Catalog,
  backfill: string,
): Promise<BackfillState | undefined> {
  // The queries may be long, so they run outside of the transaction that locks the backfill's row.
  const judged = await judge(database, catalog, backfill);
  return database.transaction(async (tx) => {
    const row = await lockBackfill(tx, backfill);
    if (row?.state !== "running") return undefined;
    const holds = await record(tx, backfill, judged);
    const to = holds.length === 0 ? "verified" : "held";
    await moveBackfill(tx, { id: backfill, to, reason: holds.length === 0 ? null : holds.join("; ") });
    await appendAudit(tx, {
      actor: "planner",
      act: `backfill.${to}`,
      backfill,
      planHash: row.planHash,
      details: { holds },
    });
    return to;
  });
}

async function judge(database: Database, catalog: Catalog, backfill: string): Promise<Judged[]> {
  const rows = await readDatasets(database, backfill);
  const parts = rows.flatMap((row) => recomputed(catalog, row) ?? []);
  const judged: Judged[] = [];
  for (const part of parts) {
    const row = rows.find(({ dataset }) => dataset === part.derived.name) as BackfillDataset;
    const constraints = await liveConstraints(database, part.derived);
    const verdict = await judgeDataset(database, part.derived, datasetProbes(part.derived, constraints, parts));
    judged.push({ dataset: row.dataset, accepted: row.accepted, verdict });
  }
  return judged;
}

function recomputed(catalog: Catalog, row: BackfillDataset): Recomputed | undefined {
  const dataset = catalog.datasets.get(row.dataset);
  if (dataset?.kind !== "derived") return undefined;
  return { derived: dataset as Derived, candidate: row.candidate, partitions: row.partitions };
}

/** Stores what was found, holds what it condemns, and says why. What a person has accepted holds nothing. */
async function record(tx: Tx, backfill: string, judged: readonly Judged[]): Promise<string[]> {
  const holds: string[] = [];
  for (const { dataset, accepted, verdict } of judged) {
    const where = { backfill, dataset, partition: null };
    await clearCheckResults(tx, where);
    if (verdict.outcomes.length > 0) await insertCheckResults(tx, { ...where, results: verdict.outcomes });
    if (verdict.hold === null || accepted) continue;
    await holdDataset(tx, { backfill, dataset, reason: verdict.hold });
    holds.push(`${dataset}: ${verdict.hold}`);
  }
  return holds;
}
