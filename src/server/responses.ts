/**
 * What the API answers, for the OpenAPI document. Each schema is typed as the report that it describes, so a report
 * that changes without its schema does not compile.
 */
import { z } from "zod";
import type { Range } from "../catalog/ranges.ts";
import type { DatasetChange, Forecast, Plan, PlanRequest, Step } from "../plan.ts";
import type { CatalogGraph } from "../planner/catalog-graph.ts";
import type {
  CheckOutcome,
  DatasetDiff,
  DatasetStatus,
  DeadlineForecast,
  Diff,
  LimitSetting,
  MergeReport,
  PhaseStatus,
  PreflightFinding,
  Sample,
  SampledDataset,
  Status,
  TaskCounts,
  Trouble,
} from "../report.ts";
import { type BackfillState, backfillTransitions, type TaskState, taskTransitions } from "../states.ts";
import type { Problem } from "./problem.ts";
import { components } from "./requests.ts";

export const count = z.int().min(0);
export const instant = z.string().describe("ISO instant");
const backfillState = z.enum(Object.keys(backfillTransitions) as [BackfillState, ...BackfillState[]]);
const taskState = z.enum(Object.keys(taskTransitions) as [TaskState, ...TaskState[]]);
export const severity = z.enum(["error", "warn"]);
export const textRow = z.record(z.string(), z.string().nullable());
const range: z.ZodType<Range> = z.tuple([z.int(), z.int()]);
export const ranges = z.array(range).describe("Half-open ranges of partition ordinals");

const taskCounts: z.ZodType<TaskCounts> = z.record(taskState, count).register(components, { id: "TaskCounts" });

const datasetStatus: z.ZodType<DatasetStatus> = z.object({
  dataset: z.string(),
  tasks: taskCounts,
  held: z.boolean(),
  holdReason: z.exactOptional(z.string()),
  rows: count.describe("Rows written into the candidate so far"),
});

const trouble: z.ZodType<Trouble> = z.object({
  dataset: z.string(),
  partition: z.string(),
  ordinal: z.int(),
  state: taskState,
  attempts: count,
  error: z.object({ code: z.string(), message: z.string() }),
});

export const checkOutcome: z.ZodType<CheckOutcome> = z.object({
  dataset: z.string(),
  partition: z.string().nullable(),
  name: z.string(),
  severity,
  failures: count,
  evidence: z.object({
    message: z.string(),
    rows: z.array(textRow),
    sql: z.exactOptional(z.string().nullable()),
    suspects: z.exactOptional(
      z.array(
        z.object({
          input: z.string(),
          dataset: z.string(),
          partitions: z.string(),
          from: z.enum(["candidate", "live"]),
        }),
      ),
    ),
  }),
});

const deadline: z.ZodType<DeadlineForecast> = z.object({
  at: instant,
  verdict: z.enum(["met", "at_risk", "missed", "unknown"]),
  late: z.exactOptional(z.object({ seenAt: instant, expected: instant.nullable() })),
});

const gate = z.enum(["automatic", "approval"]);

const phaseStatus: z.ZodType<PhaseStatus> = z.object({
  name: z.string(),
  tasks: count,
  gate,
  state: z.enum(["waiting", "open", "judged", "passed"]),
  judgedAt: instant.nullable(),
  passedAt: instant.nullable(),
  passedBy: z.string().nullable(),
  found: z
    .array(z.object({ dataset: z.string(), added: count, removed: count, changed: count, unchanged: count }))
    .nullable(),
});

export const status: z.ZodType<Status> = z
  .object({
    backfill: z.string(),
    planHash: z.string(),
    state: backfillState,
    stateReason: z.string().nullable(),
    reason: z.string(),
    requestedBy: z.string(),
    createdAt: instant,
    startedAt: instant.nullable(),
    finishedAt: instant.nullable(),
    deadline: z.exactOptional(deadline),
    tasks: taskCounts,
    total: count,
    datasets: z.array(datasetStatus),
    phases: z.exactOptional(z.array(phaseStatus)),
    troubles: z.array(trouble),
    failedChecks: z.array(checkOutcome),
    seconds: z.number(),
    workers: count,
  })
  .register(components, { id: "Status" });

export const statusList: z.ZodType<{ readonly backfills: readonly Status[] }> = z
  .object({ backfills: z.array(status) })
  .register(components, { id: "StatusList" });

const datasetDiffFields = {
  dataset: z.string(),
  added: count,
  removed: count,
  changed: count,
  unchanged: count,
  columns: z.record(z.string(), count),
  samples: z.array(
    z.object({ kind: z.enum(["added", "removed", "changed"]), before: textRow.nullable(), after: textRow.nullable() }),
  ),
};

