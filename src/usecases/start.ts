/**
 * Starts a planned backfill, in one transaction: the plan is checked against what is true now → its partitions are
 * reserved → the tasks, their edges and the candidate tables are made → the state becomes running → the act is audited.
 * Nothing is put into a queue here: the planner loop releases tasks from what this transaction committed, so a crash
 * before or after the commit leaves nothing half done.
 */
import type { Derived } from "../catalog/dataset.ts";
import { definitionOf, queueOf } from "../catalog/definition.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { hashOf } from "../hash.ts";
import { type Decision, type RecomputeStep, recomputeSteps } from "../plan.ts";
import { basisOf, basisPartitions } from "../planner/planner.ts";
import { reservationsOf } from "../planner/reservations.ts";
import { expandTasks } from "../planner/tasks.ts";
import { appendAudit } from "../store/audit.ts";
import { type BackfillRow, decisionOf, insertDatasets, moveBackfill, type NewDataset } from "../store/backfills.ts";
import { liveDigests } from "../store/contents.ts";
import { insertPhases } from "../store/phases.ts";
import { endReservations, reserve } from "../store/reservations.ts";
import { cancelTasks, insertTasks } from "../store/tasks.ts";
import type { Tx } from "../tx.ts";
import { requireAssumptions } from "../validation/assumptions.ts";
import { candidateNames, createCandidate } from "../warehouse/candidate.ts";
import { liveColumns, ownedOf } from "../warehouse/columns.ts";
import { requireApproved } from "./approved.ts";
import { type Context, requireLocked, wrongState } from "./context.ts";
import { rememberShapes, requireCompatible } from "./preflight.ts";

export async function start(context: Context, id: string): Promise<void> {
  await context.database.transaction(async (tx) => {
    const row = await requireLocked(tx, id);
    if (row.state !== "planned" && row.state !== "approved") {
      throw wrongState(row, "start", "a backfill is started once; plan again for another run");
    }
    const shapes = await requireCompatible(tx, context.catalog);
    const decision = checkedDecision(context, row);
    await requireApproved(context, tx, row, { act: "start" });
    await requireAssumptions(tx, context.catalog, recomputeSteps(decision));
    const { tasks, edges, phases } = expandTasks(context.catalog, decision);
    await giveUpEarlier(context, tx, id, decision.request.continues);
    await reserve(tx, id, reservationsOf(decision));
    await requireBasis(tx, id, decision);
    await makeDatasets(context, tx, id, recomputeSteps(decision));
    await insertTasks(tx, id, tasks, edges, prunableOf(decision));
    await insertPhases(tx, id, phases);
    await rememberShapes(tx, id, { catalog: context.catalog, steps: decision.steps, shapes });
    await moveBackfill(tx, { id, to: "running", reason: null });
    // A plan without work has nothing that could be overwritten.
    if (tasks.length === 0) await endReservations(tx, id);
    await appendAudit(tx, {
      actor: context.actor.name,
      act: "backfill.start",
      backfill: id,
      reason: row.reason,
      planHash: row.planHash,
      details: { tasks: tasks.length },
    });
  });
  context.wake();
}

/**
 * The backfill that this one takes the place of is cancelled with the start, so that nothing is written twice and its
 * partitions are free. What it has computed stays as long as this one may take it over.
 */
async function giveUpEarlier(context: Context, tx: Tx, id: string, earlier: string | undefined): Promise<void> {
  if (earlier === undefined) return;
  const row = await requireLocked(tx, earlier);
  if (row.state === "promoting") throw wrongState(row, "continue", "wait until its promotion is over, and plan again");
  const reason = `continued by ${id}`;
  if (!(await moveBackfill(tx, { id: earlier, to: "cancelled", reason }))) return;
  const tasks = await cancelTasks(tx, earlier);
  await endReservations(tx, earlier);
  await appendAudit(tx, {
    actor: context.actor.name,
    act: "backfill.cancel",
    backfill: earlier,
    reason,
    planHash: row.planHash,
    details: { from: row.state, tasks },
  });
}

/** The stored decision, where it is the one that was hashed, and made for this environment and these definitions. */
function checkedDecision(context: Context, row: BackfillRow): Decision {
  const decision = decisionOf(row);
  if (hashOf(decision) !== row.planHash) {
    throw new RederiveError(
      "plan_stale",
      `the stored plan of ${row.id} does not have the hash ${row.planHash} any more; plan again`,
    );
  }
  if (decision.environment !== context.settings.environment) {
    throw new RederiveError(
      "plan_stale",
      `${row.id} was planned for ${decision.environment}, this is ${context.settings.environment}; plan again here`,
    );
  }
  const drifted = recomputeSteps(decision).filter((step) => {
    const dataset = context.catalog.datasets.get(step.dataset);
    return dataset?.kind !== "derived" || definitionOf(dataset, context.lock) !== step.definition;
  });
  if (drifted.length > 0) {
    throw new RederiveError(
      "code_drift",
      `${drifted.map((step) => step.dataset).join(", ")} changed in the code since ${row.id} was planned; plan again`,
      { details: { datasets: drifted.map((step) => step.dataset) } },
    );
  }
  return decision;
}

/**
 * Asked with the partitions reserved: to reserve them waits for a promotion under way, and from then on nobody else
 * makes anything live there.
 */
async function requireBasis(tx: Tx, id: string, { steps, basis }: Decision): Promise<void> {
  if (basisOf(steps, await liveDigests(tx, basisPartitions(steps))) === basis) return;
  throw new RederiveError("plan_stale", `what is live changed since ${id} was planned; plan again`, {
    details: { backfill: id },
  });
}

function prunableOf(decision: Decision): Map<string, Ranges> {
  return new Map(recomputeSteps(decision).map(({ dataset, prunable }) => [dataset, prunable]));
}

async function makeDatasets(context: Context, tx: Tx, id: string, steps: readonly RecomputeStep[]): Promise<void> {
  const rows: NewDataset[] = [];
  for (const [ordinal, step] of steps.entries()) {
    const derived = context.catalog.datasets.get(step.dataset) as Derived;
    const names = candidateNames(step.dataset, id);
    await createCandidate(tx, derived, ownedOf(derived, await liveColumns(tx, derived)), names.candidate);
    rows.push({
      dataset: step.dataset,
      ordinal,
      partitions: step.partitions,
      fingerprint: step.fingerprint,
      definition: step.definition,
      queue: queueOf(derived),
      criticality: step.criticality,
      ...names,
    });
  }
  await insertDatasets(tx, id, rows);
}
