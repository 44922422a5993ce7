/**
 * Planning: everything that a plan depends on is read under one snapshot, the pure planner decides, and the plan is
 * stored as it was hashed. A preview does the same and stores nothing.
 */
import { randomInt } from "node:crypto";
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived, Source } from "../catalog/dataset.ts";
import { definitionOf } from "../catalog/definition.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { canonicalJson } from "../hash.ts";
import { type Plan, type PlanRequest, recomputeSteps } from "../plan.ts";
import type { LiveContent } from "../planner/changes.ts";
import { type Fingerprints, planBackfill } from "../planner/planner.ts";
import { appendAudit } from "../store/audit.ts";
import { decisionOf, insertBackfill } from "../store/backfills.ts";
import { liveContents, liveDigests } from "../store/contents.ts";
import { activeReservations } from "../store/reservations.ts";
import { liveProcesses, taskSpeeds } from "../store/status.ts";
import { currentTraceparent, withSpan } from "../telemetry/spans.ts";
import type { Tx } from "../tx.ts";
import { requireAssumptions } from "../validation/assumptions.ts";
import { liveColumns } from "../warehouse/columns.ts";
import { describeTransform } from "../warehouse/describe.ts";
import { hashAlgorithm } from "../warehouse/digest.ts";
import { extentOf, partitionIndexWarning } from "../warehouse/extent.ts";
import { fingerprintOf } from "../warehouse/fingerprint.ts";
import { pins } from "../warehouse/session.ts";
import { type Context, requireBackfill } from "./context.ts";
import { type PartitionChoice, rangesOfChoice } from "./partitions.ts";

export interface PlanInput {
  /** Datasets to recompute on request. Without any, what changed in the definitions is planned. */
  readonly datasets?: readonly (Derived | string)[] | undefined;
  /** With datasets: plan what changed in them, instead of recomputing all of them. */
  readonly changes?: boolean | undefined;
  /** Half-open, aligned to partitions. Everything that exists where left out. */
  readonly window?: { readonly from: string | Date; readonly to: string | Date } | undefined;
  /** Labels or ordinal ranges, instead of a window. */
  readonly partitions?: PartitionChoice | undefined;
  /** Why; it is part of the plan that others approve. */
  readonly reason: string;
}

/** Plans without storing. */
export async function preview(context: Context, input: PlanInput): Promise<Plan> {
  const request = requestOf(context.catalog, input);
  return withSpan("rederive plan", { "rederive.request": request.kind }, () =>
    makePlan(context, request, input.reason),
  );
}

/** Plans and stores; the backfill is then `planned`. Returns its id with the plan. */
export async function plan(context: Context, input: PlanInput): Promise<{ id: string; plan: Plan }> {
  const request = requestOf(context.catalog, input);
  return withSpan("rederive plan", { "rederive.request": request.kind }, async (span) => {
    const made = await makePlan(context, request, input.reason);
    const id = newBackfillId();
    span.setAttribute("rederive.backfill", id);
    await context.database.transaction(async (tx) => {
      await insertBackfill(tx, {
        id,
        planHash: made.hash,
        decision: canonicalJson(made.decision),
        forecast: made.forecast,
        reason: input.reason,
        environment: context.settings.environment,
        requestedBy: context.actor.name,
        traceparent: currentTraceparent(),
      });
      await appendAudit(tx, {
        actor: context.actor.name,
        act: "backfill.plan",
        backfill: id,
        reason: input.reason,
        planHash: made.hash,
        details: { request, tasks: made.forecast.tasks },
      });
    });
    return { id, plan: made };
  });
}

/** A stored plan. */
export async function openBackfill(context: Context, id: string): Promise<{ id: string; plan: Plan }> {
  const row = await requireBackfill(context.database, id);
  return { id, plan: { hash: row.planHash, decision: decisionOf(row), forecast: row.forecast } };
}