const datasetDiff: z.ZodType<DatasetDiff> = z.object(datasetDiffFields);

export const diff: z.ZodType<Diff> = z
  .object({ backfill: z.string(), digest: z.string(), datasets: z.array(datasetDiff) })
  .register(components, { id: "Diff" });

export const mergeReport: z.ZodType<MergeReport> = z
  .object({
    backfill: z.string(),
    state: backfillState,
    datasets: z.array(z.object({ dataset: z.string(), inserted: count, updated: count, deleted: count })),
  })
  .register(components, { id: "MergeReport" });

export const limitSetting: z.ZodType<LimitSetting> = z
  .object({
    name: z.string(),
    rate: z.object({ max: count, perMs: count }).nullable(),
    concurrency: count.nullable(),
  })
  .register(components, { id: "LimitSetting" });

export const limitList: z.ZodType<{ readonly limits: readonly LimitSetting[] }> = z
  .object({ limits: z.array(limitSetting) })
  .register(components, { id: "LimitList" });

const expectationFields = {
  columns: z.exactOptional(z.array(z.string())),
  maxChangedRows: z.exactOptional(z.number()),
  maxChangedRatio: z.exactOptional(z.number()),
  where: z.exactOptional(z.string()),
};

const requestFields = {
  order: z.exactOptional(z.enum(["newest", "oldest"])),
  deadline: z.exactOptional(z.string()),
  continues: z.exactOptional(z.string()),
  expect: z.exactOptional(
    z.object({
      ...expectationFields,
      datasets: z.exactOptional(z.record(z.string(), z.object(expectationFields))),
    }),
  ),
  phases: z.exactOptional(z.object({ pilot: z.boolean(), shares: z.array(z.number()), gate })),
};

const planRequest: z.ZodType<PlanRequest> = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("changes"),
    datasets: z.exactOptional(z.array(z.string())),
    forwardFrom: z.exactOptional(z.string()),
    ...requestFields,
  }),
  z.object({
    kind: z.literal("datasets"),
    datasets: z.array(z.string()),
    window: z.exactOptional(z.object({ from: z.string(), to: z.string() })),
    partitions: z.exactOptional(ranges),
    ...requestFields,
  }),
]);

const stepFields = {
  dataset: z.string(),
  partitions: ranges,
  reason: z.string(),
  why: z.array(
    z.object({
      code: z.enum([
        ...(["requested", "definition_changed", "never_computed", "inputs_changed", "upstream_recomputed"] as const),
        ...(["up_to_date", "unread_change", "same_content", "before_forward", "outside_window", "no_input"] as const),
      ]),
      partitions: ranges,
      because: z.exactOptional(z.string()),
    }),
  ),
};

const step: z.ZodType<Step> = z.discriminatedUnion("action", [
  z.object({
    action: z.literal("recompute"),
    ...stepFields,
    transform: z.enum(["select", "map", "fold"]),
    version: z.int(),
    fingerprint: z.string(),
    definition: z.string(),
    metadata: z.string(),
    key: z.array(z.string()),
    ownedColumns: z.array(z.string()),
    criticality: count,
    prunable: ranges,
    adopted: ranges,
  }),
  z.object({ action: z.literal("reuse"), ...stepFields }),
  z.object({ action: z.literal("skip"), ...stepFields }),
]);

const names = z.array(z.string());

const datasetChange: z.ZodType<DatasetChange> = z.object({
  dataset: z.string(),
  category: z.enum(["breaking", "non_breaking", "metadata"]),
  aspects: names,
  columns: z.exactOptional(z.object({ added: names, dropped: names, changed: names })),
  because: z.exactOptional(z.string()),
});

const preflightFinding: z.ZodType<PreflightFinding> = z.object({
  code: z.enum([
    ...(["incompatible_schema", "assumption_broken", "schema_drift", "deprecated", "past_removal"] as const),
    ...(["missing_partitions", "unusual_rows", "duplicate_keys", "disk_space"] as const),
  ]),
  severity: z.enum(["stop", "warn"]),
  dataset: z.string(),
  reader: z.exactOptional(z.string().describe("The dataset or exposure that is hurt")),
  column: z.exactOptional(z.string()),
  what: z.string(),
  seen: z.string(),
  mitigation: z.string(),
});

export const preflightFields = {
  findings: z.array(preflightFinding),
  looked: z.array(z.string()).describe("What was looked at, and how much of it"),
};

const estimate = z.object({ expected: z.number(), low: z.number(), high: z.number() });

const sampledDataset: z.ZodType<SampledDataset> = z.object({
  ...datasetDiffFields,
  partitions: ranges,
  of: count,
  estimates: z.exactOptional(
    z
      .object({ added: estimate, removed: estimate, changed: estimate, seconds: estimate })
      .describe("In 19 of 20 cases"),
  ),
  reads: z.object({ sampled: count, live: count }),
  failedChecks: z.array(checkOutcome),
  failures: z.array(z.object({ partition: z.string(), code: z.string(), message: z.string() })),
});

