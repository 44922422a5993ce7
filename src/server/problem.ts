/**
 * Errors as RFC 9457 problem documents. One table gives every code its status and title; a new code of errors.ts
 * does not compile until it has a row here.
 *
 * What went wrong on the client's side is told in full. What went wrong on ours is told by code and trace id alone,
 * because a driver's message may name hosts, statements or rows; the log has the rest.
 */
import type { ErrorRequestHandler, Response } from "express";
import type { Logger } from "pino";
import { type ErrorCode, RederiveError, sqlState } from "../errors.ts";
import { redactText } from "../telemetry/redact.ts";

/** Codes that only HTTP knows. */
export type HttpCode =
  | "unknown_field"
  | "csrf"
  | "method_not_allowed"
  | "payload_too_large"
  | "unsupported_media_type"
  | "idempotency_mismatch"
  | "idempotency_unsettled"
  | "too_many_requests";
export type ProblemCode = ErrorCode | HttpCode;

interface Kind {
  readonly status: number;
  readonly title: string;
}

export const problemKinds: Readonly<Record<ProblemCode, Kind>> = {
  usage: { status: 400, title: "The request is not valid" },
  unknown_field: { status: 400, title: "The request has an unknown field" },
  unauthenticated: { status: 401, title: "Authentication is needed" },
  forbidden: { status: 403, title: "The role does not allow this" },
  csrf: { status: 403, title: "The request may come from another site" },
  not_found: { status: 404, title: "There is no such thing" },
  method_not_allowed: { status: 405, title: "The method is not allowed here" },
  plan_stale: { status: 409, title: "Live content changed since the plan was made" },
  assumption_broken: { status: 409, title: "Rows break what a dataset takes for granted" },
  overlapping_plan: { status: 409, title: "Another active backfill uses the same partitions" },
  wrong_state: { status: 409, title: "The state does not allow this" },
  approval_required: { status: 409, title: "An approval is missing" },
  approval_void: { status: 409, title: "An approval does not count any more" },
  changes_requested: { status: 409, title: "A reviewer asked for another plan" },
  self_approval: { status: 403, title: "Nobody approves what they asked for" },
  outside_change_window: { status: 409, title: "Live tables may not change now" },
  audit_behind: { status: 409, title: "The audit trail is not chained yet" },
  code_drift: { status: 409, title: "No worker runs the planned definitions" },
  lock_changed: { status: 409, title: "The lock file does not match the code" },
  held: { status: 409, title: "The backfill is held" },
  verification_failed: { status: 409, title: "The verification failed" },
  check_failed: { status: 409, title: "A check failed" },
  promote_deferred: { status: 409, title: "Live tables were locked for too long; try again later" },
  migrate_deferred: { status: 409, title: "The control schema was locked for too long; try again later" },
  live_writes_since_promotion: { status: 409, title: "Live rows changed since the promotion" },
  fenced: { status: 409, title: "Another attempt owns the task now" },
  idempotency_unsettled: { status: 409, title: "The first request with this key has no known answer" },
  restore_point_gone: { status: 410, title: "The restore point is gone" },
  payload_too_large: { status: 413, title: "The request body is too large" },
  unsupported_media_type: { status: 415, title: "The request body must be JSON" },
  idempotency_mismatch: { status: 422, title: "The idempotency key belongs to another request" },
  plan_refused: { status: 422, title: "The planner refuses this request" },
  plan_too_large: { status: 422, title: "The plan has too many tasks" },
  promote_refused: { status: 422, title: "A merge would break something" },
  transform_failed: { status: 422, title: "A transform failed" },
  too_many_requests: { status: 429, title: "Too many requests" },
  configuration: { status: 500, title: "The server is not configured properly" },
  catalog_invalid: { status: 500, title: "The catalog is not valid" },
  internal: { status: 500, title: "Something failed on the server" },
  unavailable: { status: 503, title: "A part of the server is away" },
  schema_incompatible: { status: 503, title: "The server is older than the control schema" },
};

/** A refusal by HTTP itself. */
export class HttpError extends Error {
  readonly code: HttpCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: HttpCode, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  readonly traceId: string;
  /** Values for programs, where the error has some. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The document for whatever was thrown. */
export function problemOf(error: unknown, traceId: string): Problem {
  const { code, detail, details } = factsOf(error);
  const { status, title } = problemKinds[code];
  const base = { type: `urn:rederive:problem:${code}`, title, status, code, traceId };
  if (status >= 500) return { ...base, detail: `${title}. The server's log has the reason under trace id ${traceId}.` };
  return { ...base, detail: redactText(detail), ...(isEmpty(details) ? {} : { details: redactDetails(details) }) };
}

/** Ends a chain of handlers: logs what is ours, and answers with a problem document. */
export function problemHandler(log: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const problem = problemOf(error, traceIdOf(response));
    const facts = {
      traceId: problem.traceId,
      code: problem.code,
      method: request.method,
      path: request.baseUrl + request.path,
    };
    if (problem.status >= 500) log.error({ ...facts, err: error }, "request failed");
    else if (problem.status === 401 || problem.status === 403) log.warn(facts, "request denied");
    sendProblem(response, problem);
  };
}

function sendProblem(response: Response, problem: Problem): void {
  response.status(problem.status).type("application/problem+json").send(JSON.stringify(problem));
}

/** The id that joins a response to the log; set by the first middleware. */
export function traceIdOf(response: Response): string {
  const traceId: unknown = response.locals["traceId"];
  return typeof traceId === "string" ? traceId : "";
}

interface Facts {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly details: Readonly<Record<string, unknown>>;
}

function factsOf(error: unknown): Facts {
  if (error instanceof RederiveError || error instanceof HttpError) {
    return { code: error.code, detail: error.message, details: error.details };
  }
  const code = bodyFault(error) ?? (isConnectionLoss(error) ? "unavailable" : "internal");
  return { code, detail: bodyDetails[code] ?? "", details: {} };
}

const bodyDetails: Partial<Record<ProblemCode, string>> = {
  usage: "the body or the path could not be read; send well-formed JSON and a well-formed path",
  payload_too_large: "the body is larger than 256 KB; ask for less at a time",
  unsupported_media_type: "the body's charset or encoding is not supported; send UTF-8 JSON",
};

/** Express and its body parser mark the client's faults with a status. Their messages quote the body, so are not used. */
function bodyFault(error: unknown): ProblemCode | undefined {
  const status = typeof error === "object" && error !== null ? (error as { status?: unknown }).status : undefined;
  if (status === 413) return "payload_too_large";
  if (status === 415) return "unsupported_media_type";
  return typeof status === "number" && status >= 400 && status < 500 ? "usage" : undefined;
}

const networkCodes = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "EPIPE", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "EHOSTUNREACH"],
  ...["CONNECT_TIMEOUT", "CONNECTION_CLOSED", "CONNECTION_ENDED", "CONNECTION_DESTROYED"],
]);

/** Postgres or Redis is away: SQLSTATE class 08, shutdown (57P0x), too many connections, or a network error. */
function isConnectionLoss(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined && /^(08|57P0|53300)/.test(state)) return true;
  const code = typeof error === "object" && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === "string" && networkCodes.has(code);
}

function isEmpty(details: Readonly<Record<string, unknown>>): boolean {
  return Object.keys(details).length === 0;
}

function redactDetails(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return JSON.parse(redactText(JSON.stringify(details))) as Record<string, unknown>;
}
