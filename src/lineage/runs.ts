/**
 * Which OpenLineage events are due, from what Postgres says of a backfill and its datasets. Pure.
 *
 * A dataset of a backfill is a run, and so is the backfill, which is the parent of the others. A run begins with its first
 * task, ends well when the backfill is verified, and fails when the backfill is held for it: what happens after a retry is
 * a run of its own.
 */
import type { BackfillState } from "../states.ts";
import type { DatasetProgress } from "../store/lineage-runs.ts";

export type EventType = "START" | "RUNNING" | "COMPLETE" | "FAIL" | "ABORT";

/** What is known of one dataset of a backfill, or of the whole (`dataset` is empty). Instants in ms since the epoch. */
export interface RunStanding extends Omit<DatasetProgress, "partitions" | "fingerprint" | "error"> {
  readonly state: BackfillState;
  readonly now: number;
  readonly run: KnownRun | undefined;
}

/** The newest run that was told of. */
export interface KnownRun {
  readonly attempt: number;
  readonly ended: string | null;
  readonly toldAt: number;
}

export interface DueEvent {
  readonly type: EventType;
  readonly attempt: number;
  readonly at: number;
}

const ongoing: readonly BackfillState[] = ["running", "paused", "held"];

/**
 * Whether `dueEvents` may give anything for a run, whatever its tasks have come to: where it says no of all runs of a
 * backfill, nobody needs to count them. Of a run that ended well or was given up there is nothing more to tell.
 */
export function mayBeDue(
  run: KnownRun | undefined,
  { state, now, began }: Pick<RunStanding, "state" | "now"> & { readonly began: boolean },
  runningMs: number,
): boolean {
  if (run === undefined) return began || !ongoing.includes(state);
  if (run.ended !== null) return run.ended === "FAIL" && state !== "held" && state !== "paused";
  return state === "running" ? now - run.toldAt >= runningMs : state !== "paused";
}

/** In the order in which they are to be told. RUNNING comes every `runningMs` at most. */
export function dueEvents(standing: RunStanding, runningMs: number): DueEvent[] {
  const { run, now } = standing;
  const end = endOf(standing);
  const open = run !== undefined && run.ended === null;
  if (!open && !begins(standing, end)) return [];
  const attempt = open ? run.attempt : (run?.attempt ?? 0) + 1;
  const began = run === undefined ? (standing.beganAt ?? now) : now;
  const begin: DueEvent[] = open ? [] : [{ type: "START", attempt, at: began }];
  if (end !== undefined)
    return [...begin, { type: end, attempt, at: Math.max(endTime(standing, end), open ? 0 : began) }];
  const silent = open && standing.state === "running" && now - run.toldAt >= runningMs;
  return silent ? [{ type: "RUNNING", attempt, at: now }] : begin;
}

/** A run that has ended begins anew only after a failure that somebody has dealt with. */
function begins({ run, state, beganAt, total, unchanged }: RunStanding, end: EventType | undefined): boolean {
  if (run !== undefined) return run.ended === "FAIL" && end !== "FAIL" && (state === "running" || end !== undefined);
  return beganAt !== null || (end === "COMPLETE" && total > 0 && unchanged === total);
}

const wellEnded: readonly BackfillState[] = ["verified", "promoting", "promoted", "finalized", "rolled_back"];

function endOf({ state, failed, held, dataset }: RunStanding): EventType | undefined {
  if (state === "cancelled") return "ABORT";
  if (state === "failed") return "FAIL";
  if (wellEnded.includes(state)) return "COMPLETE";
  // Of a held backfill only the datasets that it is held for have failed.
  return state === "held" && (dataset === "" || failed > 0 || held) ? "FAIL" : undefined;
}

function endTime({ endedAt, now, dataset }: RunStanding, end: EventType): number {
  return end === "COMPLETE" && dataset !== "" ? (endedAt ?? now) : now;
}
