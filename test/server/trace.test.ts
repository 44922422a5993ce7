import { SpanKind } from "@opentelemetry/api";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RederiveError } from "../../src/errors.ts";
import { currentTraceparent } from "../../src/telemetry/spans.ts";
import { rememberSpans, type SpanMemory } from "../telemetry/memory.ts";
import { type Harness, startHarness } from "./support.ts";

let memory: SpanMemory;
let harness: Harness;

beforeAll(async () => {
  memory = rememberSpans();
  harness = await startHarness();
});

afterAll(async () => {
  await harness.close();
  await memory.stop();
});

describe("a request", () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const traceparent = `00-${traceId}-b7ad6b7169203331-01`;

  it("continues the client's trace and hands it to the use case", async () => {
    memory.reset();
    let seen: string | undefined;
    const as = harness.rederive.as.bind(harness.rederive);
    harness.rederive.as = (actor) => {
      seen = currentTraceparent();
      return as(actor);
    };
    await harness.request("/api/v1/backfills", {
      method: "POST",
      body: { changes: true, reason: "x" },
      headers: { traceparent },
    });
    const [span] = memory.spans();
    expect(span).toMatchObject({ name: "POST /api/v1/backfills", kind: SpanKind.SERVER });
    expect(span?.attributes).toMatchObject({ "http.route": "/api/v1/backfills", "user.name": "admin" });
    expect(span?.spanContext().traceId).toBe(traceId);
    expect(seen).toBe(`00-${traceId}-${span?.spanContext().spanId}-01`);
  });

  it("is named by its trace in the problem document", async () => {
    harness.rederive.failure = new RederiveError("wrong_state", "it is paused");
    const response = await harness.request("/api/v1/backfills/bf_7k3m9x2q4d/start", {
      method: "POST",
      body: {},
      headers: { traceparent },
    });
    expect(await response.json()).toMatchObject({ code: "wrong_state", traceId });
  });
});
