/**
 * Rollback: what was live before a promotion is live again, row for row, in one transaction.
 *
 * Rows that somebody wrote after the promotion are found first. By default they are a reason to refuse; `keep` leaves
 * them as they are, `overwrite` puts the before-images over them. A digest of them is what others agree to. The restore
 * points are consumed in the same transaction, so that a second rollback finds nothing to do and the candidates can be
 * promoted again.
 */
import { RederiveError } from "../errors.ts";
import type { MergeCounts, MergeReport } from "../report.ts";
import { lockBackfill } from "../store/backfills.ts";
import { promotedOver, restorePointers, stampedPartitions } from "../store/live.ts";
import { markRolledBack } from "../store/promotions.ts";
import { endReservations, reserveAgain } from "../store/reservations.ts";
import { deleteRestorePoints, noteOwnWrites, type RestorePoint, readRestorePoints } from "../store/restore-points.ts";
import { recordWrites } from "../store/writes.ts";
import type { Database, Tx } from "../tx.ts";
import { dropTable } from "../warehouse/candidate.ts";
import { readMergeable } from "../warehouse/preflight.ts";
import { loadTarget, type MergeInput, type Target } from "../warehouse/target.ts";
import {
  clearTheWay,
  type LaterRows,
  type LaterWrites,
  markLaterWrites,
  rangesOfRows,
  restrictToKept,
  type Undo,
  undoDeletes,
  undoInserts,
  undoneUpdates,
  undoUpdates,
  verifyUndo,
} from "../warehouse/undo.ts";
import { tellCounts, writeCounts } from "../warehouse/writes.ts";
import { type AttemptOptions, attempt } from "./attempt.ts";
import { type LossDigests, lossDigests } from "./difference.ts";
import { type Change, inOrder, type Step, writeInOrder } from "./order.ts";

export interface Rollback {
  readonly backfill: string;
  /** Every dataset that the backfill recomputed, in any order. */
  readonly datasets: readonly MergeInput[];
  readonly reason: string | null;
  /** Default "refuse". */
  readonly onLaterWrites?: LaterWrites;
  /** Writes the audit row, in the rollback's transaction, as its last step. */
  readonly audit: (tx: Tx, report: MergeReport, loss: Loss) => Promise<void>;
  readonly options?: AttemptOptions;
}

/** The rows written after the promotion. */
export interface Loss {
  readonly later: readonly LaterRows[];
  /** What has to be agreed to; undefined where there are none. */
  readonly digest: string | undefined;
}

/** One dataset on its way back: what the promotion inserted is deleted, what it updated gets its old values. */
interface Undoing extends Change {
  readonly undo: Undo;
}

/**
 * Puts back what was live before the promotion. Errors: wrong_state, overlapping_plan (another active backfill
 * reads or writes the partitions), restore_point_gone, live_writes_since_promotion, promote_refused, promote_deferred,
 * verification_failed. After any of them nothing live has changed.
 */
export async function rollback(database: Database, request: Rollback): Promise<MergeReport> {
  return attempt(database, {
    options: request.options ?? {},
    datasets: request.datasets,
    work: (tx) => rollBackInside(tx, request),
    violation: {
      code: "live_writes_since_promotion",
      advice: "rows written since the promotion stand in the way of the old ones; mend those first",
    },
  });
}

async function rollBackInside(tx: Tx, request: Rollback): Promise<MergeReport> {
  await requirePromoted(tx, request.backfill);
  await reserveAgain(tx, request.backfill, ["write"]);
  const points = await readRestorePoints(tx, request.backfill);
  const undos: Undo[] = [];
  for (const input of request.datasets) undos.push(await prepare(tx, request, input, points));
  const targets = undos.map((undo) => undo.target);
  const facts = await readMergeable(tx, targets);
  const loss = await judgeLoss(tx, request, await findLaterWrites(tx, undos));
  const steps = await inOrder(tx, targets, facts, async (target) => undoingOf(target, undos, points));
  const datasets = await carryOut(tx, steps);
  for (const undo of undos) await verifyUndo(tx, undo);
  return finish(tx, request, datasets, loss);
}

async function requirePromoted(tx: Tx, backfill: string): Promise<void> {
  const row = await lockBackfill(tx, backfill);
  if (row?.state === "promoted") return requireNewest(tx, backfill);
  if (row === undefined) throw new RederiveError("not_found", `there is no backfill ${backfill}`);
  const gone = row.state === "finalized";
  throw new RederiveError(
    gone ? "restore_point_gone" : "wrong_state",
    gone
      ? `backfill ${backfill} was finalized and its before-images were dropped; plan a new backfill instead`
      : `backfill ${backfill} is ${row.state}; only a promoted one can be rolled back`,
    { details: { backfill, state: row.state } },
  );
}

