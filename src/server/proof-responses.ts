/** What the API answers about proof, typed as the reports that it describes. */
import { z } from "zod";
import type { Affected } from "../planner/affected.ts";
import type { Baseline, Bisection, CheckReport, LiveValidation, PreflightReport } from "../report.ts";
import { components } from "./requests.ts";
import { checkOutcome, count, instant, preflightFields, severity, textRow } from "./responses.ts";

const names = z.array(z.string());
const image = textRow.nullable();

export const preflightReport: z.ZodType<PreflightReport> = z
  .object({ backfill: z.string(), stopped: z.boolean().describe("A finding stops it"), ...preflightFields })
  .register(components, { id: "PreflightReport" });

export const bisection: z.ZodType<Bisection> = z
  .object({
    backfill: z.string(),
    datasets: z.array(
      z.object({
        dataset: z.string(),
        compared: count.describe("Partitions that the backfill computed"),
        proven: count.describe("Those that the stamps prove equal, without a look at rows"),
        divergent: count,
        partitions: z
          .array(
            z.object({
              ...{ partition: z.string(), added: count, removed: count, changed: count },
              columns: z.record(z.string(), count),
              redefined: z.boolean().describe("The live content has another definition"),
            }),
          )
          .describe("The 20 with the most differences"),
        rows: z.array(
          z.object({
            partition: z.string(),
            kind: z.enum(["added", "removed", "changed"]),
            key: textRow,
            columns: names,
            before: image,
            after: image,
            causes: names,
            inputs: z.array(
              z.object({
                ...{ input: z.string(), dataset: z.string(), partitions: z.string(), narrowedBy: names },
                from: z.enum(["candidate", "live"]),
                differing: count.nullable().describe("Null where no earlier rows are kept to compare with"),
                rows: z.array(z.object({ before: image, after: image })),
              }),
            ),
          }),
        ),
      }),
    ),
  })
  .register(components, { id: "Bisection" });

export const checkReport: z.ZodType<CheckReport> = z
  .object({
    backfill: z.string().nullable().describe("Null for live content"),
    scope: z.enum(["candidates", "live"]),
    failed: z.boolean().describe("A check of severity error failed"),
    datasets: z.array(
      z.object({
        dataset: z.string(),
        checked: count.describe("Partitions that were looked at"),
        upToDate: count.describe("Partitions that were left out, because these rules are known to hold"),
        failing: count,
        failures: z.array(checkOutcome).describe("The first 100"),
      }),
    ),
  })
  .register(components, { id: "CheckReport" });

export const validationList: z.ZodType<{ readonly datasets: readonly LiveValidation[] }> = z
  .object({
    datasets: z.array(
      z.object({
        dataset: z.string(),
        every: z.string(),
        startedAt: instant.nullable(),
        finishedAt: instant.nullable().describe("Null while a look is under way"),
        checked: count.nullable().describe("Partitions that were read: 0 where nobody had written anything"),
        failing: count.nullable(),
        error: z.string().nullable(),
        failures: z.array(checkOutcome).describe("The first 20"),
      }),
    ),
  })
  .register(components, { id: "ValidationList" });

export const impact: z.ZodType<Affected> = z
  .object({
    dataset: z.string(),
    partitions: names,
    downstream: z.array(
      z.object({
        dataset: z.string(),
        reach: z.enum(["direct", "indirect"]),
        through: names,
        criticality: count,
        tasks: count,
        partitions: names,
      }),
    ),
    exposures: z.array(z.object({ name: z.string(), criticality: z.string(), reads: names })),
  })
  .register(components, { id: "Impact" });

export const baseline: z.ZodType<Baseline> = z
  .object({
    name: z.string(),
    version: z.int(),
    dataset: z.string(),
    partitions: z.string().nullable(),
    query: z.string().nullable(),
    key: names,
    tolerance: z.record(z.string(), z.union([z.object({ absolute: z.number() }), z.object({ relative: z.number() })])),
    severity,
    rows: count,
    contentHash: z.string(),
    provenance: z.object({
      fingerprints: names,
      backfills: names,
      stamps: z.string().nullable(),
      server: z.string(),
    }),
    state: z.enum(["captured", "approved", "retired"]),
    reason: z.string(),
    capturedBy: z.string(),
    capturedAt: instant,
    decidedBy: z.string().nullable(),
    decidedAt: instant.nullable(),
  })
  .register(components, { id: "Baseline" });

export const baselineList: z.ZodType<{ readonly baselines: readonly Baseline[] }> = z
  .object({ baselines: z.array(baseline) })
  .register(components, { id: "BaselineList" });
