/**
 * The two state machines. Each edge says what causes it; the store enforces them in the `where` of every update
 * (`where state = any(sourcesOf(...))`). Terminal states have no edges out and never change.
 */

export type BackfillState =
  | "planned"
  | "approved"
  | "running"
  | "paused"
  | "held"
  | "verified"
  | "promoting"
  | "promoted"
  | "finalized"
  | "rolled_back"
  | "cancelled"
  | "failed";

export const backfillTransitions: Readonly<Record<BackfillState, readonly BackfillState[]>> = {
  planned: [
    "approved", // someone with the right to do so agreed to this plan hash
    "running", // started where the environment asks for no approval
    "cancelled", // given up before it began
  ],
  approved: [
    "planned", // an approval was taken back, or a reviewer wants another plan
    "running", // started
    "cancelled", // given up before it began
  ],
  running: [
    "paused", // a person stopped the release of new tasks
    "held", // nothing can go on until someone decides: a failed check, a failed or quarantined task, code drift
    "verified", // every task is done and the dataset-wide checks hold
    "cancelled", // a person gave it up
    "failed", // it cannot be carried out any more, for example its tables are gone
  ],
  paused: [
    "running", // resumed
    "cancelled", // a person gave it up
  ],
  held: [
    "running", // resumed after the hold was released, or a retry of what failed
    "cancelled", // a person gave it up
  ],
  verified: [
    "promoting", // the promotion transaction has begun its work
    "held", // a changed rule was asked of the candidates, and they break it
    "running", // tasks went stale, or a retry was asked for
    "cancelled", // the result is not wanted
  ],
  promoting: [
    "promoted", // committed in the promotion transaction itself
    "verified", // deferred or refused; nothing live changed
  ],
  promoted: [
    "rolled_back", // the before-images are live again
    "finalized", // the restore point was dropped; no way back
  ],
  rolled_back: [
    "promoting", // promoted again from the same candidates
    "cancelled", // the result is not wanted
  ],
  finalized: [],
  cancelled: [],
  failed: [],
};

export type TaskState =
  | "waiting"
  | "ready"
  | "running"
  | "done"
  | "unchanged"
  | "stale"
  | "failed"
  | "quarantined"
  | "cancelled";

export const taskTransitions: Readonly<Record<TaskState, readonly TaskState[]>> = {
  waiting: [
    "ready", // its last upstream is done
    "cancelled", // the backfill was cancelled
    "unchanged", // its upstreams came out equal to what its live content was made of
  ],
  ready: [
    "running", // claimed: epoch + 1
    "cancelled", // the backfill was cancelled
  ],
  running: [
    "running", // claimed anew after the old attempt was lost: epoch + 1
    "ready", // a transient error; it will be tried again
    "done", // committed together with its output and its stamp
    "failed", // a deterministic error, or attempts used up
    "quarantined", // it took too many workers with it
    "cancelled", // the backfill was cancelled
  ],
  done: [
    "stale", // a source changed under it after its snapshot, or a retry of the partition was asked for
  ],
  stale: [
    "ready", // to be computed again
    "waiting", // to be computed again, after upstreams that are stale too
    "cancelled", // the backfill was cancelled
  ],
  failed: [
    "ready", // a person asked for a retry
    "cancelled", // the backfill was cancelled
  ],
  quarantined: [
    "ready", // a person asked for a retry
    "cancelled", // the backfill was cancelled
  ],
  unchanged: [
    "stale", // an upstream is computed again, or a retry of the partition was asked for
  ],
  cancelled: [],
};

/** Every state from which `target` may be reached: the `where state = any(...)` of the update that goes there. */
export function backfillSourcesOf(target: BackfillState): BackfillState[] {
  return sourcesOf(backfillTransitions, target);
}

/** Every state from which `target` may be reached: the `where state = any(...)` of the update that goes there. */
export function taskSourcesOf(target: TaskState): TaskState[] {
  return sourcesOf(taskTransitions, target);
}

function sourcesOf<State extends string>(
  transitions: Readonly<Record<State, readonly State[]>>,
  target: State,
): State[] {
  return (Object.keys(transitions) as State[]).filter((from) => transitions[from].includes(target));
}
