import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RederiveError } from "../../src/errors.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { currentTraceId, currentTraceparent, withSpan } from "../../src/telemetry/spans.ts";
import { tracedDatabase, tracedTx } from "../../src/telemetry/sql.ts";
import type { Database } from "../../src/tx.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { rememberSpans, type SpanMemory } from "./memory.ts";

let memory: SpanMemory;
let database: Database;
let drop: () => Promise<void>;

beforeAll(async () => {
  memory = rememberSpans();
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url, { max: 2 });
});

beforeEach(() => memory.reset());

afterAll(async () => {
  await database.close();
  await drop();
  await memory.stop();
});

describe("one trace", () => {
  it("goes from plan through job to statement", async () => {
    const traced = tracedDatabase(database);
    // The plan's span is stored with the backfill; the planner process puts it into each job.
    const stored = await withSpan("plan", {}, async () => {
      await traced.query("select 1 as planned");
      return currentTraceparent();
    });
    // Nothing is active in the worker: only what the job carries joins it to the plan.
    await withSpan(
      "task",
      { "rederive.dataset": "revenue" },
      () => traced.transaction(async (tx) => await tx.query("select $1::text as secret", ["canary"])),
      { kind: SpanKind.CONSUMER, traceparent: stored },
    );
    const spans = memory.spans();
    expect(spans.map((span) => span.name)).toEqual(["SELECT", "plan", "SELECT", "task"]);
    expect(new Set(spans.map((span) => span.spanContext().traceId)).size).toBe(1);
    const [, plan, statement, task] = spans;
    expect(task?.parentSpanContext?.spanId).toBe(plan?.spanContext().spanId);
    expect(statement?.parentSpanContext?.spanId).toBe(task?.spanContext().spanId);
    expect(statement?.attributes).toMatchObject({
      "db.system.name": "postgresql",
      "db.query.text": "select $1::text as secret",
      "db.response.returned_rows": 1,
    });
    expect(JSON.stringify(spans.map((span) => [span.attributes, span.events]))).not.toContain("canary");
  });

  it("is not begun by a statement outside one", async () => {
    await tracedTx(database).query("select 1");
    expect(memory.spans()).toEqual([]);
    expect(currentTraceparent()).toBeUndefined();
  });

  it("tells of failures by code, without literals", async () => {
    const failing = withSpan("task", {}, () => tracedTx(database).query("select 1/0, 'top secret'"));
    await expect(failing).rejects.toThrow("division by zero");
    const [statement, task] = memory.spans();
    expect(statement?.attributes).toMatchObject({ "error.type": "22012", "db.query.text": "select ?/?, ?" });
    expect(statement?.status.code).toBe(SpanStatusCode.ERROR);
    expect(task?.attributes["error.type"]).toBe("22012");
    const url = "postgres://app:hunter2@db/app";
    await expect(
      withSpan("open", {}, () => {
        throw new RederiveError("unavailable", `cannot reach ${url}`);
      }),
    ).rejects.toThrow();
    const open = memory.spans().at(-1);
    expect(open?.attributes["error.type"]).toBe("unavailable");
    expect(open?.status.message).toBe("cannot reach postgres://[redacted]@db/app");
  });

  it("is in every line that is logged inside it", async () => {
    const lines: string[] = [];
    const log = createLog({ name: "test", destination: { write: (line: string) => lines.push(line) } });
    const traceId = await withSpan("task", {}, () => {
      log.info("inside");
      log.child({ dataset: "revenue" }).warn("child");
      return currentTraceId();
    });
    log.info("outside");
    const [inside, child, outside] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(inside).toMatchObject({
      level: "info",
      name: "test",
      msg: "inside",
      trace_id: traceId,
      span_id: expect.any(String),
    });
    expect(child).toMatchObject({ level: "warn", dataset: "revenue", trace_id: traceId });
    expect(outside).not.toHaveProperty("trace_id");
  });
});
