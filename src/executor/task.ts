/**
 * One attempt at a task, or at several short ones of a dataset together, as a pipeline over one record:
 *
 *   plan → claim → work → settle
 *
 * The claim is a transaction of its own, the work (work.ts) is another, both on the lane's writer, so that the backend
 * that a later attempt would have to end is the one that the claim wrote down. What cannot be done together is done one
 * by one under the same claims. Every outcome is a value; failure.ts records those that are none of the work's own.
 */

import type { Ranges } from "../catalog/ranges.ts";
import { isRederiveError, RederiveError } from "../errors.ts";
import type { Adoptable } from "../store/adoption.ts";
import type { ClaimRow } from "../store/claims.ts";
import { unchangedUpstreams } from "../store/cutoff.ts";
import { withSpan } from "../telemetry/spans.ts";
import type { TaskSpec } from "../warehouse/measure.ts";
import type { Session } from "../warehouse/session.ts";
import { adoptionsOf, rowsOfEarlier } from "./adopt.ts";
import { claimedOf, claimFor } from "./claim.ts";
import { giveBack, recordFailure, recordFailures, refusedBeforeClaim } from "./failure.ts";
import { later, type TaskOutcome, type TaskRef } from "./outcome.ts";
import { bindingsOf, type RunDataset, type RunPlan, readsPrunable } from "./run-plan.ts";
import { type Claimed, type Outcomes, ofAll, requireDerived, type Shared, type TaskContext } from "./task-context.ts";
import { type Attempt, type Part, type TaskPoint, work, workTogether } from "./work.ts";

/** Carries a task as far as it goes. Rejects only on faults of this program. */
export async function runTask(ref: TaskRef, context: TaskContext, traceparent?: string | null): Promise<TaskOutcome> {
  const outcomes = await runTasks([ref], context, traceparent);
  return outcomes.get(ref.task) as TaskOutcome;
}

/** The same for tasks of one dataset of one backfill, in one transaction where that is possible; outcomes by task. */
export async function runTasks(
  refs: readonly TaskRef[],
  context: TaskContext,
  traceparent?: string | null,
): Promise<Outcomes> {
  const [{ backfill, dataset }] = refs as readonly [TaskRef];
  let plan: RunPlan;
  try {
    plan = await context.plans.plan(backfill);
  } catch (error) {
    return ofAll(refs, unpreparable(error));
  }
  const tasks = refs.map(({ task }) => task);
  return await withSpan(
    "task",
    { "rederive.backfill": backfill, "rederive.dataset": dataset, "rederive.tasks": tasks },
    async (span) => {
      const outcomes = await attemptTasks(refs, context, plan);
      span.setAttribute("rederive.outcome", [...new Set([...outcomes.values()].map(nameOf))].join(", "));
      return outcomes;
    },
    { traceparent: traceparent ?? plan.traceparent },
  );
}

async function attemptTasks(refs: readonly TaskRef[], context: TaskContext, plan: RunPlan): Promise<Outcomes> {
  if (context.signal.aborted) return ofAll(refs, later("stopped"));
  let session: Session;
  let claims: ReadonlyMap<string, ClaimRow>;
  try {
    session = await context.lane.writer();
    claims = await withSpan("claim", {}, () => claimFor(refs, context, plan, session));
  } catch (error) {
    return ofAll(refs, await refusedBeforeClaim(refs, context, error));
  }
  const claimed = refs.flatMap((ref) => claimedOf(ref, claims.get(ref.task)));
  const outcomes = await runClaimed(claimed, context, plan, session);
  for (const ref of refs) {
    if (!outcomes.has(ref.task)) outcomes.set(ref.task, await unclaimed(ref, context, claims.get(ref.task)));
  }
  return outcomes;
}

async function runClaimed(
  claimed: readonly Claimed[],
  context: TaskContext,
  plan: RunPlan,
  session: Session,
): Promise<Outcomes> {
  if (claimed.length === 0) return new Map();
  const { worker, lane, database, heartbeat } = context;
  const stopping = new AbortController();
  const stop = (why: string) => stopping.abort(new RederiveError("fenced", `the attempt was stopped: ${why}`));
  const onAbort = () => stop("the worker stops");
  // Ending the backends is what interrupts a statement; unlike a late cancel request it cannot hit the next task.
  stopping.signal.addEventListener("abort", () => void lane.cut());
  const unwatch = claimed.map(({ ref, epoch }) => heartbeat.watch({ task: ref.task, epoch, stop }));
  context.signal.addEventListener("abort", onAbort);
  const at = async (point: TaskPoint, ref: TaskRef) => context.at?.(point, ref);
  const leaseLives = () => heartbeat.leaseLives();
  const { signal } = stopping;
  try {
    if (context.signal.aborted) onAbort();
    const shared = { context, worker, plan, session, lane, database, signal, leaseLives, at };
    return await settleAll(await workClaimed(claimed, shared), claimed, context);
  } finally {
    for (const end of unwatch) end();
    context.signal.removeEventListener("abort", onAbort);
  }
}

