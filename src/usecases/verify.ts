/**
 * The last look before a backfill is verified: rules that one partition cannot show, asked of each dataset as it will be
 * after promotion (uniqueness across partitions, foreign keys), what differs from
 * golden baselines, and what is unlike its history. Called by the planner loop when no task is open.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { noRanges, type Ranges, subtract } from "../catalog/ranges.ts";
import type { BackfillState } from "../states.ts";
import { appendAudit } from "../store/audit.ts";
import { type BackfillDataset, lockBackfill, moveBackfill, readDatasets } from "../store/backfills.ts";
import { clearCheckResults, clearRuleResults, holdDataset, insertCheckResults } from "../store/checks.ts";
import { unchangedPartitions } from "../store/live.ts";
import { endPhases } from "../store/phases.ts";
import { unreadiness } from "../store/promotions.ts";
import type { Database, Tx } from "../tx.ts";
import { datasetProbes } from "../validation/across.ts";
import { judgeDataset, type Outcome, resultsAcross, type Verdict, verdictOf } from "../validation/verdict.ts";
import { liveConstraints, type Recomputed } from "../warehouse/constraints.ts";
import type { DatasetProbe } from "../warehouse/probe.ts";
import { anomaliesOf } from "./anomalies.ts";
import { baselineOutcomes } from "./baseline.ts";
import { outsideReach } from "./reach.ts";

export interface Judged {
  readonly dataset: string;
  readonly accepted: boolean;
  readonly probes: readonly DatasetProbe[];
  readonly verdict: Verdict;
  /** What no probe found: anomalies, differences to baselines, and what the plan does not expect. In the verdict too. */
  readonly proofs: readonly Outcome[];
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
    // A retry that came while this was judged, or a gate that another planner opened, left something to do.
    if ((await unreadiness(tx, backfill)).unfinished > 0) return undefined;
    await record(tx, backfill, judged);
    const holds = await standingHolds(tx, backfill);
    const to = holds.length === 0 ? "verified" : "held";
    if (to === "verified") await endPhases(tx, backfill, "planner");
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

/** What is computed, as it would be after a promotion: all of it, or at a gate what was reached (`within`) by dataset. */
export async function judge(
  database: Database,
  catalog: Catalog,
  backfill: string,
  within?: ReadonlyMap<string, Ranges>,
): Promise<Judged[]> {
  const judged: Judged[] = [];
  const outside = await outsideReach(database, catalog, backfill);
  const all = await across(database, catalog, backfill, within);
  const parts = all.map(({ part }) => part);
  for (const each of all) {
    if (within !== undefined && !within.has(each.dataset)) continue;
    const { outcomes } = await judgeDataset(database, each.derived, each.probes);
    const anomalies = await anomaliesOf(database, each.derived, each.part, backfill);
    const baselines = await baselineOutcomes(database, each.part, parts, derivedOf(catalog));
    const proofs = [...(outside.get(each.dataset) ?? []), ...baselines, ...anomalies];
    judged.push({ ...each, proofs, verdict: verdictOf([...outcomes, ...proofs]) });
  }
  return judged;
}

function derivedOf(catalog: Catalog): Derived[] {
  return [...catalog.datasets.values()].filter((dataset): dataset is Derived => dataset.kind === "derived");
}

/** The rules of each dataset as a whole, with the dataset as it would be after promotion. */
export async function across(
  database: Database,
  catalog: Catalog,
  backfill: string,
  within?: ReadonlyMap<string, Ranges>,
): Promise<(Omit<Judged, "verdict" | "proofs"> & { readonly derived: Derived; readonly part: Recomputed })[]> {
  const rows = await readDatasets(database, backfill);
  const unchanged = await unchangedPartitions(database, backfill);
  const parts = rows.flatMap((row) => {
    const partitions = within === undefined ? row.partitions : (within.get(row.dataset) ?? noRanges);
    return recomputed(catalog, { ...row, partitions }, unchanged.get(row.dataset) ?? noRanges) ?? [];
  });
  return Promise.all(
    parts.map(async (part) => {
      const { dataset, accepted } = rows.find((row) => row.dataset === part.derived.name) as BackfillDataset;
      const constraints = await liveConstraints(database, part.derived);
      const probes = datasetProbes(part.derived, constraints, parts);
      return { dataset, accepted, derived: part.derived, part, probes };
    }),
  );
}

/** Partitions that came out unchanged stay as they are live. */
function recomputed(catalog: Catalog, row: BackfillDataset, unchanged: Ranges): Recomputed | undefined {
  const dataset = catalog.datasets.get(row.dataset);
  if (dataset?.kind !== "derived") return undefined;
  return { derived: dataset as Derived, candidate: row.candidate, partitions: subtract(row.partitions, unchanged) };
}

/** Stores what was found, and holds what it condemns. What a person has accepted holds nothing. */
export async function record(tx: Tx, backfill: string, judged: readonly Judged[]): Promise<void> {
  for (const { dataset, accepted, probes, verdict, proofs } of judged) {
    await recordAcross(tx, { backfill, dataset }, probes, verdict, proofs);
    if (verdict.hold !== null && !accepted) await holdDataset(tx, { backfill, dataset, reason: verdict.hold });
  }
}

/** Why datasets are held: by what was found just now, or by a task after which nothing was left to start. */
export async function standingHolds(tx: Tx, backfill: string): Promise<string[]> {
  const rows = await readDatasets(tx, backfill);
  return rows.filter(({ held }) => held).map(({ dataset, holdReason }) => `${dataset}: ${holdReason ?? "held"}`);
}

/** Replaces what was known of a dataset as a whole; without `proofs`, those that are known stay. */
export async function recordAcross(
  tx: Tx,
  of: { readonly backfill: string; readonly dataset: string },
  probes: readonly DatasetProbe[],
  verdict: Verdict,
  proofs?: readonly Outcome[],
): Promise<void> {
  const where = { ...of, partition: null };
  if (proofs === undefined) await clearRuleResults(tx, of);
  else await clearCheckResults(tx, where);
  const results = [...resultsAcross(probes, verdict), ...(proofs ?? [])];
  if (results.length > 0) await insertCheckResults(tx, { ...where, results });
}
