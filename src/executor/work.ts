/**
 * The work of claimed tasks: one REPEATABLE READ transaction.
 *
 *   begin and compute → verdict → finish → commit
 *
 * Output, checks, hold, stamp, edges and the task's own state commit together or not at all. The last statement before
 * the commit matches only while the epoch is ours, so an attempt that was replaced rolls back. Short tasks of one
 * dataset share a transaction (docs/decisions/0010-tasks-in-groups.md): all of them commit in it, or none.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { labelOf } from "../catalog/label.ts";
import { RederiveError } from "../errors.ts";
import { appendAudit } from "../store/audit.ts";
import { clearCheckResults, holdDataset, insertCheckResults } from "../store/checks.ts";
import {
  type Finished,
  type FinishedWork,
  finishTasks,
  type StampInput,
  taskState,
  terminateBackend,
} from "../store/claims.ts";
import { currentTraceId, withSpan } from "../telemetry/spans.ts";
import type { Database } from "../tx.ts";
import { judgeTask, stampedChecks } from "../validation/verdict.ts";
import type { Binding } from "../warehouse/bind.ts";
import { computeSelect } from "../warehouse/compute.ts";
import { hashAlgorithm } from "../warehouse/digest.ts";
import type { Measured, TaskSpec } from "../warehouse/measure.ts";
import type { Session } from "../warehouse/session.ts";
import { computeMap, measureCandidate } from "../warehouse/stream.ts";
import { isConflict } from "./classify.ts";
import type { Lane } from "./lane.ts";
import { standing, type TaskOutcome, type TaskRef } from "./outcome.ts";
import { isDeadline, persistently, withDeadline } from "./patience.ts";
import type { RunDataset, RunPlan } from "./run-plan.ts";

/** Where tests stop, kill or break an attempt. */
export type TaskPoint = "claimed" | "computed" | "beforeFinish" | "beforeCommit" | "afterCommit" | "readiness";

/** One task of an attempt. */
export interface Part {
  readonly ref: TaskRef;
  readonly epoch: number;
  readonly spec: TaskSpec;
}

/** The record that the steps share. */
export interface Attempt {
  /** One task, or several of one dataset in one transaction. */
  readonly parts: readonly Part[];
  readonly worker: string;
  readonly plan: RunPlan;
  readonly dataset: RunDataset;
  /** The lane's writer, on which the claim was made. */
  readonly session: Session;
  readonly lane: Lane;
  /** Control connections. */
  readonly database: Database;
  /** Aborted by the worker's end, a cancellation, or a lease that ran out. */
  readonly signal: AbortSignal;
  readonly leaseLives: () => boolean;
  readonly at: (point: TaskPoint, ref: TaskRef) => Promise<void>;
}

/** What one task gave. */
interface Computed extends Measured {
  /** The stamp of those who computed the rows, where they were taken over. */
  readonly adoptedFrom: string | null;
}

/** An attempt at one task. */
export type SingleAttempt = Attempt & { readonly parts: readonly [Part] };

/** How often the work transaction is run again within one attempt after a conflict with another transaction. */
const conflictRuns = 5;
/** A COMMIT without a reply for so long is settled from outside. */
const commitReplyMs = 30_000;

/** The work transaction of one task, again where another transaction was in the way and the task is still ours. */
export async function work(attempt: SingleAttempt): Promise<TaskOutcome> {
  for (let run = 1; ; run += 1) {
    try {
      return await workOnce(attempt);
    } catch (error) {
      if (!isConflict(error) || run === conflictRuns || attempt.signal.aborted) throw error;
      await attempt.session.query("rollback");
      const state = await stateOf(attempt, attempt.parts[0]);
      if (!isOurs(attempt.parts[0], state)) return standing(state);
      await sleep(Math.random() * 20 * run);
    }
  }
}

async function workOnce(attempt: SingleAttempt): Promise<TaskOutcome> {
  const [part] = attempt.parts;
  const [computed] = (await compute(attempt)) as [Computed];
  const held = await recordVerdict(attempt, part, computed);
  const measured = await remeasured(attempt, part, computed);
  const [finished] = await seal(attempt, [measured]);
  if (finished === undefined) return standing(await stateOf(attempt, part));
  return { kind: "done", rows: measured.rowsWritten, held, consumers: finished.consumers };
}

