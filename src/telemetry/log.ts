/**
 * Logs: JSON lines on standard error, because standard output is for data. Each line made inside a trace carries
 * `trace_id` and `span_id`. Every finished line passes through the redaction, error messages and stacks included.
 */
import { trace } from "@opentelemetry/api";
import { type DestinationStream, destination as fileDestination, type Logger, pino } from "pino";
import { RederiveError, sqlState, withoutValues } from "../errors.ts";
import { redactText } from "./redact.ts";

export type { Logger } from "pino";

export interface LogOptions {
  /** Which process writes: web, worker, planner. */
  readonly name: string;
  /** A pino level, or silent. Default: info. */
  readonly level?: string;
  /** Default: standard error. */
  readonly destination?: DestinationStream;
}

const secretNames = [
  "authorization",
  "cookie",
  "password",
  "secret",
  "token",
  "connectionString",
  "databaseUrl",
  "redisUrl",
];

export function createLog(options: LogOptions): Logger {
  return pino(
    {
      name: options.name,
      level: options.level ?? "info",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      mixin: traceIds,
      serializers: { err: errorForLog, error: errorForLog },
      redact: {
        paths: secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: "[redacted]",
      },
      hooks: { streamWrite: redactText },
    },
    options.destination ?? fileDestination({ dest: 2, sync: true }),
  );
}

function traceIds(): { trace_id?: string; span_id?: string } {
  const span = trace.getActiveSpan()?.spanContext();
  return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
}

interface LoggedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: LoggedError;
}

/** Named fields alone: drivers hang statements, parameters and row values on their errors. */
function errorForLog(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const code = error instanceof RederiveError ? error.code : sqlState(error);
  return {
    type: error.name,
    message: withoutValues(error.message, sqlState(error)),
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined ? {} : { stack: withoutValues(error.stack, sqlState(error)) }),
    ...(error.cause === undefined || depth > 4 ? {} : { cause: errorForLog(error.cause, depth + 1) }),
  };
}
