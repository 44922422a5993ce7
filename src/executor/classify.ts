/**
 * What an error means for the task that met it. Pure: by SQLSTATE, by the kind of error, and by whether the connection
 * was lost.
 *
 * `deterministic`: the same input gives the same error, so one more try is the limit. `timeout`: the statement took too
 * long; load may be the cause, so it gets few tries. `transient`: something around the task; all its tries are good.
 * `exhausted`: the server is out of disk or connections; every further try would make it worse.
 */
import { type ErrorCode, isRederiveError, messageOf, sqlState, withoutValues } from "../errors.ts";

export type FailureKind = "deterministic" | "timeout" | "transient" | "exhausted";

export interface Failure {
  readonly kind: FailureKind;
  readonly code: ErrorCode;
  /** At most 4 KiB of UTF-8. */
  readonly message: string;
  readonly sqlstate?: string;
}

/** More than any dataset allows, and still an int4. */
const unlimited = 1_000_000;

/** Attempts that may end in the same kind of error one after the other before the task fails. */
export const triesOf: Readonly<Record<FailureKind, number>> = {
  deterministic: 2,
  timeout: 2,
  transient: unlimited,
  exhausted: unlimited,
};

const longestMessageBytes = 4_096;

/** Classes of SQLSTATE whose cause lies around the task: connection, serialization, locks, operators, system, internal. */
const transientClasses = new Set(["08", "40", "53", "55", "57", "58", "XX"]);
/** 25006: the server became read-only (a failover). 25P03: the session was idle in its transaction for too long. */
const transientStates = new Set(["25006", "25P03"]);
const exhaustedStates = new Set(["53100", "53300"]);
/** Network errors of Node and postgres.js, and below those that `pg` gives without a code. */
const networkCodes = new Set([
  "ECONNRESET",
  "ECONNREFUSED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
]);
const networkMessages =
  /connection terminated|connection error|timeout expired|client was closed|timeout exceeded when trying to connect/i;

/** `connectionLost` is what the caller knows about the connection on which the error arose. */
export function classify(error: unknown, connectionLost = false): Failure {
  const root = rootOf(error);
  // "EPIPE" has the shape of a SQLSTATE.
  const sqlstate = isNetworkError(root) ? undefined : sqlState(root);
  const kind = kindOf(error, sqlstate, connectionLost);
  return {
    kind,
    code: codeOf(error, kind),
    message: cut(withoutValues(messageOf(error), sqlstate)),
    ...(sqlstate === undefined ? {} : { sqlstate }),
  };
}

/** Worth another run of the whole work transaction at once: nothing is wrong, others were faster. */
export function isConflict(error: unknown): boolean {
  const state = sqlState(error);
  return state === "40001" || state === "40P01";
}

function kindOf(error: unknown, sqlstate: string | undefined, connectionLost: boolean): FailureKind {
  if (sqlstate !== undefined) return kindOfState(sqlstate);
  if (connectionLost || isNetworkError(rootOf(error))) return "transient";
  // A mistake of ours or of a transform: an error without a server behind it comes again.
  return isRederiveError(error) && error.code === "unavailable" ? "transient" : "deterministic";
}

function kindOfState(sqlstate: string): FailureKind {
  if (exhaustedStates.has(sqlstate)) return "exhausted";
  if (sqlstate === "57014") return "timeout";
  if (transientStates.has(sqlstate) || transientClasses.has(sqlstate.slice(0, 2))) return "transient";
  return "deterministic";
}

function isNetworkError(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { code } = error as { code?: unknown };
  return (typeof code === "string" && networkCodes.has(code)) || networkMessages.test(messageOf(error));
}

function codeOf(error: unknown, kind: FailureKind): ErrorCode {
  if (isRederiveError(error)) return error.code;
  return kind === "deterministic" ? "transform_failed" : "unavailable";
}

/** A typed error often wraps the server's: the SQLSTATE is the cause's. */
function rootOf(error: unknown): unknown {
  let root = error;
  for (let depth = 0; depth < 5 && isRederiveError(root) && root.cause !== undefined; depth += 1) root = root.cause;
  return root;
}

/** Cut at a byte count, never inside a character. */
function cut(message: string): string {
  const bytes = Buffer.from(message, "utf8");
  if (bytes.length <= longestMessageBytes) return message;
  return `${bytes
    .subarray(0, longestMessageBytes - 4)
    .toString("utf8")
    .replace(/\uFFFD+$/, "")}…`;
}