/** Before-images are those of the live content that a promotion found: later promotions must be undone first. */
async function requireNewest(tx: Tx, backfill: string): Promise<void> {
  const newer = await promotedOver(tx, backfill);
  if (newer.length === 0) return;
  throw new RederiveError(
    "live_writes_since_promotion",
    `${newer.join(", ")} was promoted over partitions of backfill ${backfill} since; roll that back first`,
    { details: { backfill, newer } },
  );
}

async function prepare(tx: Tx, request: Rollback, input: MergeInput, points: readonly RestorePoint[]): Promise<Undo> {
  const point = points.find(({ dataset }) => dataset === input.derived.name);
  if (point === undefined) {
    throw new RederiveError(
      "restore_point_gone",
      `${input.derived.name} has no restore point in backfill ${request.backfill}`,
    );
  }
  return {
    target: await restrictToKept(tx, await loadTarget(tx, input)),
    wasEmpty: point.wasEmpty,
    writtenBy: point.writtenBy,
    partitions: rangesOfRows(await stampedPartitions(tx, request.backfill, input.derived.name)),
    onLaterWrites: request.onLaterWrites ?? "refuse",
  };
}

async function findLaterWrites(tx: Tx, undos: readonly Undo[]): Promise<LaterRows[]> {
  const later: LaterRows[] = [];
  for (const undo of undos) later.push(await markLaterWrites(tx, undo));
  return later.filter(({ changed }) => changed > 0);
}

async function judgeLoss(
  tx: Tx,
  { backfill, onLaterWrites = "refuse" }: Rollback,
  later: readonly LaterRows[],
): Promise<Loss> {
  if (later.length === 0) return { later, digest: undefined };
  const digests = await lossDigests(tx, backfill, later);
  if (onLaterWrites === "refuse") throw refusal(backfill, later, digests);
  return { later, digest: digests[onLaterWrites] };
}

function refusal(backfill: string, later: readonly LaterRows[], digests: LossDigests): RederiveError {
  const what = later.map(
    ({ dataset, changed, samples }) =>
      `${changed} rows of ${dataset} (${samples.map((key) => JSON.stringify(key)).join(", ")})`,
  );
  return new RederiveError(
    "live_writes_since_promotion",
    `${what.join("; ")} were written after backfill ${backfill} was promoted, and a rollback would overwrite them; ` +
      'roll back with the policy "keep" to leave them as they are, or "overwrite" to lose them; ' +
      `where others have to agree, keep has the digest ${digests.keep} and overwrite ${digests.overwrite}`,
    { details: { backfill, datasets: later, digests } },
  );
}

function undoingOf(target: Target, undos: readonly Undo[], points: readonly RestorePoint[]): Undoing {
  const undo = undos.find((each) => each.target === target) as Undo;
  const point = points.find(({ dataset }) => dataset === target.dataset) as RestorePoint;
  return { target, undo, deletes: point.inserted, updates: point.updated, source: undoneUpdates(undo) };
}

async function carryOut(tx: Tx, steps: readonly Step<Undoing>[]): Promise<MergeCounts[]> {
  const deleted = new Map<string, number>();
  const written: Omit<MergeCounts, "deleted">[] = [];
  for (const { change } of [...steps].reverse()) await clearTheWay(tx, change.undo);
  await writeInOrder(tx, steps, {
    remove: async ({ change: { target, undo } }) => void deleted.set(target.dataset, await undoInserts(tx, undo)),
    write: async ({ change: { target, undo } }) => {
      const updated = await undoUpdates(tx, undo);
      const { inserted, rewritten } = await undoDeletes(tx, undo);
      written.push({ dataset: target.dataset, inserted, updated: updated + rewritten });
    },
  });
  return written.map((counts) => ({ ...counts, deleted: deleted.get(counts.dataset) ?? 0 }));
}

async function finish(tx: Tx, request: Rollback, datasets: readonly MergeCounts[], loss: Loss): Promise<MergeReport> {
  await restorePointers(tx, request.backfill);
  await deleteRestorePoints(tx, request.backfill);
  await noteOwnWrites(
    tx,
    datasets.map(({ dataset }) => dataset),
  );
  for (const { derived, restorePoint } of request.datasets) {
    await dropTable(tx, restorePoint);
    await recordWrites(tx, { dataset: derived.name, ...(await writeCounts(tx, derived)) });
  }
  await tellCounts(tx);
  await endReservations(tx, request.backfill);
  await markRolledBack(tx, request.backfill, request.reason);
  const report: MergeReport = { backfill: request.backfill, state: "rolled_back", datasets };
  await request.audit(tx, report, loss);
  return report;
}
