/** How far a backfill is, and waiting for its end. */
import type { Catalog } from "../catalog/catalog.ts";
import { labelOf } from "../catalog/label.ts";
import { RederiveError } from "../errors.ts";
import { latenessText } from "../planner/pace.ts";
import type { RunEvent, Status, TaskCounts } from "../report.ts";
import type { BackfillState, TaskState } from "../states.ts";
import { type BackfillRow, listBackfills, readDatasets } from "../store/backfills.ts";
import { readPhases } from "../store/phases.ts";
import { failedChecks, liveProcesses, rowsWritten } from "../store/status.ts";
import { countTasks, troubledTasks } from "../store/tasks.ts";
import type { Tx } from "../tx.ts";
import { type Context, requireBackfill } from "./context.ts";

const troublesShown = 100;
const checksShown = 100;

export async function status(context: Context, id: string): Promise<Status> {
  const row = await requireBackfill(context.database, id);
  return statusOf(context.database, context.catalog, row);
}

/** Newest first; default 20. */
export async function list(context: Context, options: { limit?: number; state?: BackfillState }): Promise<Status[]> {
  const touching = context.sight && [...context.sight.datasets];
  const rows = await listBackfills(context.database, { limit: options.limit ?? 20, state: options.state, touching });
  return Promise.all(rows.map((row) => statusOf(context.database, context.catalog, row)));
}

async function statusOf(tx: Tx, catalog: Catalog, row: BackfillRow): Promise<Status> {
  const [datasets, counts, rows, troubles, checks, workers, phases] = await Promise.all([
    readDatasets(tx, row.id),
    countTasks(tx, row.id),
    rowsWritten(tx, row.id),
    troubledTasks(tx, row.id, troublesShown),
    failedChecks(tx, row.id, checksShown),
    liveProcesses(tx, "worker"),
    readPhases(tx, row.id),
  ]);
  const label = (dataset: string, ordinal: number) => {
    const found = catalog.datasets.get(dataset);
    return found ? labelOf(found.partitions, ordinal) : String(ordinal);
  };
  return {
    backfill: row.id,
    planHash: row.planHash,
    state: row.state,
    stateReason: row.stateReason,
    reason: row.reason,
    requestedBy: row.requestedBy,
    createdAt: row.createdAt,
    startedAt: row.startedAt,
    finishedAt: row.finishedAt,
    ...(row.forecast.deadline === undefined ? {} : { deadline: row.forecast.deadline }),
    tasks: tally(counts),
    total: counts.reduce((sum, entry) => sum + entry.count, 0),
    datasets: datasets.map((dataset) => ({
      dataset: dataset.dataset,
      tasks: tally(counts.filter((entry) => entry.dataset === dataset.dataset)),
      held: dataset.held,
      ...(dataset.holdReason === null ? {} : { holdReason: dataset.holdReason }),
      rows: rows.get(dataset.dataset) ?? 0,
    })),
    ...(phases.length === 0 ? {} : { phases: phases.map(({ ordinal: _ordinal, ...phase }) => phase) }),
    troubles: troubles.map((task) => ({
      dataset: task.dataset,
      partition: label(task.dataset, task.partition),
      ordinal: task.partition,
      state: task.state,
      attempts: task.attempts,
      error: task.error ?? { code: "internal", message: "no error was recorded" },
    })),
    failedChecks: checks.map((check) => ({
      ...check,
      partition: check.partition === null ? null : label(check.dataset, check.partition),
    })),
    seconds: secondsBetween(row.startedAt, row.finishedAt),
    workers,
  };
}

/** States in which a run has nothing more to do by itself. */
const ends: readonly BackfillState[] = [
  "verified",
  "held",
  "promoted",
  "finalized",
  "rolled_back",
  "cancelled",
  "failed",
  "paused",
];

export interface FollowOptions {
  readonly signal?: AbortSignal;
  /** Called while something changes: often in a short run, about once a second in a long one. */
  readonly onProgress?: (event: RunEvent) => void;
}

/** Resolves when the backfill can go no further by itself: verified, held, paused, cancelled or failed. */
export async function follow(context: Context, id: string, options: FollowOptions = {}): Promise<Status> {
  const started = performance.now();
  let seen = "";
  const held = new Set<string>();
  let late = false;
  for (;;) {
    options.signal?.throwIfAborted();
    const { state } = await requireBackfill(context.database, id);
    if (state === "planned" || state === "approved") {
      throw new RederiveError("wrong_state", `${id} was never started; run "rederive run ${id}"`);
    }
    const ended = ends.includes(state);
    if (ended || options.onProgress !== undefined) {
      const now = await status(context, id);
      const line = JSON.stringify([now.tasks, now.state]);
      if (line !== seen) options.onProgress?.(progressOf(now));
      seen = line;
      for (const event of [...newHolds(now, held), ...(late ? [] : lateEvents(now))]) options.onProgress?.(event);
      late ||= now.deadline?.late !== undefined;
      if (ended) return now;
    }
    await pauseFor(pollMs(performance.now() - started), options.signal);
  }
}

/** A short run is followed closely and a long one seldom: the end is seen a few hundredths of the run late. */
function pollMs(elapsedMs: number): number {
  return Math.min(1_000, Math.max(40, elapsedMs / 20));
}

/** Holds that were not there at the last look. */
function newHolds(status: Status, known: Set<string>): RunEvent[] {
  const fresh = status.datasets.filter(({ dataset, held }) => held && !known.has(dataset));
  for (const { dataset } of fresh) known.add(dataset);
  return fresh.map(({ dataset, holdReason }) => {
    return { event: "held", backfill: status.backfill, dataset, reason: holdReason ?? "" };
  });
}

function lateEvents({ backfill, deadline }: Status): RunEvent[] {
  if (deadline?.late === undefined) return [];
  const message = latenessText(deadline.at, deadline.late);
  return [{ event: "late", backfill, deadline: deadline.at, expected: deadline.late.expected, message }];
}

/** The last event of a followed run. */
export function finishedEvent(status: Status): RunEvent {
  const { done, unchanged, failed, quarantined, cancelled } = status.tasks;
  return {
    event: "finished",
    backfill: status.backfill,
    state: status.state,
    tasks: { done, unchanged, failed, quarantined, cancelled },
    seconds: status.seconds,
  };
}

function progressOf(status: Status): RunEvent {
  return {
    event: "progress",
    backfill: status.backfill,
    state: status.state,
    tasks: status.tasks,
    total: status.total,
    rows: status.datasets.reduce((sum, dataset) => sum + dataset.rows, 0),
    seconds: status.seconds,
  };
}

function tally(counts: readonly { state: TaskState; count: number }[]): TaskCounts {
  const total: Record<TaskState, number> = {
    waiting: 0,
    ready: 0,
    running: 0,
    done: 0,
    unchanged: 0,
    stale: 0,
    failed: 0,
    quarantined: 0,
    cancelled: 0,
  };
  for (const { state, count } of counts) total[state] += count;
  return total;
}

function secondsBetween(from: string | null, to: string | null): number {
  if (from === null) return 0;
  const end = to === null ? Date.now() : Date.parse(to);
  return Math.max(0, Math.round(end - Date.parse(from)) / 1000);
}

async function pauseFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}
