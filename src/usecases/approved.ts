/**
 * Whether enough people have agreed to a plan, to its promotion or to a rollback, as of one transaction: the policy of this
 * moment and that of the plan, against what was said and what is true now.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { isRederiveError } from "../errors.ts";
import { type Binding, type Judged, judge, needsOf, requireApprovals } from "../governance/approvals.ts";
import { type PlanFacts, requirementOf, strictest } from "../governance/policy.ts";
import { hashOf } from "../hash.ts";
import { type Decision, type Forecast, recomputeSteps } from "../plan.ts";
import type { Requirement } from "../report.ts";
import { type ApprovedAct, readApprovals } from "../store/approvals.ts";
import { type BackfillRow, decisionOf } from "../store/backfills.ts";
import type { Tx } from "../tx.ts";
import { columnsOfTables } from "../warehouse/columns.ts";
import { tableName } from "../warehouse/quote.ts";
import { type Context, requireSameEnvironment } from "./context.ts";

/**
 * Throws unless enough people have agreed, as of this transaction. `digest` is that of the difference about to be made, or
 * of what a rollback does to the rows of others.
 */
export async function requireApproved(
  context: Context,
  tx: Tx,
  row: BackfillRow,
  { act, digest }: { readonly act: ApprovedAct; readonly digest?: string | undefined },
): Promise<void> {
  requireSameEnvironment(context, row);
  const needs = needsOf(requirementNow(context, row), act);
  if (needs.needed === 0 && needs.signOff.length === 0) return;
  requireApprovals(await judgedNow(context, tx, row, act, digest), act, needs, digest);
}

/** Whether `start` would be let through now. */
export async function isApproved(context: Context, tx: Tx, row: BackfillRow): Promise<boolean> {
  try {
    await requireApproved(context, tx, row, { act: "start" });
    return true;
  } catch (error) {
    if (isRederiveError(error)) return false;
    throw error;
  }
}

/** What the policy of this moment asks for a plan. */
export function requirementFor(context: Context, decision: Decision, forecast: Forecast): Requirement {
  return requirementOf(context.settings.governance, factsOf(context.catalog, decision, forecast));
}

/** A policy that became stricter since the plan was made holds for it as well. */
export function requirementNow(context: Context, row: BackfillRow): Requirement {
  return strictest(row.requirement, requirementFor(context, decisionOf(row), row.forecast));
}

function factsOf(catalog: Catalog, decision: Decision, forecast: Forecast): PlanFacts {
  const steps = recomputeSteps(decision);
  const touched = new Set(steps.map(({ dataset }) => dataset));
  const known = forecast.datasets.every(({ rows }) => rows !== undefined);
  return {
    rows: known ? forecast.datasets.reduce((sum, { rows }) => sum + (rows ?? 0), 0) : undefined,
    criticality: Math.max(0, ...steps.map(({ criticality }) => criticality)),
    owners: catalog.exposures
      .filter(({ reads }) => reads.some(({ name }) => touched.has(name)))
      .flatMap(({ owner }) => (owner === undefined ? [] : [owner])),
  };
}

async function judgedNow(
  context: Context,
  tx: Tx,
  row: BackfillRow,
  act: ApprovedAct,
  digest: string | undefined,
): Promise<Judged> {
  return judge(await readApprovals(tx, row.id), act, { ...(await bindingOf(context, tx, row)), diffDigest: digest });
}

/** What approvals are bound to, as it is now. */
export async function bindingOf(context: Context, tx: Tx, row: BackfillRow): Promise<Binding> {
  return { requester: row.requestedBy, planHash: row.planHash, schemaHash: await schemaHash(context, tx, row) };
}

/** The columns of every table that the plan reads or writes. */
export async function schemaHash({ catalog }: Context, tx: Tx, row: BackfillRow): Promise<string> {
  const names = new Set(decisionOf(row).steps.map(({ dataset }) => dataset));
  const written = [...names].flatMap((name) => {
    const dataset = catalog.datasets.get(name);
    return dataset?.kind === "derived" ? [dataset as Derived] : [];
  });
  const tables = new Set(
    written.flatMap(({ table, inputs }) => [table, ...inputs.map(({ dataset }) => dataset.table)]),
  );
  const columns = await columnsOfTables(tx, [...tables].map(tableName));
  return hashOf(Object.fromEntries(columns));
}
