/** What the API accepts about proof: bisection, checks, impact and baselines. */
import { z } from "zod";
import { bound, components, datasetName, label, partitions, reason, wholeNumber } from "./requests.ts";

export const bisectQuery = z.strictObject({
  rows: z.exactOptional(wholeNumber("Differing rows to trace for each dataset; default 5", 50)),
});

export const checkBody = z
  .strictObject({
    datasets: z.exactOptional(z.array(datasetName).min(1).max(1_000).describe("Only these; default all")),
    partitions: z.exactOptional(partitions),
    stale: z.exactOptional(
      z.boolean().describe("Only what was not judged by the rules as they are now, or broke one; default false"),
    ),
  })
  .register(components, { id: "CheckRequest" });

export const impactQuery = z
  .strictObject({
    dataset: datasetName,
    from: z.exactOptional(bound.describe("First partition that changes")),
    to: z.exactOptional(bound.describe("End of what changes, not included")),
    partitions: z.exactOptional(label.max(4_000).describe("Labels instead of a window, comma-separated")),
  })
  .refine(({ from, to }) => (from === undefined) === (to === undefined), "give both from and to, or neither")
  .refine(({ from, partitions: labels }) => from === undefined || labels === undefined, "give a window or partitions");

const baselineName = z
  .string()
  .regex(/^[a-z0-9_-]{1,40}$/, "a name is 1 to 40 of a-z, 0-9, _ and -")
  .describe("The name of a golden baseline");

const column = z.string().min(1).max(63);

export const baselinesQuery = z.strictObject({ name: z.exactOptional(baselineName) });

export const baselinePath = z.strictObject({ name: baselineName });

/** Rows of a dataset alone: a query would let a token run SQL. */
export const captureBody = z
  .strictObject({
    name: baselineName,
    dataset: datasetName,
    partitions: z.exactOptional(partitions),
    key: z.exactOptional(z.array(column).min(1).max(100).describe("What tells rows apart; default the dataset's key")),
    tolerance: z.exactOptional(
      z
        .record(column, z.string().regex(/^\d+(\.\d+)?\s*%?$/, 'a tolerance is a number, or a share such as "1%"'))
        .describe("How far numbers may be off, by column"),
    ),
    severity: z.exactOptional(z.enum(["error", "warn"]).describe("warn tells and holds nothing; default error")),
    reason,
  })
  .register(components, { id: "CaptureRequest" });

export const baselineBody = z
  .strictObject({ version: z.exactOptional(z.int().min(1).describe("Default: the newest")), reason })
  .register(components, { id: "BaselineDecision" });
