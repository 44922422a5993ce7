/**
 * Spans, and how a trace travels: as a W3C traceparent, stored with the backfill by the planning span and carried by
 * every job to the worker that runs it.
 */
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { messageOf, RederiveError, sqlState, withoutValues } from "../errors.ts";
import { redactText } from "./redact.ts";

export interface SpanSettings {
  /** Default: internal. */
  readonly kind?: SpanKind;
  /** A W3C traceparent to continue; default: the active span is the parent. */
  readonly traceparent?: string | null | undefined;
}

/** Runs `work` inside a span that ends with it; a thrown error is recorded and thrown on. */
export async function withSpan<Result>(
  name: string,
  attributes: Attributes,
  work: (span: Span) => Promise<Result> | Result,
  settings: SpanSettings = {},
): Promise<Result> {
  const parent = settings.traceparent ? contextOf(settings.traceparent) : context.active();
  const options = { kind: settings.kind ?? SpanKind.INTERNAL, attributes };
  return await trace.getTracer("rederive").startActiveSpan(name, options, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      endWithError(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Marks a span as failed. The caller still ends it. Stack traces stay in the log. */
export function endWithError(span: Span, error: unknown): void {
  const kind = error instanceof RederiveError ? error.code : (sqlState(error) ?? nameOf(error));
  span.setAttribute("error.type", kind);
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: redactText(withoutValues(messageOf(error), sqlState(error))).slice(0, 500),
  });
}

/** The active span as a traceparent for storage; undefined outside a trace. */
export function currentTraceparent(): string | undefined {
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  return carrier["traceparent"];
}

/** A context whose spans continue the trace of a stored traceparent. */
export function contextOf(traceparent: string): Context {
  return propagation.extract(context.active(), { traceparent });
}

/** The trace that is active here, for logs, stamps and problem documents; undefined outside a trace. */
export function currentTraceId(): string | undefined {
  const spanContext = trace.getActiveSpan()?.spanContext();
  return spanContext && isSpanContextValid(spanContext) ? spanContext.traceId : undefined;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
