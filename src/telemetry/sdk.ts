/**
 * Starts the OpenTelemetry SDK where the standard OTEL_* variables ask for it, and the Prometheus reader behind
 * `/metrics` in a process that serves it. Elsewhere the SDK is not even loaded (it takes a third of a second), and
 * the API's no-op implementation runs.
 *
 * The SDK reads the variables itself; what is decided here is only whether to start it, and with which readers.
 */
import type { NodeSDKConfiguration, metrics as sdkMetrics } from "@opentelemetry/sdk-node";

export type ProcessRole = "web" | "worker" | "planner" | "cli";

export interface TelemetryOptions {
  /** OTEL_SERVICE_NAME overrides it. */
  readonly serviceName: string;
  readonly role: ProcessRole;
  /** The environment variables of this process; only those that begin with OTEL_ are looked at. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Keep metrics for `/metrics` in this process; default: in the role web alone. */
  readonly scrape?: boolean;
  /** How long `shutdown` waits for a collector. Default 5,000. */
  readonly flushMs?: number;
}

export interface Telemetry {
  /** The metrics in Prometheus' text format; undefined where this process does not keep them. */
  readonly prometheus: (() => Promise<string>) | undefined;
  /** Sends what is still buffered, waiting `flushMs` at most. */
  shutdown(): Promise<void>;
}

const off: Telemetry = { prometheus: undefined, shutdown: async () => {} };

export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const wishes = telemetryWishes(options.variables);
  const scrape = !wishes.disabled && (options.scrape ?? options.role === "web");
  if (wishes.disabled || !(wishes.traces || wishes.metrics || scrape)) return off;
  const { NodeSDK, resources } = await import("@opentelemetry/sdk-node");
  const scraping = scrape ? await prometheusReader() : undefined;
  const sdk = new NodeSDK({
    resource: resources.resourceFromAttributes({ "rederive.role": options.role }),
    ...(options.variables["OTEL_SERVICE_NAME"] ? {} : { serviceName: options.serviceName }),
    // The default detectors add the command line and the host's name to everything that is sent and scraped; a
    // command line can hold a connection string.
    ...(options.variables["OTEL_NODE_RESOURCE_DETECTORS"] ? {} : { resourceDetectors: [resources.envDetector] }),
    ...(wishes.traces ? {} : { spanProcessors: [] }),
    // We write no OpenTelemetry logs; pino's lines carry the trace ids instead.
    logRecordProcessors: [],
    ...(await metricReaders(wishes.metrics, scraping?.reader, options.variables)),
  });
  sdk.start();
  return { prometheus: scraping?.text, shutdown: () => within(options.flushMs ?? 5_000, sdk.shutdown()) };
}

/** Whether the variables ask for anything: an exporter other than none, or an endpoint to send to. */
export function telemetryWishes(variables: Readonly<Record<string, string | undefined>>): {
  disabled: boolean;
  traces: boolean;
  metrics: boolean;
} {
  const disabled = variables["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true";
  const asks = (signal: "TRACES" | "METRICS"): boolean => {
    const exporter = variables[`OTEL_${signal}_EXPORTER`]?.trim();
    if (exporter) return exporter !== "none";
    return Boolean(variables["OTEL_EXPORTER_OTLP_ENDPOINT"] || variables[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]);
  };
  return { disabled, traces: !disabled && asks("TRACES"), metrics: !disabled && asks("METRICS") };
}

/** A reader without a port of its own: the server asks it for the text. */
async function prometheusReader(): Promise<{ reader: sdkMetrics.IMetricReader; text: () => Promise<string> }> {
  const { PrometheusExporter, PrometheusSerializer } = await import("@opentelemetry/exporter-prometheus");
  const reader = new PrometheusExporter({ preventServerStart: true });
  const serializer = new PrometheusSerializer(undefined, false, undefined, false, true);
  return { reader, text: async () => serializer.serialize((await reader.collect()).resourceMetrics) };
}

/**
 * Without a reader of ours the SDK makes its own from the variables. It does not where it is given one, so then the
 * OTLP reader, if it is asked for, is made here.
 */
async function metricReaders(
  asked: boolean,
  scraping: sdkMetrics.IMetricReader | undefined,
  variables: Readonly<Record<string, string | undefined>>,
): Promise<Pick<Partial<NodeSDKConfiguration>, "metricReaders">> {
  if (scraping === undefined) return asked ? {} : { metricReaders: [] };
  const exporter = variables["OTEL_METRICS_EXPORTER"]?.trim() || "otlp";
  if (!asked || !exporter.split(",").includes("otlp")) return { metricReaders: [scraping] };
  const { metrics } = await import("@opentelemetry/sdk-node");
  return {
    metricReaders: [scraping, new metrics.PeriodicExportingMetricReader({ exporter: await otlpExporter(variables) })],
  };
}

async function otlpExporter(
  variables: Readonly<Record<string, string | undefined>>,
): Promise<sdkMetrics.PushMetricExporter> {
  const protocol = variables["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"] ?? variables["OTEL_EXPORTER_OTLP_PROTOCOL"];
  if (protocol === "grpc") return new (await import("@opentelemetry/exporter-metrics-otlp-grpc")).OTLPMetricExporter();
  if (protocol === "http/json")
    return new (await import("@opentelemetry/exporter-metrics-otlp-http")).OTLPMetricExporter();
  return new (await import("@opentelemetry/exporter-metrics-otlp-proto")).OTLPMetricExporter();
}

/** A collector that is away must not keep the process alive; what is buffered then is lost. */
async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([work.catch(() => {}), timeout]);
  clearTimeout(timer);
}
