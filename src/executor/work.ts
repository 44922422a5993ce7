/**
 * The work of a claimed task: one REPEATABLE READ transaction.
 *
 *   begin and compute → verdict → finish → commit
 *
 * Output, checks, hold, stamp, edges and the task's own state commit together or not at all. The last statement before
 * the commit matches only while the epoch is ours, so an attempt that was replaced rolls back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { labelOf } from "../catalog/scheme.ts";
import { RederiveError } from "../errors.ts";
import { clearCheckResults, holdDataset, insertCheckResults } from "../store/checks.ts";
import { type Finished, finishTask, type StampInput, taskState, terminateBackend } from "../store/claims.ts";
import { currentTraceId, withSpan } from "../telemetry/spans.ts";
import type { Database, Tx } from "../tx.ts";
import { judgeTask } from "../validation/verdict.ts";
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

/** The record that the steps share. */
export interface Attempt {
  readonly ref: TaskRef;
  readonly epoch: number;
  readonly worker: string;
  readonly plan: RunPlan;
  readonly dataset: RunDataset;
  readonly spec: TaskSpec;
  /** The lane's writer, on which the claim was made. */
  readonly session: Session;
  readonly lane: Lane;
  /** Control connections. */
  readonly database: Database;
  /** Aborted by the worker's end, a cancellation, or a lease that ran out. */
  readonly signal: AbortSignal;
  readonly leaseLives: () => boolean;
  readonly at: (point: TaskPoint) => Promise<void>;
}

/** How often the work transaction is run again within one attempt after a conflict with another transaction. */
const conflictRuns = 5;
/** A COMMIT without a reply for so long is settled from outside. */
const commitReplyMs = 30_000;

/** The work transaction, again where another transaction was in the way and the task is still ours. */
export async function work(attempt: Attempt): Promise<TaskOutcome> {
  for (let run = 1; ; run += 1) {
    try {
      return await workOnce(attempt);
    } catch (error) {
      if (!isConflict(error) || run === conflictRuns || attempt.signal.aborted) throw error;
      await attempt.session.query("rollback");
      const state = await stateOf(attempt);
      if (!isOurs(attempt, state)) return standing(state);
      await sleep(Math.random() * 20 * run);
    }
  }
}

async function workOnce(attempt: Attempt): Promise<TaskOutcome> {
  const computed = await withSpan("compute", {}, () => compute(attempt));
  await attempt.at("computed");
  const held = await recordVerdict(attempt, computed);
  const measured = await remeasured(attempt, computed);
  const finished = await withSpan("finish", {}, () => finish(attempt, measured));
  if (finished === undefined) {
    await attempt.session.query("rollback");
    return standing(await stateOf(attempt));
  }
  await attempt.at("beforeCommit");
  const committed = await withSpan("commit", {}, () => commit(attempt));
  if (committed !== "committed") return committed;
  await attempt.at("afterCommit");
  return { kind: "done", rows: measured.rowsWritten, held, consumers: finished.consumers };
}

/** Begins and computes; for `select` both in one round trip. */
async function compute({ lane, dataset, session, spec, signal }: Attempt): Promise<Measured> {
  const timeout = Math.trunc(dataset.derived.timeoutMs);
  const begin = `begin isolation level repeatable read; set local statement_timeout = ${timeout}`;
  if (dataset.derived.transform.kind !== "map") return await computeSelect(beginningWith(session, begin), spec);
  await session.query(begin);
  const reader = await lane.reader();
  await reader.limitStatements(timeout);
  return await computeMap(session, reader, spec, signal);
}

/** The same session, which sends `begin` together with the next statement. */
function beginningWith(session: Session, begin: string): Tx {
  return { query: (text) => session.query(`${begin};\n${text}`) };
}

/**
 * Failed checks become rows, and one of severity `error` holds the dataset, all in the work transaction: the output is
 * committed with its evidence, for people to look at, and nothing downstream starts on it. True when held.
 */
