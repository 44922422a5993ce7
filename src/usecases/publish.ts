/** Compare, promote, roll back: what the promotion functions need, gathered from the catalog and the store. */
import type { Derived } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import { requireChangeWindow } from "../governance/policy.ts";
import { authorize } from "../governance/roles.ts";
import { diff as compare } from "../promotion/diff.ts";
import { type DifferenceCounts, differenceDigest } from "../promotion/difference.ts";
import { promote as promoteDatasets } from "../promotion/promote.ts";
import { rollback as rollBackDatasets } from "../promotion/rollback.ts";
import type { DatasetDiff, Diff, MergeReport } from "../report.ts";
import { appendAudit } from "../store/audit.ts";
import { auditLag } from "../store/audit-chain.ts";
import { type BackfillRow, decisionOf, readDatasets } from "../store/backfills.ts";
import { endReservations } from "../store/reservations.ts";
import { recordPromotion } from "../telemetry/metrics.ts";
import { withSpan } from "../telemetry/spans.ts";
import { columnsHidden, type Hidden, maskRow } from "../warehouse/mask.ts";
import type { MergeInput } from "../warehouse/target.ts";
import { requireApproved } from "./approved.ts";
import { requireChained } from "./chained.ts";
import { type Context, requireBackfill, wrongState } from "./context.ts";
import type { Reasoned } from "./control.ts";
import { correctUnwatched } from "./unwatched.ts";

export interface DiffOptions {
  /** Sample rows of each kind and dataset. Default 3. */
  readonly samples?: number | undefined;
}

export interface PromoteInput extends Reasoned {
  /** Promote outside of the change window; admins alone. The audit trail says so. Default false. */
  readonly overrideWindow?: boolean | undefined;
}

export interface RollbackInput extends Reasoned {
  /** Rows written since the promotion: refuse and list them (default), overwrite them, or keep them. */
  readonly onLaterWrites?: "refuse" | "overwrite" | "keep" | undefined;
}

/** Compares what is computed so far with what is live, under one snapshot. */
export async function diff(context: Context, id: string, options: DiffOptions): Promise<Diff> {
  const row = await requireBackfill(context.database, id);
  requireComparable(row);
  const datasets = await mergeInputs(context, id);
  const found = await withSpan("rederive diff", { "rederive.backfill": id }, () =>
    compare(context.database, { backfill: id, datasets, samples: options.samples ?? 3 }),
  );
  const hidden = new Map(datasets.map(({ derived }) => [derived.name, columnsHidden(derived)]));
  return { ...found, datasets: found.datasets.map((each) => masked(each, hidden.get(each.dataset))) };
}

/** Samples without the values of masked columns; that such a column differs is still counted. */
export function masked<Described extends DatasetDiff>(diff: Described, hidden: Hidden | undefined): Described {
  if (hidden === undefined) return diff;
  const shown = (row: DatasetDiff["samples"][number]["before"]) => (row === null ? null : maskRow(row, hidden));
  const samples = diff.samples.map((sample) => ({
    ...sample,
    before: shown(sample.before),
    after: shown(sample.after),
  }));
  return { ...diff, samples };
}

/** Throws `wrong_state` where there are no candidates beside what is live. */
export function requireComparable(row: BackfillRow): void {
  if (["running", "paused", "held", "verified", "rolled_back"].includes(row.state)) return;
  throw wrongState(row, "compare", "there is something to compare between its start and its promotion");
}

export async function promote(context: Context, id: string, input: PromoteInput): Promise<MergeReport> {
  requireReason("promote", input.reason);
  requireWindow(context, input);
  const row = await requireBackfill(context.database, id);
  // What is missing is said before anybody's table is locked; what counts is asked again before the commit.
  await requireApproved(context, context.database, row, { act: "promote" });
  await requireChained(context);
  const datasets = await mergeInputs(context, id);
  return counted(context, "promote", row, () =>
    promoteDatasets(context.database, {
      backfill: id,
      planHash: row.planHash,
      datasets,
      unchanged: decisionOf(row).unchanged,
      options: attemptOptions(context),
      audit: async (tx, report) => {
        // A long promotion may have outlasted the window that it began in.
        requireWindow(context, input);
        const digest = await differenceDigest(tx, id, report.datasets.map(countsOf));
        await requireApproved(context, tx, row, { act: "promote", digest });
        // What is live now is for the next plan to build on.
        await endReservations(tx, id);
        await appendAudit(tx, {
          actor: context.actor.name,
          act: "backfill.promote",
          backfill: id,
          reason: input.reason,
          planHash: row.planHash,
          details: { datasets: report.datasets, digest, ...overridden(input) },
        });
      },
    }),
  );
}

