/**
 * The one error type of rederive, and its codes.
 *
 * A message says what happened, the value that was seen, and what to do next. `code` is stable and meant for
 * programs; the command line maps it to an exit code and the HTTP API to a status.
 */

export type ErrorCode =
  | "usage" // a bad argument, flag or request body
  | "configuration" // the configuration or the environment cannot work
  | "catalog_invalid" // one or more faults in the dataset definitions
  | "not_found" // no such backfill, dataset, partition or token
  | "plan_refused" // the planner will not plan this request
  | "plan_too_large" // more tasks than the limit allows
  | "plan_stale" // live content changed since the plan was made
  | "assumption_broken" // rows break what a dataset takes for granted
  | "overlapping_plan" // another active backfill writes or reads the same partitions
  | "wrong_state" // the backfill or task is not in a state that allows the act
  | "approval_required" // fewer people agreed than the plan needs
  | "approval_void" // an approval was given, and does not count any more
  | "changes_requested" // a reviewer wants another plan
  | "self_approval" // the one who asked cannot approve
  | "outside_change_window"
  | "audit_behind" // what was decided before is not chained yet
  | "code_drift" // no worker runs the definitions that the plan was made with
  | "lock_changed" // rederive.lock.json does not match the code
  | "held" // a check failed, and somebody has to decide
  | "verification_failed"
  | "check_failed"
  | "promote_deferred" // live tables were locked by others for too long
  | "migrate_deferred" // tables of the control schema were locked by others for too long
  | "promote_refused" // the catalog preflight found what a merge would break
  | "live_writes_since_promotion" // a rollback would overwrite later writes
  | "restore_point_gone"
  | "schema_incompatible" // this process is older than the control schema
  | "unauthenticated"
  | "forbidden"
  | "fenced" // another attempt owns the task now
  | "transform_failed"
  | "unavailable" // Postgres or Redis cannot be reached
  | "internal";

export interface RederiveErrorOptions {
  /** Values for programs: JSON-serialisable, never secrets or row contents. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class RederiveError extends Error {
  override readonly name = "RederiveError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: RederiveErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** Also true for an error of another copy of this package, which a loader of configuration files may have made. */
export function isRederiveError(error: unknown): error is RederiveError {
  return (
    error instanceof RederiveError || (error instanceof Error && error.name === "RederiveError" && "code" in error)
  );
}

/** The five-character SQLSTATE of a Postgres error from either driver, or undefined for any other error. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/**
 * A message of Postgres without what it quotes of rows: errors about data (class 22) name the value that they are about, and
 * messages get into logs, traces and the queue.
 */
export function withoutValues(message: string, state: string | undefined): string {
  // From the first quote to the last, as quotes inside of a value are not escaped.
  return state?.startsWith("22") ? message.replace(/".*"/s, '"…"') : message;
}

/** A one-line text for a person, whatever was thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return String(error);
}
