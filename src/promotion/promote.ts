/**
 * Promotion: the candidates of a backfill become live, all at one instant.
 *
 * 1. The backfill becomes `promoting`, in a transaction of its own; a promotion whose process died is taken over.
 * 2. The preflight refuses by name what a merge would break, before any lock is taken.
 * 3. One transaction: locks; state, plan, holds and tasks again; the preflight again; differences into restore points;
 *    what the rows forbid; deletes, updates, inserts in foreign-key order; comparison with the candidates; live pointers;
 *    state `promoted` and the audit row.
 * 4. If it does not come to a commit, the backfill is `verified` again and nothing live has changed.
 */
import { isRederiveError, messageOf, RederiveError, sqlState } from "../errors.ts";
import { sha256 } from "../hash.ts";
import type { Decision } from "../plan.ts";
import type { MergeCounts, MergeReport } from "../report.ts";
import { lockBackfill } from "../store/backfills.ts";
import { outdatedUnchanged } from "../store/cutoff.ts";
import {
  promotedSincePlan,
  publishStamps,
  publishUnchanged,
  recordReads,
  stampedPartitions,
  unchangedTasks,
} from "../store/live.ts";
import { movedReads, movedSinceStart } from "../store/moves.ts";
import { backToVerified, beginPromoting, markPromoted, stateOf, unreadiness } from "../store/promotions.ts";
import { reserveAgain } from "../store/reservations.ts";
import { insertRestorePoint, readRestorePoints } from "../store/restore-points.ts";
import { recordWrites } from "../store/writes.ts";
import type { Database, Tx } from "../tx.ts";
import { createSchema, restoreSchema } from "../warehouse/candidate.ts";
import { type Differences, findDifferences } from "../warehouse/compare.ts";
import { deleteRows, insertRows, updateRows, verifyMerge } from "../warehouse/merge.ts";
import { readMergeable } from "../warehouse/preflight.ts";
import { createRestorePoint } from "../warehouse/restore.ts";
import { promotedUpdates } from "../warehouse/swaps.ts";
import { loadTargets, type MergeInput, type Target } from "../warehouse/target.ts";
import { tellCounts, writeCounts } from "../warehouse/writes.ts";
import { type AttemptOptions, attempt } from "./attempt.ts";
import { type Change, inOrder, writeInOrder } from "./order.ts";

export interface Promotion {
  readonly backfill: string;
  /** The plan that was reviewed; another one in the store is refused. */
  readonly planHash: string;
  /** Every dataset that the backfill recomputed, in any order. */
  readonly datasets: readonly MergeInput[];
  /** The plan's decision on content that need not be computed again. */
  readonly unchanged: Decision["unchanged"];
  /** Writes the audit row, in the promotion's transaction, as its last step. */
  readonly audit: (tx: Tx, report: MergeReport) => Promise<void>;
  readonly options?: AttemptOptions;
}

/** One dataset on its way from its candidate to its live table. */
interface Merge extends Change {
  readonly found: Differences;
}

/**
 * Makes the candidates live. Errors: wrong_state, held, plan_stale, overlapping_plan, promote_refused (all
 * problems in one message), promote_deferred, verification_failed. After any of them nothing live has changed.
 */
export async function promote(database: Database, promotion: Promotion): Promise<MergeReport> {
  await begin(database, promotion.backfill);
  try {
    await preflight(database, promotion);
    return await attempt(database, {
      options: promotion.options ?? {},
      datasets: promotion.datasets,
      work: (tx) => promoteInside(tx, promotion),
      violation: {
        code: "promote_refused",
        advice: "the candidate does not fit beside rows outside of this backfill; mend those or plan them too",
      },
    });
  } catch (error) {
    return afterFailure(database, promotion, error);
  }
}

async function begin(database: Database, backfill: string): Promise<void> {
  const begun = await beginPromoting(database, backfill);
  if (begun === "begun") return;
  if (begun === undefined) throw new RederiveError("not_found", `there is no backfill ${backfill}`);
  const what = begun === "busy" ? "is being promoted by another process right now" : `is ${begun}`;
  throw new RederiveError(
    "wrong_state",
    `backfill ${backfill} ${what}; only a verified or rolled back one can be promoted`,
    {
      details: { backfill, state: begun },
    },
  );
}

/** Everything that can be known without locks, so that a refusal costs nobody anything. */
async function preflight(database: Database, promotion: Promotion): Promise<void> {
  await database.transaction(async (tx) => {
    await createSchema(tx, restoreSchema);
    await readMergeable(tx, await loadTargets(tx, promotion.datasets));
  });
}

async function promoteInside(tx: Tx, promotion: Promotion): Promise<MergeReport> {
  await requireReady(tx, promotion);
  const targets = await loadTargets(tx, promotion.datasets);
  const facts = await readMergeable(tx, targets);
  const steps = await inOrder(tx, targets, facts, (target) => findMerge(tx, promotion.backfill, target));
  await writeInOrder(tx, steps, {
    remove: ({ change: { target, deletes }, rewrites }) => deleteRows(tx, target, deletes + rewrites),
    write: async ({ change: { target, updates, found }, rewrites }) => {
      await updateRows(tx, target, updates - rewrites);
      await insertRows(tx, target, found, rewrites);
    },
  });
  const datasets = [];
  for (const { change } of steps) datasets.push(await verified(tx, promotion.backfill, change));
  await publish(tx, promotion);
  const report: MergeReport = { backfill: promotion.backfill, state: "promoted", datasets };
  await promotion.audit(tx, report);
  return report;
}

