/**
 * One attempt at one task, as a pipeline over one record:
 *
 *   plan → claim → work → settle
 *
 * The claim is a transaction of its own, the work (work.ts) is another, both on the lane's writer, so that the backend
 * that a later attempt would have to end is the one that the claim wrote down. Errors are classified and recorded
 * under the task's epoch; every outcome is a value.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { isRederiveError, RederiveError } from "../errors.ts";
import { moveBackfill } from "../store/backfills.ts";
import { type ClaimRow, claimTask, failTask, giveBackTask, taskState, terminateBackend } from "../store/claims.ts";
import { withSpan } from "../telemetry/spans.ts";
import type { Database } from "../tx.ts";
import type { TaskSpec } from "../warehouse/measure.ts";
import type { Session } from "../warehouse/session.ts";
import { classify, type Failure, triesOf } from "./classify.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Lane } from "./lane.ts";
import { later, standing, type TaskOutcome, type TaskRef } from "./outcome.ts";
import { persistently } from "./patience.ts";
import { bindingsOf, type RunDataset, type RunPlan, type RunPlans, upstreamsOf } from "./run-plan.ts";
import { type Attempt, type TaskPoint, work } from "./work.ts";

export interface TaskContext {
  readonly worker: string;
  readonly catalog: Catalog;
  /** Own definition hashes by dataset. */
  readonly definitions: Readonly<Record<string, string>>;
  readonly database: Database;
  readonly plans: RunPlans;
  readonly lane: Lane;
  readonly heartbeat: Heartbeat;
  readonly maxLosses: number;
  /** False where other tasks may run in this process. Default true. */
  readonly alone?: boolean;
  /** After the commit: makes consumers ready. Idempotent. */
  readonly settle: (ref: TaskRef) => Promise<void>;
  /** Aborted when the worker stops at once. */
  readonly signal: AbortSignal;
  /** Tests stop, kill or break an attempt here. */
  readonly at?: ((point: TaskPoint, ref: TaskRef) => void | Promise<void>) | undefined;
}

/** A claimed task, before its dataset is loaded. */
type Claimed = Omit<Attempt, "dataset" | "spec"> & { readonly context: TaskContext };

/** Carries a task as far as it goes. Rejects only on faults of this program. */
export async function runTask(ref: TaskRef, context: TaskContext, traceparent?: string | null): Promise<TaskOutcome> {
  let plan: RunPlan;
  try {
    plan = await context.plans.plan(ref.backfill);
  } catch (error) {
    return unpreparable(error);
  }
  const attributes = { "rederive.backfill": ref.backfill, "rederive.dataset": ref.dataset, "rederive.task": ref.task };
  return await withSpan(
    "task",
    attributes,
    async (span) => {
      const outcome = await attemptTask(ref, context, plan);
      span.setAttribute("rederive.outcome", outcome.kind === "later" ? outcome.why : outcome.kind);
      return outcome;
    },
    { traceparent: traceparent ?? plan.traceparent },
  );
}

async function attemptTask(ref: TaskRef, context: TaskContext, plan: RunPlan): Promise<TaskOutcome> {
  if (context.signal.aborted) return later("stopped");
  let session: Session;
  let claim: ClaimRow | undefined;
  try {
    session = await context.lane.writer();
    claim = await withSpan("claim", {}, () => claimFor(ref, context, plan, session));
  } catch (error) {
    return await refusedBeforeClaim(ref, context, error);
  }
  if (claim?.outcome !== "claimed") return await unclaimed(ref, context, claim);
  return await runClaimed(ref, context, plan, session, claim);
}

/** Claims, after ending the backend of an attempt whose worker is gone: frozen inside COPY it would survive any timeout. */
async function claimFor(
  ref: TaskRef,
  context: TaskContext,
  plan: RunPlan,
  session: Session,
): Promise<ClaimRow | undefined> {
  const derived = derivedOf(context.catalog, ref.dataset);
  const args = {
    ...ref,
    worker: context.worker,
    backendPid: session.pid,
    backendStart: session.startedAt,
    planHash: plan.planHash,
    definition: plan.samePins ? (context.definitions[ref.dataset] ?? null) : null,
    upstreams: derived === undefined ? [] : upstreamsOf(derived),
    maxLosses: context.maxLosses,
    alone: context.alone ?? true,
  };
  const claim = await claimTask(session, args);
  if (claim?.outcome !== "lost" || claim.backendPid === null || claim.backendStart === null) return claim;
  const gone = await terminateBackend(context.database, { pid: claim.backendPid, start: claim.backendStart });
  return gone ? await claimTask(session, args) : { ...claim, outcome: "busy" };
}

async function runClaimed(
  ref: TaskRef,
  context: TaskContext,
  plan: RunPlan,
  session: Session,
  claim: ClaimRow,
): Promise<TaskOutcome> {
  const { epoch } = claim;
  const { worker, lane, database, heartbeat } = context;
  const stopping = new AbortController();
  const stop = (why: string) => stopping.abort(new RederiveError("fenced", `the attempt was stopped: ${why}`));
  const onAbort = () => stop("the worker stops");
  // Ending the backends is what interrupts a statement; unlike a late cancel request it cannot hit the next task.
  stopping.signal.addEventListener("abort", () => void lane.cut());
  const unwatch = heartbeat.watch({ task: ref.task, epoch, stop });
  context.signal.addEventListener("abort", onAbort);
  const at = async (point: TaskPoint) => context.at?.(point, ref);
  const leaseLives = () => heartbeat.leaseLives();
  const { signal } = stopping;
  try {
    if (context.signal.aborted) onAbort();
    return await workClaimed(
      { context, ref, epoch, worker, plan, session, lane, database, signal, leaseLives, at },
      claim,
    );
  } finally {
    unwatch();
    context.signal.removeEventListener("abort", onAbort);
  }
}

