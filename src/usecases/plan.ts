/**
 * Planning: everything that a plan depends on is read under one snapshot, the pure planner decides, and the plan is
 * stored as it was hashed. A preview does the same and stores nothing.
 */
import { randomInt } from "node:crypto";
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived, Source } from "../catalog/dataset.ts";
import { type DataShape, definitionOf, type MetadataShape, metadataShape } from "../catalog/definition.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { personOf } from "../governance/roles.ts";
import { canonicalJson, hashOf } from "../hash.ts";
import {
  type DatasetExpectation,
  makePlan as freezePlan,
  type Plan,
  type PlanRequest,
  type RequestedExpectation,
  type RequestedPhases,
  recomputeSteps,
} from "../plan.ts";
import type { LiveContent, LiveMap } from "../planner/changes.ts";
import { forecastOf } from "../planner/forecast.ts";
import type { EarlierRun, Fingerprints } from "../planner/input.ts";
import { basisPartitions, completePlan, type Draft, draftPlan } from "../planner/planner.ts";
import { refuseStopped } from "../planner/preflight.ts";
import { stepsReport } from "../planner/report.ts";
import { suspectReads } from "../planner/suspects.ts";
import { appendAudit } from "../store/audit.ts";
import { decisionOf, insertBackfill } from "../store/backfills.ts";
import { changedReads, earlierContents, liveContents, liveDigests } from "../store/contents.ts";
import { definitionsBehind, type KeptDefinition, keepDefinitions } from "../store/definitions.ts";
import { activeReservations } from "../store/reservations.ts";
import { liveProcesses, taskSpeeds } from "../store/status.ts";
import { currentTraceparent, withSpan } from "../telemetry/spans.ts";
import type { Tx } from "../tx.ts";
import { requireAskable } from "../validation/askable.ts";
import { requireAssumptions } from "../validation/assumptions.ts";
import { liveColumns } from "../warehouse/columns.ts";
import { requireCondition } from "../warehouse/condition.ts";
import { describeTransform } from "../warehouse/describe.ts";
import { hashAlgorithm } from "../warehouse/digest.ts";
import { extentOf, partitionIndexWarning } from "../warehouse/extent.ts";
import { dataShapeOf, fingerprintOf, readsOfInputs } from "../warehouse/fingerprint.ts";
import { pins } from "../warehouse/session.ts";
import { requirementFor } from "./approved.ts";
import type { Shapes } from "./compatibility.ts";
import { type Context, requireBackfill } from "./context.ts";
import { type PartitionChoice, rangesOfChoice } from "./partitions.ts";
import { requireAllInSight } from "./permitted.ts";
import { preflightOf, requireCompatible } from "./preflight.ts";
import { type SampleInput, samplePlan } from "./sample.ts";

export interface PlanInput {
  /** Datasets to recompute on request. Without any, what changed in the definitions is planned. */
  readonly datasets?: readonly (Derived | string)[] | undefined;
  /** With datasets: plan what changed in them, instead of recomputing all of them. */
  readonly changes?: boolean | undefined;
  /** Half-open, aligned to partitions. Everything that exists where left out. */
  readonly window?: { readonly from: string | Date; readonly to: string | Date } | undefined;
  /** Labels or ordinal ranges, instead of a window. */
  readonly partitions?: PartitionChoice | undefined;
  /** With a plan of changes: they hold from this date (2001-01-31) on, and what begins earlier stays as it is. */
  readonly forwardFrom?: string | undefined;
  /** Which partitions go first where criticality does not decide. Default: the oldest. */
  readonly order?: "newest" | "oldest" | undefined;
  /** When it should be done, with its offset (2001-01-31T06:00Z). The forecast says whether that can be met. */
  readonly deadline?: string | Date | undefined;
  /** A backfill that this one takes the place of: what it has computed and verified is taken over. */
  readonly continues?: string | undefined;
  /** What is expected to change, at most; anything beyond holds the backfill before it is verified. */
  readonly expect?: RequestedExpectation | undefined;
  /** Begin with a few partitions from all over, of what matters least; then the phases, by default 1%, 10% and the rest. */
  readonly pilot?: boolean | undefined;
  /** Run in steps that reach these shares of the partitions, rising, up to 1. */
  readonly phases?: readonly number[] | undefined;
  /** What stands after each step: `automatic` (default) goes on if nothing is found, `approval` waits for an approver. */
  readonly gate?: RequestedPhases["gate"] | undefined;
  /** Compute some of it now, apart, and tell what it would change and cost. Part of the forecast, not of what is decided. */
  readonly sample?: SampleInput | undefined;
  /** Why; it is part of the plan that others approve. */
  readonly reason: string;
}