async function workClaimed(claimed: readonly Claimed[], shared: Shared): Promise<Outcomes> {
  const { context, plan } = shared;
  const [{ ref }] = claimed as readonly [Claimed];
  let dataset: RunDataset;
  let unchanged: ReadonlyMap<string, Ranges>;
  let adoptions: ReadonlyMap<string, Adoptable>;
  try {
    for (const each of claimed) await shared.at("claimed", each.ref);
    dataset = await context.plans.dataset(plan, requireDerived(context.catalog, ref.dataset));
    unchanged = await unchangedInputs(claimed, shared, dataset);
    adoptions = await adoptionsOf(claimed, dataset, shared.session);
  } catch (error) {
    return await recordFailures(claimed, shared, error);
  }
  const parts = claimed.map((each) => {
    const spec = specOf(plan, dataset, each.claim, unchanged);
    const adopts = rowsOfEarlier(dataset, adoptions.get(each.ref.task), spec.bindings);
    return { ...each, spec: adopts === undefined ? spec : { ...spec, adopts } };
  });
  // What was tried before is tried alone: whatever it did then, it does not do it to its neighbours.
  const fresh = parts.filter(({ claim }) => claim.epoch === 1);
  const done = fresh.length > 1 ? await workFresh(fresh, { ...shared, dataset, parts: fresh }) : new Map();
  for (const part of parts) {
    if (!done.has(part.ref.task)) done.set(part.ref.task, await workAlone(part, { ...shared, dataset, parts: [part] }));
  }
  return done;
}

/** Tasks that nobody has tried before, in one transaction. Those that are not in the answer have to be done alone. */
async function workFresh(claimed: readonly Claimed[], attempt: Shared & Attempt): Promise<Outcomes> {
  const { session, signal } = attempt;
  try {
    const outcomes = await workTogether(attempt);
    if (outcomes !== undefined)
      return new Map(claimed.map(({ ref }, index) => [ref.task, outcomes[index] as TaskOutcome]));
    if (session.usable) await session.query("rollback");
  } catch (error) {
    if (!session.usable || signal.aborted) return await recordFailures(claimed, attempt, error);
    await session.query("rollback").catch(() => undefined);
  }
  return new Map();
}

async function workAlone(
  part: Part & Claimed,
  attempt: Shared & Attempt & { readonly parts: readonly [Part] },
): Promise<TaskOutcome> {
  // A neighbour in the same claim has lost the connection; this one has done nothing yet.
  if (!attempt.session.usable && !attempt.signal.aborted) return await giveBack(part, attempt);
  try {
    return await work(attempt);
  } catch (error) {
    return await recordFailure(part, attempt, error);
  }
}

/** What follows the commits, in one go. Most tasks at the end of the graph have no consumers, and nothing to do here. */
async function settleAll(outcomes: Outcomes, claimed: readonly Claimed[], context: TaskContext): Promise<Outcomes> {
  const producers = claimed.filter(({ ref }) => {
    const outcome = outcomes.get(ref.task);
    return outcome?.kind === "done" && outcome.consumers > 0;
  });
  if (producers.length === 0) return outcomes;
  const settled = await settle(
    producers.map(({ ref }) => ref),
    context,
  );
  if (!settled) for (const { ref } of producers) outcomes.set(ref.task, later("unsettled"));
  return outcomes;
}

/** False where it failed: then the job comes back, finds the task done, and does this again. */
async function settle(refs: readonly TaskRef[], context: TaskContext): Promise<boolean> {
  try {
    await context.settle(refs);
    for (const ref of refs) await context.at?.("readiness", ref);
    return true;
  } catch {
    return false;
  }
}

async function unclaimed(ref: TaskRef, context: TaskContext, claim: ClaimRow | undefined): Promise<TaskOutcome> {
  switch (claim?.outcome ?? "forged") {
    case "forged":
      context.plans.forget(ref.backfill);
      return {
        kind: "failed",
        forged: true,
        code: "verification_failed",
        message: `${ref.backfill} has no task ${ref.task} of ${ref.dataset} under the plan that this worker verified`,
      };
    case "settled":
      return (await settle([ref], context)) ? { kind: "settled" } : later("unsettled");
    case "cancelled":
      return { kind: "cancelled" };
    case "failed":
    case "quarantined":
      return {
        kind: "failed",
        code: claim?.error?.code ?? "internal",
        message: claim?.error?.message ?? "no error was recorded",
      };
    case "lapsed":
      // The next beat registers the worker again; asking for it now saves the wait.
      await context.heartbeat.runOnce().catch(() => undefined);
      return later("lapsed");
    case "not_ready":
      return later("not_ready");
    case "paused":
      return later("paused");
    case "held":
      return later("held");
    case "drift":
      return later("drift");
    case "suspect":
      return later("suspect");
    case "busy":
    case "lost":
    case "contended":
    // Carried out by the caller; it never comes here.
    case "claimed":
      return later("busy");
  }
}

/** No plan to run under. A missing or altered one will not mend itself; anything else is tried again. */
function unpreparable(error: unknown): TaskOutcome {
  if (isRederiveError(error) && (error.code === "not_found" || error.code === "verification_failed")) {
    return { kind: "failed", forged: true, code: error.code, message: error.message };
  }
  return later("unavailable");
}

function nameOf(outcome: TaskOutcome): string {
  return outcome.kind === "later" ? outcome.why : outcome.kind;
}

/** No retry brings an upstream of a claimed task back, so what is unchanged now stays so until the task has ended. */
async function unchangedInputs(
  claimed: readonly Claimed[],
  { plan, session }: Shared,
  { derived }: RunDataset,
): Promise<ReadonlyMap<string, Ranges>> {
  if (!readsPrunable(plan, derived)) return new Map();
  const tasks = claimed.map(({ ref }) => ref.task);
  return await unchangedUpstreams(session, tasks);
}

function specOf(plan: RunPlan, dataset: RunDataset, claim: ClaimRow, unchanged: ReadonlyMap<string, Ranges>): TaskSpec {
  const ordinal = Number(claim.partition);
  const { derived, candidate, columns, probes } = dataset;
  const bindings = bindingsOf(plan, dataset, ordinal, unchanged);
  return { derived, ordinal, candidate, bindings, columns, probes, replace: claim.replace };
}
