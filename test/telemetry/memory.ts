/** An SDK whose spans stay in memory. */
import { NodeSDK, tracing } from "@opentelemetry/sdk-node";

export interface SpanMemory {
  readonly spans: () => tracing.ReadableSpan[];
  readonly reset: () => void;
  readonly stop: () => Promise<void>;
}

export function rememberSpans(): SpanMemory {
  const exporter = new tracing.InMemorySpanExporter();
  const sdk = new NodeSDK({
    autoDetectResources: false,
    spanProcessors: [new tracing.SimpleSpanProcessor(exporter)],
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  return { spans: () => exporter.getFinishedSpans(), reset: () => exporter.reset(), stop: () => sdk.shutdown() };
}
