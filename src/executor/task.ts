/**
 * One attempt at a task, or at several short ones of a dataset together, as a pipeline over one record:
 *
 *   plan → claim → work → settle
 *
 * The claim is a transaction of its own, the work (work.ts) is another, both on the lane's writer, so that the backend
 * that a later attempt would have to end is the one that the claim wrote down. What cannot be done together is done one
 * by one under the same claims. Errors are classified and recorded under the task's epoch; every outcome is a value.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { isRederiveError, RederiveError } from "../errors.ts";
import { moveBackfill } from "../store/backfills.ts";
import { type ClaimRow, claimTasks, failTask, giveBackTask, taskState, terminateBackend } from "../store/claims.ts";
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
import { type Attempt, type Part, type TaskPoint, work, workTogether } from "./work.ts";

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
  readonly settle: (refs: readonly TaskRef[]) => Promise<void>;
  /** Aborted when the worker stops at once. */
  readonly signal: AbortSignal;
  /** Tests stop, kill or break an attempt here. */
  readonly at?: ((point: TaskPoint, ref: TaskRef) => void | Promise<void>) | undefined;
}

/** What the attempts at the tasks of one claim share. */
type Shared = Omit<Attempt, "dataset" | "parts"> & { readonly context: TaskContext };
/** A claimed task. */
type Claimed = Pick<Part, "ref" | "epoch"> & { readonly claim: ClaimRow };

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
): Promise<ReadonlyMap<string, TaskOutcome>> {
  const [{ backfill, dataset, task }] = refs as readonly [TaskRef];
  let plan: RunPlan;
  try {
    plan = await context.plans.plan(backfill);
  } catch (error) {
    return ofAll(refs, unpreparable(error));
  }
  const attributes = { "rederive.backfill": backfill, "rederive.dataset": dataset, "rederive.task": task };
  return await withSpan(
    "task",
    { ...attributes, "rederive.tasks": refs.length },
    async (span) => {
      const outcomes = await attemptTasks(refs, context, plan);
      span.setAttribute("rederive.outcome", [...new Set([...outcomes.values()].map(nameOf))].join(", "));
      return outcomes;
    },
    { traceparent: traceparent ?? plan.traceparent },
  );
}