/**
 * The work of several tasks in one transaction: the outcome of each, or undefined where one of them broke a check or was
 * fenced; then none took effect, and each has to be done alone. Throws what one of them threw, also without effect.
 */
export async function workTogether(attempt: Attempt): Promise<TaskOutcome[] | undefined> {
  const computed = await compute(attempt);
  if (computed.some(({ failures }) => failures.length > 0)) return undefined;
  const finished = await seal(attempt, computed);
  if (finished.length === 0) return undefined;
  const consumers = new Map(finished.map((each) => [each.task, each.consumers]));
  return attempt.parts.map(({ ref }, index) => ({
    kind: "done",
    rows: (computed[index] as Measured).rowsWritten,
    held: false,
    consumers: consumers.get(ref.task) ?? 0,
  }));
}

/** Begins and computes; for `select` in one round trip. */
async function compute(attempt: Attempt): Promise<Computed[]> {
  const specs = attempt.parts.map(({ spec }) => spec);
  const computed = await withSpan("compute", {}, () => computeOrAdopt(attempt, specs));
  await reached(attempt, "computed");
  return computed;
}

/** What is taken over must be what its own backfill has measured; where it is not, it is computed after all. */
async function computeOrAdopt(attempt: Attempt, specs: readonly TaskSpec[]): Promise<Computed[]> {
  const computed = await computeSpecs(attempt, specs);
  const asMeasured = ({ adopts }: TaskSpec, index: number) =>
    adopts === undefined || adopts.outputHash === computed[index]?.outputHash;
  if (specs.every(asMeasured)) return withOrigins(specs, computed);
  await attempt.session.query("rollback");
  const trusted = specs.map((spec, index) => (asMeasured(spec, index) ? spec : withoutAdoption(spec)));
  return withOrigins(trusted, await computeSpecs(attempt, trusted));
}

function withOrigins(specs: readonly TaskSpec[], measured: readonly Measured[]): Computed[] {
  return measured.map((each, index) => ({ ...each, adoptedFrom: specs[index]?.adopts?.stamp ?? null }));
}

function withoutAdoption({ adopts: _adopts, ...spec }: TaskSpec): TaskSpec {
  return spec;
}

/** Begins a transaction and computes partitions of one dataset in it. The caller ends it. */
export async function computeSpecs(
  { lane, session, signal }: Pick<Attempt, "lane" | "session" | "signal">,
  specs: readonly TaskSpec[],
): Promise<Measured[]> {
  const [{ derived }] = specs as readonly [TaskSpec];
  const timeout = Math.trunc(derived.timeoutMs);
  const begin = ["begin isolation level repeatable read", `set local statement_timeout = ${timeout}`];
  const inPostgres = derived.transform.kind !== "map" || specs.every(({ adopts }) => adopts !== undefined);
  if (inPostgres) return await computeSelect(session, specs, begin);
  await session.query(begin.join("; "));
  const reader = await lane.reader();
  await reader.limitStatements(timeout);
  const measured: Measured[] = [];
  for (const spec of specs) measured.push(await computeMap(session, reader, spec, signal));
  return measured;
}

async function reached({ parts, at }: Attempt, point: TaskPoint): Promise<void> {
  for (const { ref } of parts) await at(point, ref);
}

/**
 * Failed checks become rows, and one of severity `error` holds the dataset, all in the work transaction: the output is
 * committed with its evidence, for people to look at, and nothing downstream starts on it. True when held.
 */
async function recordVerdict({ session }: Attempt, { ref, spec }: Part, measured: Measured): Promise<boolean> {
  const checked = { backfill: ref.backfill, dataset: ref.dataset, partition: String(spec.ordinal) };
  if (spec.replace) await clearCheckResults(session, checked);
  const { outcomes, hold } = await judgeTask(session, spec, measured);
  if (outcomes.length > 0) await insertCheckResults(session, { ...checked, results: outcomes });
  if (hold === null) return false;
  const reason = `${labelOf(spec.derived.partitions, spec.ordinal)}: ${hold}`;
  const held = await holdDataset(session, { backfill: ref.backfill, dataset: ref.dataset, reason });
  // One entry a hold: further partitions that fail meanwhile are evidence, and decide nothing.
  if (held) {
    const { backfill, dataset, task } = ref;
    await appendAudit(session, { actor: "worker", act: "dataset.hold", backfill, dataset, reason, details: { task } });
  }
  return true;
}

