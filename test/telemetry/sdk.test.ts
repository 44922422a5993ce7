import { context, metrics, propagation, trace } from "@opentelemetry/api";
import { afterEach, describe, expect, it } from "vitest";
import { observeFleet, recordError, recordPromotion, recordTask } from "../../src/telemetry/metrics.ts";
import { startTelemetry, type Telemetry, telemetryWishes } from "../../src/telemetry/sdk.ts";

let telemetry: Telemetry | undefined;

afterEach(async () => {
  await telemetry?.shutdown();
  telemetry = undefined;
  for (const api of [trace, metrics, context, propagation]) api.disable();
});

describe("the standard variables", () => {
  it.each([
    [{}, { disabled: false, traces: false, metrics: false }],
    [{ OTEL_SERVICE_NAME: "x" }, { disabled: false, traces: false, metrics: false }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318" }, { disabled: false, traces: true, metrics: true }],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c:4318" }, { disabled: false, traces: true, metrics: false }],
    [{ OTEL_TRACES_EXPORTER: "console" }, { disabled: false, traces: true, metrics: false }],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c", OTEL_METRICS_EXPORTER: "none" },
      { disabled: false, traces: true, metrics: false },
    ],
    [
      { OTEL_SDK_DISABLED: "true", OTEL_TRACES_EXPORTER: "otlp" },
      { disabled: true, traces: false, metrics: false },
    ],
  ])("%j", (variables, wishes) => {
    expect(telemetryWishes(variables)).toEqual(wishes);
  });
});

describe("starting", () => {
  it("does nothing where nothing is asked for", async () => {
    telemetry = await startTelemetry({ serviceName: "rederive", role: "worker", variables: {} });
    expect(telemetry.prometheus).toBeUndefined();
    expect(trace.getTracer("rederive").startSpan("x").isRecording()).toBe(false);
    recordTask({ dataset: "revenue", outcome: "done", seconds: 1 });
  });

  it("does nothing where the SDK is switched off", async () => {
    telemetry = await startTelemetry({
      serviceName: "rederive",
      role: "web",
      variables: { OTEL_SDK_DISABLED: "true" },
    });
    expect(telemetry.prometheus).toBeUndefined();
  });

  it("keeps metrics for a web process to be scraped", async () => {
    // An instrument that was used before the SDK started must not stay a no-op.
    recordTask({ dataset: "early", outcome: "done", seconds: 1 });
    telemetry = await startTelemetry({ serviceName: "rederive", role: "web", variables: {} });
    recordTask({ dataset: "revenue", outcome: "done", seconds: 0.2, rows: 31 });
    recordTask({ dataset: "revenue", outcome: "failed", seconds: 0.1 });
    recordError("22012", "revenue");
    recordPromotion("promote", "done");
    let reads = 0;
    const stop = observeFleet(async () => {
      reads += 1;
      return { tasks: { ready: 4 }, queues: { backfill: { waiting: 3 } } };
    });
    const text = (await telemetry.prometheus?.()) ?? "";
    expect(text).toContain('rederive_tasks_total{dataset="revenue",outcome="done"} 1');
    expect(text).toContain('rederive_tasks_total{dataset="revenue",outcome="failed"} 1');
    expect(text).toContain('rederive_rows_total{dataset="revenue"} 31');
    expect(text).toContain('rederive_task_duration_bucket{dataset="revenue",outcome="done",le="0.25"} 1');
    expect(text).toContain('rederive_errors_total{code="22012",dataset="revenue"} 1');
    expect(text).toContain('rederive_promotions_total{act="promote",outcome="done"} 1');
    expect(text).toContain('rederive_task_states{state="ready"} 4');
    expect(text).toContain('rederive_queue_depth{queue="backfill",state="waiting"} 3');
    expect(text).toContain('service_name="rederive"');
    expect(text).not.toMatch(/process_command|host_name/);
    stop();
    await telemetry.prometheus?.();
    expect(reads).toBe(1);
  });

  it("survives gauges that cannot be read", async () => {
    telemetry = await startTelemetry({ serviceName: "rederive", role: "web", variables: {} });
    observeFleet(() => Promise.reject(new Error("Postgres is away")));
    recordPromotion("rollback", "refused");
    expect(await telemetry.prometheus?.()).toContain("rederive_promotions_total");
  });

  it("sends metrics by OTLP and is scraped at once, where both are asked for", async () => {
    const variables = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_TRACES_EXPORTER: "none" };
    telemetry = await startTelemetry({ serviceName: "rederive", role: "web", variables, flushMs: 50 });
    recordPromotion("promote", "deferred");
    expect(await telemetry.prometheus?.()).toContain('outcome="deferred"');
  });
});