async function workClaimed(claimed: Claimed, claim: ClaimRow): Promise<TaskOutcome> {
  const { context, ref, plan } = claimed;
  let outcome: TaskOutcome;
  try {
    await claimed.at("claimed");
    const dataset = await context.plans.dataset(plan, requireDerived(context.catalog, ref.dataset));
    outcome = await work({ ...claimed, dataset, spec: specOf(plan, dataset, claim) });
  } catch (error) {
    return await recordFailure(claimed, error);
  }
  // Most tasks at the end of the graph have no consumers, and nothing to do here.
  return outcome.kind === "done" && outcome.consumers > 0 ? await settle(ref, context, outcome) : outcome;
}

/** What follows the commit. If it fails, the job comes back, finds the task done, and does this again. */
async function settle(ref: TaskRef, context: TaskContext, outcome: TaskOutcome): Promise<TaskOutcome> {
  try {
    await context.settle(ref);
    await context.at?.("readiness", ref);
    return outcome;
  } catch {
    return later("unsettled");
  }
}

/** After an error: what happened to the attempt, recorded under its epoch, so that a fenced one changes nothing. */
async function recordFailure(claimed: Claimed, error: unknown): Promise<TaskOutcome> {
  const { ref, context, session, epoch, signal } = claimed;
  const mine = { task: ref.task, epoch };
  const connectionLost = !session.usable;
  await clean(claimed);
  try {
    // Stopping counts neither as an attempt nor as a loss.
    if (signal.aborted || isFenced(error)) {
      const given = await persistently(() => giveBackTask(context.database, mine));
      return given ? later("stopped") : await standingOf(claimed);
    }
    const failure = classify(error, connectionLost);
    if (failure.kind === "exhausted") {
      await persistently(() => giveBackTask(context.database, mine));
      return await holdExhausted(ref, context, failure);
    }
    return await countFailure(claimed, failure);
  } catch (unrecorded) {
    if (classify(unrecorded).kind === "deterministic") throw unrecorded;
    // Postgres is away. The task stays running under a lease that ends, or under a backend that is gone.
    return later("unavailable");
  }
}

async function countFailure(claimed: Claimed, failure: Failure): Promise<TaskOutcome> {
  const { ref, context, epoch } = claimed;
  const recorded = await persistently(() =>
    failTask(context.database, {
      task: ref.task,
      epoch,
      error: failure,
      maxAttempts: requireDerived(context.catalog, ref.dataset).attempts,
      maxOfKind: triesOf[failure.kind],
    }),
  );
  if (recorded === undefined) return await standingOf(claimed);
  if (recorded.state === "failed") return { kind: "failed", code: failure.code, message: failure.message };
  return { kind: "retry", failure, attempts: recorded.attempts };
}

/** The lane is ready for the next task: rolled back where the connection lives, else cut off on the server too. */
async function clean({ session, lane, signal }: Claimed): Promise<void> {
  if (session.usable && !signal.aborted) {
    try {
      await session.query("rollback");
      return;
    } catch {
      // It broke just now.
    }
  }
  await lane.cut();
}

/** Out of disk or connections: the backfill waits for a person, instead of trying over and over. */
async function holdExhausted(ref: TaskRef, context: TaskContext, failure: Failure): Promise<TaskOutcome> {
  const reason = `resource_exhausted: ${failure.message}; make room in Postgres, then resume`;
  try {
    await moveBackfill(context.database, { id: ref.backfill, to: "held", reason, from: ["running"] });
  } catch {
    return later("unavailable");
  }
  return later("held");
}

/** The lane could not be opened, or the claim itself failed: no attempt was made, so none is counted. */
async function refusedBeforeClaim(ref: TaskRef, context: TaskContext, error: unknown): Promise<TaskOutcome> {
  const failure = classify(error);
  await context.lane.cut();
  if (failure.kind === "exhausted") return await holdExhausted(ref, context, failure);
  if (failure.kind === "deterministic") return { kind: "failed", code: failure.code, message: failure.message };
  return later("unavailable");
}

async function unclaimed(ref: TaskRef, context: TaskContext, claim: ClaimRow | undefined): Promise<TaskOutcome> {
  switch (claim?.outcome ?? "forged") {
    case "forged":
      context.plans.forget(ref.backfill);
      return {
        kind: "failed",
        code: "verification_failed",
        message: `${ref.backfill} has no task ${ref.task} of ${ref.dataset} under the plan that this worker verified`,
      };
    case "settled":
      return await settle(ref, context, { kind: "settled" });
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
    return { kind: "failed", code: error.code, message: error.message };
  }
  return later("unavailable");
}

async function standingOf({ context, ref }: Claimed): Promise<TaskOutcome> {
  return standing(await persistently(() => taskState(context.database, ref.task)));
}

function specOf(plan: RunPlan, dataset: RunDataset, claim: ClaimRow): TaskSpec {
  const ordinal = Number(claim.partition);
  const { derived, candidate, columns, probes } = dataset;
  const bindings = bindingsOf(plan, dataset, ordinal);
  return { derived, ordinal, candidate, bindings, columns, probes, replace: claim.replace };
}

function derivedOf(catalog: Catalog, name: string): Derived | undefined {
  const dataset = catalog.datasets.get(name);
  return dataset?.kind === "derived" ? dataset : undefined;
}

function requireDerived(catalog: Catalog, name: string): Derived {
  const derived = derivedOf(catalog, name);
  if (derived === undefined) throw new RederiveError("code_drift", `this worker has no derived dataset ${name}`);
  return derived;
}

function isFenced(error: unknown): boolean {
  return isRederiveError(error) && error.code === "fenced";
}