function requestOf(catalog: Catalog, input: PlanInput): PlanRequest {
  if (input.reason.trim() === "") throw new RederiveError("usage", "a plan needs a reason, for those who review it");
  const datasets = input.datasets?.map((dataset) => (typeof dataset === "string" ? dataset : dataset.name));
  if (datasets === undefined || input.changes === true) {
    if (input.window !== undefined || input.partitions !== undefined) {
      throw new RederiveError(
        "usage",
        "a window or partitions belong to a request for datasets, not to a plan of changes",
      );
    }
    return { kind: "changes", ...(datasets === undefined ? {} : { datasets }) };
  }
  return {
    kind: "datasets",
    datasets,
    ...(input.window === undefined
      ? {}
      : { window: { from: timeText(input.window.from), to: timeText(input.window.to) } }),
    ...(input.partitions === undefined ? {} : { partitions: rangesOfChoice(catalog, datasets, input.partitions) }),
  };
}

function timeText(time: string | Date): string {
  return typeof time === "string" ? time : time.toISOString();
}

async function makePlan(context: Context, request: PlanRequest, requestReason: string): Promise<Plan> {
  const { catalog, settings } = context;
  return context.database.transaction(
    async (tx) => {
      const all = [...catalog.datasets.values()];
      const derived = all.filter((dataset): dataset is Derived => dataset.kind === "derived");
      const sources = all.filter((dataset): dataset is Source => dataset.kind === "source");
      const made = planBackfill({
        catalog,
        request,
        requestReason,
        environment: settings.environment,
        pins,
        hashAlgorithm,
        live: await liveByDataset(tx),
        digests: await liveDigests(tx),
        extents: await extentsOfSources(tx, sources),
        fingerprints: await fingerprintsOf(context, tx, derived),
        activeReservations: await activeReservations(tx),
        secondsPerTask: await taskSpeeds(tx),
        concurrency: Math.max(1, await liveProcesses(tx, "worker")) * settings.concurrency,
        notices: await noticesOf(tx, all),
        maxTasks: settings.maxTasks,
      });
      await requireAssumptions(tx, catalog, recomputeSteps(made.decision));
      return made;
    },
    { isolation: "repeatable read" },
  );
}

async function liveByDataset(tx: Tx): Promise<Map<string, LiveContent[]>> {
  const live = new Map<string, LiveContent[]>();
  for (const { dataset, fingerprint, partitions } of await liveContents(tx)) {
    live.set(dataset, [...(live.get(dataset) ?? []), { fingerprint, partitions }]);
  }
  return live;
}

async function extentsOfSources(tx: Tx, sources: readonly Source[]): Promise<Map<string, Ranges>> {
  const extents = new Map<string, Ranges>();
  for (const source of sources) extents.set(source.name, await extentOf(tx, source));
  return extents;
}

async function fingerprintsOf(
  context: Context,
  tx: Tx,
  derived: readonly Derived[],
): Promise<Map<string, Fingerprints>> {
  const fingerprints = new Map<string, Fingerprints>();
  for (const dataset of derived) {
    const description = await describeTransform(tx, dataset);
    const fingerprint = fingerprintOf(dataset, description, await liveColumns(tx, dataset), context.lock);
    fingerprints.set(dataset.name, { fingerprint, definition: definitionOf(dataset, context.lock) });
  }
  return fingerprints;
}

async function noticesOf(tx: Tx, datasets: readonly (Source | Derived)[]): Promise<Map<string, string[]>> {
  const notices = new Map<string, string[]>();
  for (const dataset of datasets) {
    const warning = await partitionIndexWarning(tx, dataset);
    if (warning !== undefined) notices.set(dataset.name, [warning]);
  }
  return notices;
}

/** Letters and digits that are not mistaken for one another. */
const alphabet = "23456789abcdefghjkmnpqrstuvwxyz";

function newBackfillId(): string {
  return `bf_${Array.from({ length: 10 }, () => alphabet[randomInt(alphabet.length)]).join("")}`;
}
