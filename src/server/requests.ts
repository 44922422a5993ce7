/**
 * What the API accepts, as strict schemas: an unknown field is refused, and every text has a length and an alphabet,
 * so that nothing but known identifiers and free reasons gets further in.
 */
import { z } from "zod";
import { type BackfillState, backfillTransitions } from "../states.ts";

/** Schemas with a name of their own in the OpenAPI document. */
export const components = z.registry<{ id: string }>();

const backfillStates = Object.keys(backfillTransitions) as [BackfillState, ...BackfillState[]];

// Postgres text cannot hold NUL, and other control characters only deceive readers of the audit trail.
const hasNoControls = (text: string) => !/[^\P{Cc}\n\r\t]/u.test(text);

export const reason = z
  .string()
  .trim()
  .min(1, "say why; it goes into the audit trail")
  .max(1_000)
  .refine(hasNoControls, "control characters are not allowed")
  .describe("Why; shown to people and kept in the audit trail");

export const datasetName = z
  .string()
  .regex(/^[a-z0-9_.]{1,40}$/, "a dataset name is 1 to 40 of a-z, 0-9, _ and .")
  .describe("The name of a dataset of the catalog");

const ranges = z
  .array(z.tuple([z.int(), z.int()]).refine(([from, to]) => from < to, "a range is [from, to) with from below to"))
  .min(1)
  .max(1_000)
  .describe("Half-open ranges of partition ordinals");

export const label = z.string().min(1).max(100).refine(hasNoControls, "control characters are not allowed");

/** As people name them, for one dataset, or as programs do. */
export const partitions = z.union([z.array(label).min(1).max(10_000).describe("Labels such as 2001-01-31"), ranges]);

/** An ISO date or instant, or a number for range schemes; the partition scheme says what fits. */
export const bound = z.string().regex(/^[0-9A-Za-z:.+-]{1,40}$/, "a bound is an ISO date, an ISO instant or a number");

export const noFields = z.strictObject({});

export const backfillPath = z.strictObject({
  id: z
    .string()
    .regex(/^bf_[0-9a-z]{4,11}$/, "a backfill id looks like bf_7k3m9x2q4d")
    .describe("Backfill id"),
});

export const limitPath = z.strictObject({ name: datasetName.describe("A dataset or a shared resource with limits") });

export const wholeNumber = (text: string, maximum: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/, "must be a whole number")
    .transform(Number)
    .pipe(z.int().min(1).max(maximum))
    .describe(`${text}, 1 to ${maximum}`);

export const listQuery = z.strictObject({
  limit: z.exactOptional(wholeNumber("How many, newest first; default 50", 200)),
  state: z.exactOptional(z.enum(backfillStates).describe("Only backfills in this state")),
});

export const diffQuery = z.strictObject({
  samples: z.exactOptional(wholeNumber("Differing rows to show of each dataset; none by default", 100)),
});

const expectationFields = {
  columns: z.exactOptional(
    z.array(z.string().min(1).max(63)).max(1_000).describe("Owned columns in which rows may differ"),
  ),
  maxChangedRows: z.exactOptional(z.int().min(0).describe("Rows of a dataset that differ, at most")),
  maxChangedRatio: z.exactOptional(z.number().min(0).max(1).describe("The same as a share of its rows")),
  where: z.exactOptional(
    z
      .string()
      .min(1)
      .max(4_000)
      .refine(hasNoControls, "control characters are not allowed")
      .describe("Condition in SQL over the owned columns, true for every row that differs"),
  ),
};

const expectation = z
  .strictObject({
    ...expectationFields,
    datasets: z.exactOptional(
      z.record(datasetName, z.strictObject(expectationFields)).describe("For these datasets, instead of the others"),
    ),
  })
  .describe("What may change; anything beyond holds the backfill before it is verified");