/** Plans without storing. */
export async function preview(context: Context, input: PlanInput): Promise<Plan> {
  const request = requestOf(context.catalog, input);
  return withSpan("rederive plan", { "rederive.request": request.kind }, async () => {
    const made = await makePlan(context, request, input.reason);
    return withSample(context, made, input.sample);
  });
}

/** Plans and stores; the backfill is then `planned`. Returns its id with the plan. */
export async function plan(context: Context, input: PlanInput): Promise<{ id: string; plan: Plan }> {
  const request = requestOf(context.catalog, input);
  return withSpan("rederive plan", { "rederive.request": request.kind }, async (span) => {
    const made = await makePlan(context, request, input.reason);
    const plan = await withSample(context, made, input.sample);
    const id = newBackfillId();
    span.setAttribute("rederive.backfill", id);
    await context.database.transaction(async (tx) => {
      await keepDefinitions(tx, definitionsOf(made.fingerprints));
      await insertBackfill(tx, {
        id,
        planHash: plan.hash,
        decision: canonicalJson(plan.decision),
        forecast: plan.forecast,
        reason: input.reason,
        environment: context.settings.environment,
        requestedBy: personOf(context.actor),
        requirement: requirementFor(context, plan.decision, plan.forecast),
        traceparent: currentTraceparent(),
      });
      await appendAudit(tx, {
        actor: context.actor.name,
        act: "backfill.plan",
        backfill: id,
        reason: input.reason,
        planHash: plan.hash,
        details: {
          request,
          steps: decidedSteps(context.catalog, plan),
          tasks: plan.forecast.tasks,
          sampled: plan.forecast.sample?.tasks ?? 0,
        },
      });
    });
    return { id, plan };
  });
}

/** Why each dataset is recomputed or not, and where, for the audit trail; scattered partitions are in the plan itself. */
function decidedSteps(catalog: Catalog, plan: Plan) {
  const { steps } = stepsReport(catalog, plan, { backfill: null, state: "planned" });
  return steps.map(({ dataset, action, reason, partitions }) => ({
    dataset,
    action,
    reason,
    partitions: partitions.slice(0, 20),
    ranges: partitions.length,
  }));
}

/** The same decision, with a forecast that a part of it was computed for. */
async function withSample(context: Context, { plan, draft }: Made, input: SampleInput | undefined): Promise<Plan> {
  if (input === undefined) return plan;
  const { sample, speeds } = await samplePlan(context, plan, input);
  const measured = { ...draft.input, speeds: new Map([...(draft.input.speeds ?? []), ...speeds]) };
  const forecast = forecastOf(measured, plan.decision, draft.tasks);
  return freezePlan(plan.decision, { ...forecast, sample });
}

/** What a later plan needs to say what changed, and not only that something did. */
function definitionsOf(fingerprints: ReadonlyMap<string, Fingerprinted>): KeptDefinition[] {
  return [...fingerprints].flatMap(([dataset, { fingerprint, shape, metadata, metadataShape }]) => [
    { hash: fingerprint, dataset, content: shape },
    { hash: metadata, dataset, content: metadataShape },
  ]);
}

/** A stored plan. */
export async function openBackfill(context: Context, id: string): Promise<{ id: string; plan: Plan }> {
  const row = await requireBackfill(context.database, id);
  return { id, plan: { hash: row.planHash, decision: decisionOf(row), forecast: row.forecast } };
}