const sample: z.ZodType<Sample> = z.object({ tasks: count, seconds: z.number(), datasets: z.array(sampledDataset) });

const forecast: z.ZodType<Forecast> = z.object({
  tasks: count,
  prunable: count,
  adopted: count,
  seconds: z.exactOptional(z.number()),
  interval: z.exactOptional(z.object({ low: z.number(), high: z.number() })),
  deadline: z.exactOptional(deadline),
  datasets: z.array(
    z.object({
      dataset: z.string(),
      tasks: count,
      rows: z.exactOptional(z.number()),
      seconds: z.exactOptional(z.number()),
    }),
  ),
  warnings: names,
  sample: z.exactOptional(sample),
  preflight: z.exactOptional(z.object(preflightFields)),
});

export const plan: z.ZodType<Plan> = z
  .object({
    hash: z.string().describe("SHA-256 of the decision's canonical JSON"),
    decision: z.object({
      format: z.literal(2),
      request: planRequest,
      requestReason: z.string(),
      environment: z.string(),
      pins: z.record(z.string(), z.string()),
      basis: z.string(),
      changes: z.array(datasetChange),
      steps: z.array(step),
      unchanged: z.array(
        z.object({
          dataset: z.string(),
          partitions: ranges,
          fingerprint: z.string(),
          because: z.enum(["unread_change", "same_content", "before_forward"]),
        }),
      ),
      retired: z.array(z.object({ dataset: z.string(), partitions: ranges })),
      validation: z.array(z.object({ dataset: z.string(), partitions: ranges, checks: names })),
      guarantees: z.object({
        sources: z.literal("one snapshot a task"),
        promotion: z.literal("one transaction"),
        liveTables: z.literal("untouched before promotion"),
        rollback: z.literal("until finalized"),
        hashAlgorithm: z.string(),
      }),
      expect: z.exactOptional(z.array(z.object({ dataset: z.string(), ...expectationFields }))),
      phases: z.exactOptional(
        z.array(
          z.object({
            name: z.string(),
            gate,
            partitions: z.array(z.object({ dataset: z.string(), partitions: ranges })),
          }),
        ),
      ),
    }),
    forecast,
  })
  .register(components, { id: "Plan" });

/** A plan that was stored and waits to be started. */
export const plannedBackfill: z.ZodType<{ readonly backfill: string; readonly plan: Plan }> = z
  .object({ backfill: z.string(), plan })
  .register(components, { id: "PlannedBackfill" });

const deprecation = {
  since: z.string(),
  replacedBy: z.exactOptional(z.string()),
  removeAfter: z.exactOptional(z.string()),
};

export const catalogGraph: z.ZodType<CatalogGraph> = z
  .object({
    datasets: z.array(
      z.object({
        name: z.string(),
        kind: z.enum(["source", "derived"]),
        table: z.string(),
        partitions: z.string(),
        version: z.exactOptional(z.int()),
        transform: z.exactOptional(z.string()),
        key: z.exactOptional(z.array(z.string())),
        inputs: z.array(z.object({ name: z.string(), dataset: z.string(), mapping: z.string() })),
        checks: z.array(z.object({ name: z.string(), severity })),
        assumptions: z.exactOptional(names),
        deprecated: z.exactOptional(z.object(deprecation)),
        deprecatedColumns: z.exactOptional(z.array(z.object({ column: z.string(), ...deprecation }))),
        description: z.exactOptional(z.string()),
        owner: z.exactOptional(z.string()),
      }),
    ),
    exposures: z.array(
      z.object({
        name: z.string(),
        reads: z.array(z.string()),
        columns: z.exactOptional(
          z.array(z.object({ dataset: z.string(), column: z.string(), type: z.string().nullable() })),
        ),
        criticality: z.enum(["low", "medium", "high", "critical"]),
        description: z.exactOptional(z.string()),
        owner: z.exactOptional(z.string()),
      }),
    ),
  })
  .register(components, { id: "CatalogGraph" });

export const openApiDocument: z.ZodType<Record<string, unknown>> = z
  .record(z.string(), z.unknown())
  .register(components, { id: "OpenApiDocument" });

export const problem = z
  .object({
    type: z.string().describe("A URN that ends with the code"),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().describe("Stable; for programs"),
    traceId: z.string().describe("Joins the answer to the server's log and trace"),
    details: z.exactOptional(z.record(z.string(), z.unknown())),
  } satisfies Record<keyof Problem, z.ZodType>)
  .register(components, { id: "Problem" });