async function recordVerdict({ ref, session, spec }: Attempt, measured: Measured): Promise<boolean> {
  const checked = { backfill: ref.backfill, dataset: ref.dataset, partition: String(spec.ordinal) };
  if (spec.replace) await clearCheckResults(session, checked);
  const { outcomes, hold } = await judgeTask(session, spec, measured);
  if (outcomes.length > 0) await insertCheckResults(session, { ...checked, results: outcomes });
  if (hold === null) return false;
  const reason = `${labelOf(spec.derived.partitions, spec.ordinal)}: ${hold}`;
  await holdDataset(session, { backfill: ref.backfill, dataset: ref.dataset, reason });
  return true;
}

/**
 * The stamp must tell what is committed: rows outside of the partition were removed by the verdict, so count and hash
 * are taken again; what failed stays on record as it was found.
 */
async function remeasured({ session, spec }: Attempt, computed: Measured): Promise<Measured> {
  if (!computed.failures.some(({ probe }) => probe.kind === "outside")) return computed;
  const { rowsWritten, outputHash } = await measureCandidate(session, spec, computed.rowsRead);
  return { ...computed, rowsWritten, outputHash };
}

/** Undefined when fenced. A worker that may have outlived its lease does not even ask. */
async function finish(attempt: Attempt, measured: Measured): Promise<Finished | undefined> {
  const { ref, plan, dataset, session, epoch, spec, signal } = attempt;
  await attempt.at("beforeFinish");
  signal.throwIfAborted();
  if (!attempt.leaseLives()) throw new RederiveError("fenced", "the worker's lease ran out during the work");
  const failed = new Map(measured.failures.map((failure) => [failure.probe.name, failure.count]));
  return await finishTask(session, {
    task: ref.task,
    epoch,
    planHash: plan.planHash,
    worker: attempt.worker,
    fingerprint: dataset.step.fingerprint,
    definition: dataset.step.definition,
    inputs: spec.bindings.map(stampInput),
    rowsRead: measured.rowsRead,
    rowsWritten: measured.rowsWritten,
    hashAlgorithm,
    outputHash: measured.outputHash,
    checks: spec.probes.map(({ name, severity }) => ({ name, severity, failures: failed.get(name) ?? 0 })),
    traceId: currentTraceId() ?? null,
  });
}

/**
 * A COMMIT whose reply is lost is unknown, not failed. The old backend is ended first: only then is it certain that
 * nothing is under way any more, and the task's row tells on a fresh connection.
 */
async function commit(attempt: Attempt): Promise<"committed" | TaskOutcome> {
  try {
    await withDeadline(attempt.session.query("commit"), commitReplyMs);
    return "committed";
  } catch (error) {
    // An answer of the server on a connection that lives is an answer: nothing was committed.
    if (attempt.session.usable && !isDeadline(error) && !attempt.signal.aborted) throw error;
    await attempt.lane.cut();
    await persistently(() => endOf(attempt));
    const state = await stateOf(attempt);
    if (state?.epoch === attempt.epoch && state.state === "done") return "committed";
    if (isOurs(attempt, state)) throw error;
    return standing(state);
  }
}

/** Rejects while the writer's backend may still be at work. */
async function endOf({ database, session }: Attempt): Promise<void> {
  if (await terminateBackend(database, { pid: session.pid, start: session.startedAt })) return;
  throw new RederiveError("unavailable", `backend ${session.pid} does not end`);
}

type State = Awaited<ReturnType<typeof taskState>>;

function stateOf({ database, ref }: Attempt): Promise<State> {
  return persistently(() => taskState(database, ref.task));
}

function isOurs(attempt: Attempt, state: State): boolean {
  return state?.state === "running" && state.epoch === attempt.epoch;
}

function stampInput({ input, recomputed, live, everything }: Binding): StampInput {
  const whole = everything === true ? { everything } : {};
  return { input: input.name, dataset: input.dataset.name, recomputed, live, ...whole };
}