function requestOf(catalog: Catalog, input: PlanInput): PlanRequest {
  if (input.reason.trim() === "") throw new RederiveError("usage", "a plan needs a reason, for those who review it");
  const datasets = input.datasets?.map((dataset) => (typeof dataset === "string" ? dataset : dataset.name));
  const common = {
    ...(input.order === undefined ? {} : { order: input.order }),
    ...(input.deadline === undefined ? {} : { deadline: timeText(input.deadline) }),
    ...(input.continues === undefined ? {} : { continues: input.continues }),
    ...(input.expect === undefined ? {} : { expect: input.expect }),
    ...phasesOf(input),
  };
  if (datasets === undefined || input.changes === true) {
    if (input.window !== undefined || input.partitions !== undefined) {
      throw new RederiveError(
        "usage",
        "a window or partitions belong to a request for datasets, not to a plan of changes",
      );
    }
    const forward = input.forwardFrom === undefined ? {} : { forwardFrom: input.forwardFrom };
    return { kind: "changes", ...(datasets === undefined ? {} : { datasets }), ...forward, ...common };
  }
  if (input.forwardFrom !== undefined) {
    throw new RederiveError(
      "usage",
      "a change holds forward from a date in a plan of changes; a request for datasets has a window",
    );
  }
  return {
    kind: "datasets",
    datasets,
    ...(input.window === undefined
      ? {}
      : { window: { from: timeText(input.window.from), to: timeText(input.window.to) } }),
    ...(input.partitions === undefined ? {} : { partitions: rangesOfChoice(catalog, datasets, input.partitions) }),
    ...common,
  };
}

function phasesOf({ pilot = false, phases, gate }: PlanInput): { phases?: RequestedPhases } {
  if (!pilot && phases === undefined) {
    if (gate === undefined) return {};
    throw new RederiveError("usage", "a gate stands between phases; say which, or begin with a pilot");
  }
  return { phases: { pilot, shares: phases ?? [0.01, 0.1, 1], gate: gate ?? "automatic" } };
}

function timeText(time: string | Date): string {
  return typeof time === "string" ? time : time.toISOString();
}

interface Made {
  readonly plan: Plan;
  readonly draft: Draft;
  readonly fingerprints: ReadonlyMap<string, Fingerprinted>;
}

async function makePlan(context: Context, request: PlanRequest, requestReason: string): Promise<Made> {
  const { catalog, settings } = context;
  const { draft, digests, shapes, fingerprints } = await context.database.transaction(
    async (tx) => {
      const all = [...catalog.datasets.values()];
      const derived = all.filter((dataset): dataset is Derived => dataset.kind === "derived");
      const shapes = await requireCompatible(tx, catalog);
      const extents = await extentsOfSources(tx, sourcesOf(catalog));
      const fingerprints = await fingerprintsOf(context, tx, derived);
      const live = await liveByDataset(tx);
      const draft = draftPlan({
        catalog,
        request,
        requestReason,
        environment: settings.environment,
        pins,
        hashAlgorithm,
        live,
        inputsChanged: await inputsChanged(tx, catalog, extents, live),
        extents,
        fingerprints,
        ...(await behindLive(tx, live)),
        activeReservations: await activeReservations(tx),
        ...(request.continues === undefined ? {} : { earlier: await earlierRun(tx, request.continues) }),
        speeds: await taskSpeeds(
          tx,
          derived.map((dataset) => dataset.name),
        ),
        concurrency: Math.max(1, await liveProcesses(tx, "worker")) * settings.concurrency,
        now: Date.now(),
        notices: await noticesOf(tx, all),
        maxTasks: settings.maxTasks,
      });
      await requireConditions(tx, catalog, draft.decision.expect ?? []);
      await requireChecks(tx, catalog, draft.decision);
      await requireAssumptions(tx, catalog, recomputeSteps(draft.decision));
      const digests = await liveDigests(tx, basisPartitions(draft.decision.steps));
      return { draft, digests, shapes, fingerprints };
    },
    { isolation: "repeatable read" },
  );
  requireAllInSight(
    context,
    recomputeSteps(draft.decision).map(({ dataset }) => dataset),
  );
  const looked = await withPreflight(context, draft, shapes);
  return { plan: completePlan(looked, digests), draft: looked, fingerprints };
}

/** What is found before anybody approves is told with the forecast; what stops a plan is thrown. */
async function withPreflight({ database, settings }: Context, draft: Draft, shapes: Shapes): Promise<Draft> {
  const { catalog, extents, speeds = new Map() } = draft.input;
  const { steps } = draft.decision;
  const { maxCandidateBytes } = settings;
  const preflight = await preflightOf(database, { catalog, steps, shapes, extents, speeds, maxCandidateBytes });
  refuseStopped(preflight.findings, "the plan cannot be carried out");
  return { ...draft, input: { ...draft.input, preflight } };
}