/**
 * The stamp must tell what is committed: rows outside of the partition were removed by the verdict, so count and hash
 * are taken again; what failed stays on record as it was found.
 */
export async function remeasured<Found extends Measured>(
  { session }: Pick<Attempt, "session">,
  { spec }: Pick<Part, "spec">,
  computed: Found,
): Promise<Found> {
  if (!computed.failures.some(({ probe }) => probe.kind === "outside")) return computed;
  const { rowsWritten, outputHash } = await measureCandidate(session, spec, computed.rowsRead);
  return { ...computed, rowsWritten, outputHash };
}

/** Finishes and commits: what became of each task, or nothing at all where one of them is not ours any more. */
async function seal(attempt: Attempt, measured: readonly Computed[]): Promise<readonly Finished[]> {
  const { session, parts } = attempt;
  const finished = await withSpan("finish", {}, () => finish(attempt, measured));
  if (finished.length < parts.length) {
    await session.query("rollback");
    return [];
  }
  await reached(attempt, "beforeCommit");
  if (!(await withSpan("commit", {}, () => commit(attempt)))) return [];
  await reached(attempt, "afterCommit");
  return finished;
}

/** A worker that may have outlived its lease does not even ask. */
async function finish(attempt: Attempt, measured: readonly Computed[]): Promise<Finished[]> {
  const { parts, plan, dataset, session, signal } = attempt;
  await reached(attempt, "beforeFinish");
  signal.throwIfAborted();
  if (!attempt.leaseLives()) throw new RederiveError("fenced", "the worker's lease ran out during the work");
  return await finishTasks(session, {
    planHash: plan.planHash,
    worker: attempt.worker,
    fingerprint: dataset.step.fingerprint,
    definition: dataset.step.definition,
    hashAlgorithm,
    traceId: currentTraceId() ?? null,
    tasks: parts.map((part, index) => finishedWork(part, measured[index] as Computed, measured[index - 1])),
  });
}

function finishedWork({ ref, epoch, spec }: Part, measured: Computed, before: Measured | undefined): FinishedWork {
  return {
    task: ref.task,
    epoch,
    inputs: spec.bindings.map(stampInput),
    rowsRead: measured.rowsRead,
    rowsWritten: measured.rowsWritten,
    outputHash: measured.outputHash,
    checks: stampedChecks(spec.probes, measured.failures),
    startedAt: before?.measuredAt ?? null,
    finishedAt: measured.measuredAt,
    adoptedFrom: measured.adoptedFrom,
  };
}

/**
 * True once committed, false where the tasks have come to another end. A COMMIT whose reply is lost is unknown, not
 * failed. The old backend is ended first: only then is it certain that nothing is under way any more, and the tasks'
 * rows tell on a fresh connection.
 */
async function commit(attempt: Attempt): Promise<boolean> {
  try {
    await withDeadline(attempt.session.query("commit"), commitReplyMs);
    return true;
  } catch (error) {
    // An answer of the server on a connection that lives is an answer: nothing was committed.
    if (attempt.session.usable && !isDeadline(error) && !attempt.signal.aborted) throw error;
    await attempt.lane.cut();
    await persistently(() => endOf(attempt));
    const [first] = attempt.parts as readonly [Part];
    const state = await stateOf(attempt, first);
    // They commit together, so one of them tells of all.
    if (state?.epoch === first.epoch && state.state === "done") return true;
    if (isOurs(first, state)) throw error;
    return false;
  }
}

/** Rejects while the writer's backend may still be at work. */
async function endOf({ database, session }: Attempt): Promise<void> {
  if (await terminateBackend(database, { pid: session.pid, start: session.startedAt })) return;
  throw new RederiveError("unavailable", `backend ${session.pid} does not end`);
}

type State = Awaited<ReturnType<typeof taskState>>;

function stateOf({ database }: Attempt, { ref }: Part): Promise<State> {
  return persistently(() => taskState(database, ref.task));
}

function isOurs({ epoch }: Part, state: State): boolean {
  return state?.state === "running" && state.epoch === epoch;
}

function stampInput({ input, recomputed, live, everything }: Binding): StampInput {
  const whole = everything === true ? { everything } : {};
  return { input: input.name, dataset: input.dataset.name, recomputed, live, ...whole };
}