/** Locks the backfill's row for the rest of the transaction and checks again what was true when it was begun. */
async function requireReady(tx: Tx, promotion: Promotion): Promise<void> {
  const row = await lockBackfill(tx, promotion.backfill);
  if (row?.state !== "promoting") {
    throw new RederiveError(
      "wrong_state",
      `backfill ${promotion.backfill} is ${row?.state ?? "gone"} and no longer being promoted`,
    );
  }
  if (row.planHash !== promotion.planHash || sha256(row.decision) !== promotion.planHash) {
    throw new RederiveError(
      "plan_stale",
      `the stored plan ${row.planHash} is not the plan ${promotion.planHash} that was reviewed`,
    );
  }
  const newer = await promotedSincePlan(tx, promotion.backfill);
  if (newer.length > 0) {
    throw new RederiveError(
      "plan_stale",
      `${newer.join(", ")} was promoted over the same partitions after backfill ${promotion.backfill} was planned; plan again`,
      { details: { newer } },
    );
  }
  // Those of one that was rolled back, or could not be promoted since, have ended.
  await reserveAgain(tx, promotion.backfill, ["read", "write"]);
  await requireSameReads(tx, promotion.backfill);
  await requireAsPlanned(tx, promotion);
  const { held, unfinished } = await unreadiness(tx, promotion.backfill);
  if (held.length > 0) {
    throw new RederiveError(
      "held",
      `${held.join(", ")} of backfill ${promotion.backfill} is held; resume, retry or cancel first`,
      {
        details: { held },
      },
    );
  }
  if (unfinished > 0) {
    throw new RederiveError("wrong_state", `${unfinished} tasks of backfill ${promotion.backfill} are not done`, {
      details: { unfinished },
    });
  }
}

/** What tasks read live is written down as what is live now: it has to be the same. */
async function requireSameReads(tx: Tx, backfill: string): Promise<void> {
  const moved = await movedReads(tx, backfill);
  if (moved.length === 0) return;
  const what = moved.map(({ dataset, input, tasks }) => `${tasks} tasks of ${dataset} read ${input}`);
  throw new RederiveError("plan_stale", `${what.join("; ")} before it was promoted anew or rolled back; plan again`, {
    details: { backfill, moved },
  });
}

/**
 * What the plan leaves as it is gets the plan's fingerprint, so it has to be what the plan saw. A running backfill holds it
 * still; between a rollback and the next promotion anybody may promote over it.
 */
async function requireAsPlanned(tx: Tx, { backfill, unchanged }: Promotion): Promise<void> {
  const datasets = await movedSinceStart(tx, backfill, unchanged);
  if (datasets.length === 0) return;
  throw new RederiveError(
    "plan_stale",
    `partitions of ${datasets.join(", ")} that backfill ${backfill} leaves as they are were promoted or rolled back after it was started; plan again`,
    { details: { backfill, datasets } },
  );
}

/** Fills the restore point; nothing live is written yet. */
async function findMerge(tx: Tx, backfill: string, target: Target): Promise<Merge> {
  await createRestorePoint(tx, target);
  const found = await findDifferences(tx, target, await stampedPartitions(tx, backfill, target.dataset));
  return { target, found, deletes: found.deletes, updates: found.updates, source: promotedUpdates(target) };
}

async function verified(tx: Tx, backfill: string, { target, found }: Merge): Promise<MergeCounts> {
  const inserted = found.inserts + (await verifyMerge(tx, target, found));
  const counts: MergeCounts = { dataset: target.dataset, inserted, updated: found.updates, deleted: found.deletes };
  await insertRestorePoint(tx, backfill, { ...counts, wasEmpty: found.wasEmpty });
  return counts;
}

async function publish(tx: Tx, promotion: Promotion): Promise<void> {
  const { backfill } = promotion;
  for (const { derived } of promotion.datasets) {
    await publishStamps(tx, backfill, derived.name);
    await recordWrites(tx, { dataset: derived.name, ...(await writeCounts(tx, derived)) });
  }
  await tellCounts(tx);
  await requireUnchanged(tx, backfill);
  const unchangedContent = [...promotion.unchanged, ...(await unchangedTasks(tx, backfill))];
  for (const unchanged of unchangedContent) await publishUnchanged(tx, { backfill, ...unchanged });
  await recordReads(tx, backfill);
  if (await markPromoted(tx, backfill)) return;
  throw new RederiveError("wrong_state", `backfill ${backfill} is no longer being promoted`);
}

/** What was decided while tasks ran, by their stamps, is proved by the content that is live from now on. */
async function requireUnchanged(tx: Tx, backfill: string): Promise<void> {
  const outdated = [...(await outdatedUnchanged(tx, backfill))];
  if (outdated.length === 0) return;
  const names = outdated.map(([dataset]) => dataset).sort();
  throw new RederiveError(
    "plan_stale",
    `partitions of ${names.join(", ")} were left as they are, but what is live changed since; retry them, or plan again`,
    { details: { backfill, datasets: outdated.map(([dataset, partitions]) => ({ dataset, partitions })) } },
  );
}

/**
 * The transaction did not say that it committed. Where the connection broke the commit may still have happened: the
 * state tells, as it is part of the same transaction.
 */
async function afterFailure(database: Database, promotion: Promotion, error: unknown): Promise<MergeReport> {
  const { backfill } = promotion;
  const unknown = !isRederiveError(error) && sqlState(error) === undefined;
  if (unknown && (await stateOf(database, backfill)) === "promoted") {
    return { backfill, state: "promoted", datasets: (await readRestorePoints(database, backfill)).map(countsOf) };
  }
  await backToVerified(database, backfill, messageOf(error));
  throw error;
}

function countsOf({ dataset, inserted, updated, deleted }: MergeCounts): MergeCounts {
  return { dataset, inserted, updated, deleted };
}