/** Conditions are compiled while somebody looks, and not when a run of hours has come to its end. */
async function requireConditions(tx: Tx, catalog: Catalog, expect: readonly DatasetExpectation[]): Promise<void> {
  for (const { dataset, where } of expect) {
    const derived = catalog.datasets.get(dataset);
    if (where !== undefined && derived?.kind === "derived") await requireCondition(tx, derived, where);
  }
}

/** So are the checks of everything that is computed or judged anew. */
async function requireChecks(
  tx: Tx,
  catalog: Catalog,
  decision: Pick<Plan["decision"], "steps" | "validation">,
): Promise<void> {
  const names = [...recomputeSteps(decision), ...decision.validation].map(({ dataset }) => dataset);
  for (const name of new Set(names)) {
    const derived = catalog.datasets.get(name);
    if (derived?.kind === "derived") await requireAskable(tx, derived);
  }
}

/** What is live, by dataset. */
export async function liveByDataset(tx: Tx): Promise<Map<string, LiveContent[]>> {
  const live = new Map<string, LiveContent[]>();
  for (const { dataset, ...content } of await liveContents(tx)) {
    const known = live.get(dataset);
    if (known === undefined) live.set(dataset, [content]);
    else known.push(content);
  }
  return live;
}

async function inputsChanged(
  tx: Tx,
  catalog: Catalog,
  extents: ReadonlyMap<string, Ranges>,
  live: LiveMap,
): Promise<Map<string, Ranges>> {
  const suspects = suspectReads(catalog, extents, live);
  if (suspects.size === 0) return suspects;
  return changedReads(
    tx,
    [...suspects].map(([dataset, partitions]) => ({ dataset, partitions })),
  );
}

/** What stands behind the fingerprints and metadata of live content. */
async function behindLive(
  tx: Tx,
  live: LiveMap,
): Promise<{ shapes: Map<string, DataShape>; metadata: Map<string, MetadataShape> }> {
  const contents = [...live.values()].flat();
  const hashes = [...new Set(contents.map((content) => content.fingerprint))];
  const metadata = [...new Set(contents.flatMap((content) => content.metadata ?? []))];
  return {
    shapes: await definitionsBehind<DataShape>(tx, hashes),
    metadata: await definitionsBehind<MetadataShape>(tx, metadata),
  };
}

async function earlierRun(tx: Tx, backfill: string): Promise<EarlierRun> {
  await requireBackfill(tx, backfill);
  const datasets = await earlierContents(tx, backfill);
  return { backfill, datasets: new Map(datasets.map((each) => [each.dataset, each])) };
}

export function sourcesOf(catalog: Catalog): Source[] {
  return [...catalog.datasets.values()].filter((dataset): dataset is Source => dataset.kind === "source");
}

export async function extentsOfSources(tx: Tx, sources: readonly Source[]): Promise<Map<string, Ranges>> {
  const extents = new Map<string, Ranges>();
  for (const source of sources) extents.set(source.name, await extentOf(tx, source));
  return extents;
}

type Fingerprinted = Fingerprints & { readonly shape: DataShape; readonly metadataShape: MetadataShape };

async function fingerprintsOf(
  context: Context,
  tx: Tx,
  derived: readonly Derived[],
): Promise<Map<string, Fingerprinted>> {
  const { catalog, lock } = context;
  const fingerprints = new Map<string, Fingerprinted>();
  for (const dataset of derived) {
    const description = await describeTransform(tx, dataset);
    const columns = await liveColumns(tx, dataset);
    const metadata = metadataShape(dataset, catalog.criticalityOf(dataset.name));
    fingerprints.set(dataset.name, {
      fingerprint: fingerprintOf(dataset, description, columns, lock),
      definition: definitionOf(dataset, lock),
      metadata: hashOf(metadata),
      shape: dataShapeOf(dataset, description, columns, lock),
      metadataShape: metadata,
      reads: readsOfInputs(dataset, description),
    });
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