export async function rollback(context: Context, id: string, input: RollbackInput): Promise<MergeReport> {
  requireReason("rollback", input.reason);
  const row = await requireBackfill(context.database, id);
  const { unchained } = await auditLag(context.database);
  const datasets = await mergeInputs(context, id);
  return counted(context, "rollback", row, () =>
    rollBackDatasets(context.database, {
      backfill: id,
      datasets,
      reason: input.reason,
      ...(input.onLaterWrites === undefined ? {} : { onLaterWrites: input.onLaterWrites }),
      options: attemptOptions(context),
      audit: async (tx, report, { later, digest }) => {
        // Rows of others are lost or left out: that takes two, who have seen which.
        if (digest !== undefined) await requireApproved(context, tx, row, { act: "rollback", digest });
        await appendAudit(tx, {
          actor: context.actor.name,
          act: "backfill.rollback",
          backfill: id,
          reason: input.reason,
          planHash: row.planHash,
          details: {
            datasets: report.datasets,
            unchained,
            onLaterWrites: input.onLaterWrites ?? "refuse",
            laterWrites: later.map(({ dataset, changed }) => ({ dataset, changed })),
            ...(digest === undefined ? {} : { digest }),
          },
        });
      },
    }),
  );
}

/** Every dataset that the backfill recomputes, as the catalog defines it. */
export async function mergeInputs(context: Pick<Context, "database" | "catalog">, id: string): Promise<MergeInput[]> {
  const rows = await readDatasets(context.database, id);
  return rows.map(({ dataset, candidate, restorePoint }) => {
    const derived = context.catalog.datasets.get(dataset);
    if (derived?.kind === "derived") return { derived: derived as Derived, candidate, restorePoint };
    throw new RederiveError(
      "code_drift",
      `the catalog has no derived dataset ${dataset}, which ${id} computed; use the code that it was planned with`,
      { details: { dataset } },
    );
  });
}

/** Checked by the clock of this process: minutes decide, and the audit trail has the database's time. */
function requireWindow({ settings, actor }: Context, { overrideWindow }: PromoteInput): void {
  if (overrideWindow === true) authorize(actor, "window.override");
  else requireChangeWindow(settings.governance.changeWindow, new Date());
}

function overridden({ overrideWindow }: PromoteInput): { overrideWindow?: true } {
  return overrideWindow === true ? { overrideWindow } : {};
}

function countsOf({ dataset, inserted, updated, deleted }: MergeReport["datasets"][number]): DifferenceCounts {
  return { dataset, added: inserted, removed: deleted, changed: updated };
}

function attemptOptions(context: Context): { attempts: number; lockTimeoutMs: number } {
  return { attempts: context.settings.promoteAttempts, lockTimeoutMs: context.settings.lockTimeoutMs };
}

async function counted(
  context: Context,
  act: "promote" | "rollback",
  row: BackfillRow,
  work: () => Promise<MergeReport>,
): Promise<MergeReport> {
  try {
    const report = await withSpan(
      `rederive ${act}`,
      { "rederive.backfill": row.id, "rederive.plan_hash": row.planHash },
      work,
      { traceparent: row.traceparent },
    );
    recordPromotion(act, "done");
    const published = report.datasets.map(({ dataset }) => dataset);
    // It is live, whatever becomes of this.
    await correctUnwatched(context, published).catch(() => {});
    return report;
  } catch (error) {
    recordPromotion(act, outcomeOf(error));
    throw error;
  }
}

function outcomeOf(error: unknown): "deferred" | "refused" | "failed" {
  if (!(error instanceof RederiveError)) return "failed";
  return error.code === "promote_deferred" ? "deferred" : "refused";
}

function requireReason(act: string, reason: string): void {
  if (reason.trim() === "") throw new RederiveError("usage", `${act} needs a reason, for the audit trail`);
}