async function attemptTasks(
  refs: readonly TaskRef[],
  context: TaskContext,
  plan: RunPlan,
): Promise<Map<string, TaskOutcome>> {
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

function claimedOf(ref: TaskRef, claim: ClaimRow | undefined): Claimed[] {
  return claim?.outcome === "claimed" ? [{ ref, epoch: claim.epoch, claim }] : [];
}

/** Claims, after ending the backend of an attempt whose worker is gone: frozen inside COPY it would survive any timeout. */
async function claimFor(
  refs: readonly TaskRef[],
  context: TaskContext,
  plan: RunPlan,
  session: Session,
): Promise<Map<string, ClaimRow>> {
  const [{ backfill, dataset }] = refs as readonly [TaskRef];
  const derived = derivedOf(context.catalog, dataset);
  const args = {
    backfill,
    dataset,
    worker: context.worker,
    backendPid: session.pid,
    backendStart: session.startedAt,
    planHash: plan.planHash,
    definition: plan.samePins ? (context.definitions[dataset] ?? null) : null,
    upstreams: derived === undefined ? [] : upstreamsOf(derived),
    maxLosses: context.maxLosses,
    alone: context.alone ?? true,
  };
  const claims = new Map<string, ClaimRow>();
  const claim = async (tasks: readonly string[]) => {
    for (const row of await claimTasks(session, { ...args, tasks })) claims.set(row.task, row);
  };
  await claim(refs.map(({ task }) => task));
  for (const lost of [...claims.values()].filter(({ outcome }) => outcome === "lost")) {
    if (lost.backendPid === null || lost.backendStart === null) continue;
    const gone = await terminateBackend(context.database, { pid: lost.backendPid, start: lost.backendStart });
    if (gone) await claim([lost.task]);
    else claims.set(lost.task, { ...lost, outcome: "busy" });
  }
  return claims;
}

async function runClaimed(
  claimed: readonly Claimed[],
  context: TaskContext,
  plan: RunPlan,
  session: Session,
): Promise<Map<string, TaskOutcome>> {
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

async function workClaimed(claimed: readonly Claimed[], shared: Shared): Promise<Map<string, TaskOutcome>> {
  const { context, plan } = shared;
  const [{ ref }] = claimed as readonly [Claimed];
  let dataset: RunDataset;
  try {
    for (const each of claimed) await shared.at("claimed", each.ref);
    dataset = await context.plans.dataset(plan, requireDerived(context.catalog, ref.dataset));
  } catch (error) {
    return await recordFailures(claimed, shared, error);
  }
  const parts = claimed.map((each) => ({ ...each, spec: specOf(plan, dataset, each.claim) }));
  // What was tried before is tried alone: whatever it did then, it does not do it to its neighbours.
  const fresh = parts.filter(({ claim }) => claim.epoch === 1);
  const done = fresh.length > 1 ? await workFresh(fresh, { ...shared, dataset, parts: fresh }) : new Map();
  for (const part of parts) {
    if (!done.has(part.ref.task)) done.set(part.ref.task, await workAlone(part, { ...shared, dataset, parts: [part] }));
  }
  return done;
}

/** Tasks that nobody has tried before, in one transaction. Those that are not in the answer have to be done alone. */
async function workFresh(claimed: readonly Claimed[], attempt: Shared & Attempt): Promise<Map<string, TaskOutcome>> {
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

async function giveBack(part: Claimed, shared: Shared): Promise<TaskOutcome> {
  const mine = { task: part.ref.task, epoch: part.epoch };
  try {
    const given = await persistently(() => giveBackTask(shared.database, mine));
    return given ? later("unavailable") : await standingOf(part, shared);
  } catch (unrecorded) {
    if (classify(unrecorded).kind === "deterministic") throw unrecorded;
    return later("unavailable");
  }
}

/** What follows the commits, in one go. Most tasks at the end of the graph have no consumers, and nothing to do here. */
async function settleAll(
  outcomes: Map<string, TaskOutcome>,
  claimed: readonly Claimed[],
  context: TaskContext,
): Promise<Map<string, TaskOutcome>> {
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

async function recordFailures(
  claimed: readonly Claimed[],
  shared: Shared,
  error: unknown,
): Promise<Map<string, TaskOutcome>> {
  const outcomes = new Map<string, TaskOutcome>();
  for (const part of claimed) outcomes.set(part.ref.task, await recordFailure(part, shared, error));
  return outcomes;
}

/** After an error: what happened to the attempt, recorded under its epoch, so that a fenced one changes nothing. */
async function recordFailure(part: Claimed, shared: Shared, error: unknown): Promise<TaskOutcome> {
  const { ref, epoch } = part;
  const { context, session, signal } = shared;
  const mine = { task: ref.task, epoch };
  const connectionLost = !session.usable;
  await clean(shared);
  try {
    // Stopping counts neither as an attempt nor as a loss.
    if (signal.aborted || isFenced(error)) {
      const given = await persistently(() => giveBackTask(context.database, mine));
      return given ? later("stopped") : await standingOf(part, shared);
    }
    const failure = classify(error, connectionLost);
    if (failure.kind === "exhausted") {
      await persistently(() => giveBackTask(context.database, mine));
      return await holdExhausted(ref.backfill, context, failure);
    }
    return await countFailure(part, shared, failure);
  } catch (unrecorded) {
    if (classify(unrecorded).kind === "deterministic") throw unrecorded;
    // Postgres is away. The task stays running under a lease that ends, or under a backend that is gone.
    return later("unavailable");
  }
}

async function countFailure(part: Claimed, shared: Shared, failure: Failure): Promise<TaskOutcome> {
  const { ref, epoch } = part;
  const { context } = shared;
  const recorded = await persistently(() =>
    failTask(context.database, {
      task: ref.task,
      epoch,
      error: failure,
      maxAttempts: requireDerived(context.catalog, ref.dataset).attempts,
      maxOfKind: triesOf[failure.kind],
    }),
  );
  if (recorded === undefined) return await standingOf(part, shared);
  if (recorded.state === "failed") return { kind: "failed", code: failure.code, message: failure.message };
  return { kind: "retry", failure, attempts: recorded.attempts };
}

/** The lane is ready for the next task: rolled back where the connection lives, else cut off on the server too. */
async function clean({ session, lane, signal }: Shared): Promise<void> {
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
async function holdExhausted(backfill: string, context: TaskContext, failure: Failure): Promise<TaskOutcome> {
  const reason = `resource_exhausted: ${failure.message}; make room in Postgres, then resume`;
  try {
    await moveBackfill(context.database, { id: backfill, to: "held", reason, from: ["running"] });
  } catch {
    return later("unavailable");
  }
  return later("held");
}

/** The lane could not be opened, or the claim itself failed: no attempt was made, so none is counted. */
async function refusedBeforeClaim(
  refs: readonly TaskRef[],
  context: TaskContext,
  error: unknown,
): Promise<TaskOutcome> {
  const failure = classify(error);
  await context.lane.cut();
  const [{ backfill }] = refs as readonly [TaskRef];
  if (failure.kind === "exhausted") return await holdExhausted(backfill, context, failure);
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
    return { kind: "failed", code: error.code, message: error.message };
  }
  return later("unavailable");
}

async function standingOf({ ref }: Claimed, { database }: Shared): Promise<TaskOutcome> {
  return standing(await persistently(() => taskState(database, ref.task)));
}

function ofAll(refs: readonly TaskRef[], outcome: TaskOutcome): Map<string, TaskOutcome> {
  return new Map(refs.map(({ task }) => [task, outcome]));
}

function nameOf(outcome: TaskOutcome): string {
  return outcome.kind === "later" ? outcome.why : outcome.kind;
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
