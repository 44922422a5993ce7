/** Exit codes, and how an error is said on the terminal. */
import { type ErrorCode, isRederiveError, messageOf } from "../errors.ts";
import type { BackfillState } from "../states.ts";
import { Interrupted } from "./interrupt.ts";

export const exitCodes = {
  done: 0,
  unexpected: 1,
  usage: 2,
  checksFailed: 3,
  refused: 4,
  notFound: 5,
  workToDo: 6,
} as const;

const byCode: Readonly<Record<ErrorCode, number>> = {
  usage: exitCodes.usage,
  configuration: exitCodes.usage,
  catalog_invalid: exitCodes.usage,
  schema_incompatible: exitCodes.usage,
  not_found: exitCodes.notFound,
  plan_refused: exitCodes.refused,
  plan_too_large: exitCodes.refused,
  plan_stale: exitCodes.refused,
  assumption_broken: exitCodes.refused,
  overlapping_plan: exitCodes.refused,
  wrong_state: exitCodes.refused,
  approval_required: exitCodes.refused,
  approval_void: exitCodes.refused,
  changes_requested: exitCodes.refused,
  self_approval: exitCodes.refused,
  outside_change_window: exitCodes.refused,
  audit_behind: exitCodes.refused,
  code_drift: exitCodes.refused,
  lock_changed: exitCodes.refused,
  promote_deferred: exitCodes.refused,
  migrate_deferred: exitCodes.refused,
  promote_refused: exitCodes.refused,
  live_writes_since_promotion: exitCodes.refused,
  restore_point_gone: exitCodes.refused,
  unauthenticated: exitCodes.refused,
  forbidden: exitCodes.refused,
  held: exitCodes.checksFailed,
  verification_failed: exitCodes.checksFailed,
  check_failed: exitCodes.checksFailed,
  fenced: exitCodes.unexpected,
  transform_failed: exitCodes.unexpected,
  unavailable: exitCodes.unexpected,
  internal: exitCodes.unexpected,
};

export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  return isRederiveError(error) ? byCode[error.code] : exitCodes.unexpected;
}

/** The exit code of a run that ended in this state. */
export function exitCodeOfState(state: BackfillState): number {
  switch (state) {
    case "verified":
    case "promoted":
    case "finalized":
    case "rolled_back":
      return exitCodes.done;
    case "held":
    case "failed":
      return exitCodes.checksFailed;
    case "cancelled":
    case "paused":
      return exitCodes.refused;
    case "planned":
    case "approved":
    case "running":
    case "promoting":
      return exitCodes.unexpected;
  }
}

/** What went wrong, in one block; unexpected errors keep their stack, expected ones are for people. */
export function describeError(error: unknown): string {
  if (isRederiveError(error)) return `rederive: ${error.message} [${error.code}]`;
  if (error instanceof Interrupted) return `rederive: ${error.message}`;
  return `rederive: unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}`;
}