const sample = z
  .union([
    z.strictObject({ share: z.number().gt(0).max(1).describe("Of each dataset; at least four partitions") }),
    z.strictObject({ partitions: z.record(datasetName, partitions).describe("By dataset; windows as from..to") }),
  ])
  .describe("Compute a part of the plan now, throw it away, and tell in the forecast what would change");

export const planBody = z
  .strictObject({
    datasets: z.exactOptional(
      z.array(datasetName).min(1).max(1_000).describe("Recompute these and what depends on them"),
    ),
    window: z.exactOptional(
      z.strictObject({ from: bound, to: bound }).describe("Half-open; must fall on partition boundaries"),
    ),
    partitions: z.exactOptional(partitions),
    changes: z.exactOptional(
      z.boolean().describe("Recompute what changed since it was last promoted; the default without datasets"),
    ),
    forwardFrom: z.exactOptional(
      z.iso.date().describe("With changes: they hold from this date on, and what begins earlier stays as it is"),
    ),
    order: z.exactOptional(z.enum(["newest", "oldest"]).describe("Which partitions go first; default oldest")),
    deadline: z.exactOptional(z.iso.datetime({ offset: true }).describe("When it should be done, with its offset")),
    continues: z.exactOptional(
      z.string().min(1).max(80).describe("A backfill that this one takes the place of; what it verified is taken over"),
    ),
    expect: z.exactOptional(expectation),
    pilot: z.exactOptional(z.boolean().describe("Begin with a few partitions from all over, of what matters least")),
    phases: z.exactOptional(
      z.array(z.number().gt(0).max(1)).min(1).max(100).describe("Run in steps that reach these shares, rising"),
    ),
    gate: z.exactOptional(
      z.enum(["automatic", "approval"]).describe("After each phase: go on if nothing is found (default), or wait"),
    ),
    sample: z.exactOptional(sample),
    reason,
  })
  .register(components, { id: "PlanRequest" });

export const startBody = z
  .strictObject({ reason: z.exactOptional(reason) })
  .register(components, { id: "StartRequest" });

export const reasonBody = z.strictObject({ reason }).register(components, { id: "ReasonRequest" });

export const resumeBody = z
  .strictObject({
    reason,
    phase: z.exactOptional(
      z
        .string()
        .regex(/^(pilot|[0-9.]{1,9}%)$/, "a phase is pilot or a share such as 10%")
        .describe("Let this phase pass, which waits for approval; takes the role approver"),
    ),
  })
  .register(components, { id: "ResumeRequest" });

export const retryBody = z
  .strictObject({
    reason,
    dataset: z.exactOptional(datasetName),
    partitions: z.exactOptional(partitions),
  })
  .register(components, { id: "RetryRequest" });

export const promoteBody = z
  .strictObject({
    reason,
    overrideWindow: z.exactOptional(z.boolean().describe("Outside of the change window; admins alone")),
  })
  .register(components, { id: "PromoteRequest" });

export const rollbackBody = z
  .strictObject({
    reason,
    onLaterWrites: z.exactOptional(
      z.enum(["refuse", "overwrite", "keep"]).describe("For rows that changed since the promotion; default refuse"),
    ),
  })
  .register(components, { id: "RollbackRequest" });

export const limitBody = z
  .strictObject({
    rate: z.exactOptional(
      z
        .strictObject({ max: z.int().min(1).max(1_000_000), perMs: z.int().min(1).max(86_400_000) })
        .nullable()
        .describe("At most `max` task starts in `perMs` milliseconds, over the whole fleet; null lifts it"),
    ),
    concurrency: z.exactOptional(
      z
        .int()
        .min(0)
        .max(100_000)
        .nullable()
        .describe("Tasks running at a time, over the whole fleet; 0 stops them, null lifts it"),
    ),
    reason,
  })
  .refine((body) => body.rate !== undefined || body.concurrency !== undefined, "give rate, concurrency or both")
  .register(components, { id: "LimitRequest" });
