/** What the API answers about lineage. */
import { z } from "zod";
import type { ColumnOrigin, ColumnsReport } from "../lineage/columns.ts";
import type { Computed, Lineage, LineageEdge, LineageNode } from "../lineage/graph.ts";
import type { RowLineage } from "../lineage/rows.ts";
import type { ExposureStatus } from "../report.ts";
import { components } from "./requests.ts";
import { count, instant, ranges, textRow } from "./responses.ts";

const computed: z.ZodType<Computed> = z.object({
  backfill: z.string(),
  version: z.int().nullable().describe("Version of the transform"),
  fingerprint: z.string().describe("Of what was run, as Postgres analysed it"),
  definition: z.string().describe("Hash of the definition as written"),
  planHash: z.string(),
  requestedBy: z.string(),
  requestedBecause: z.string(),
  rows: count,
  outputHash: z.string().describe("Content hash of one partition, or a digest of those of several"),
  hashAlgorithm: z.string(),
  computedAt: instant,
  workers: z.array(z.string()),
  traceIds: z.array(z.string()),
  adoptedFrom: z
    .string()
    .nullable()
    .describe("The backfill that computed the rows, where they were taken over from it"),
  promotedAt: instant.nullable(),
  promotedBy: z.string().nullable(),
  promotedBecause: z.string().nullable(),
  confirmedBy: z.string().nullable().describe("A later backfill that proved it equal to what it would have computed"),
  live: z.enum(["all", "some", "none"]).describe("Whether it is live now"),
});

const node: z.ZodType<LineageNode> = z
  .object({
    id: z.string().describe("The dataset, and behind an @ the backfill that computed it"),
    dataset: z.string(),
    kind: z.enum(["source", "derived"]),
    partitions: z.string().describe("Labels"),
    ranges: ranges.nullable().describe("Half-open ranges of partition ordinals; null where everything was read"),
    computed: computed.nullable().describe("Null for a source, and for rows that no backfill made"),
  })
  .register(components, { id: "LineageNode" });

const edge: z.ZodType<LineageEdge> = z
  .object({
    from: z.string().describe("The content that was read"),
    to: z.string().describe("The content that was computed from it"),
    input: z.string(),
    read: z.enum(["candidate", "live"]),
    partitions: z.string().describe("Labels of what was read"),
  })
  .register(components, { id: "LineageEdge" });

export const lineage: z.ZodType<Lineage> = z
  .object({
    dataset: z.string(),
    partition: z.string().nullable(),
    asOf: instant.nullable(),
    direction: z.enum(["up", "down", "both"]),
    roots: z.array(z.string()).describe("Ids of the nodes that were asked for"),
    nodes: z.array(node),
    edges: z.array(edge),
    exposures: z.array(z.object({ name: z.string(), criticality: z.string(), reads: z.array(z.string()) })),
  })
  .register(components, { id: "Lineage" });

const columnOrigin: z.ZodType<ColumnOrigin> = z
  .object({
    input: z.string().describe("Handle of the input"),
    dataset: z.string(),
    column: z.string(),
    how: z.string().describe("identity, transformation and aggregation go into the value; the others decide about it"),
  })
  .register(components, { id: "ColumnOrigin" });

export const columns: z.ZodType<ColumnsReport> = z
  .object({
    dataset: z.string(),
    proven: z.boolean().describe("False for a map: all that it reads may be in all that it writes"),
    sourcesProven: z.boolean().describe("False where a map stands between it and the sources"),
    columns: z.array(
      z.object({
        column: z.string(),
        from: z.array(columnOrigin),
        sources: z.array(z.string()).describe("source.column"),
      }),
    ),
    rows: z.array(columnOrigin).describe("What decides which rows there are"),
  })
  .register(components, { id: "ColumnLineage" });

export const exposureStatus: z.ZodType<ExposureStatus> = z
  .object({
    exposure: z.string(),
    criticality: z.string(),
    status: z.enum(["fresh", "recomputing", "held", "diverged", "unknown"]),
    asOf: instant.nullable().describe("When the oldest of what it reads was promoted last"),
    reads: z.array(z.string()),
    backfills: z.array(z.string()).describe("Under way, of what it depends on"),
    diverged: z.array(z.string()).describe("Datasets whose live content fails checks"),
    description: z.exactOptional(z.string()),
    owner: z.exactOptional(z.string()),
  })
  .register(components, { id: "ExposureStatus" });

export const rowLineage: z.ZodType<RowLineage> = z
  .object({
    dataset: z.string(),
    partition: z.string(),
    key: z.record(z.string(), z.string()),
    row: textRow,
    backfill: z.string().nullable().describe("That computed its partition"),
    warnings: z.array(z.string()),
    inputs: z.array(
      z.object({
        input: z.string(),
        dataset: z.string(),
        partitions: z.string(),
        narrowedBy: z.array(z.string()),
        exact: z.boolean().describe("These rows and no others; else it is made of some of them"),
        doubts: z.array(z.string()),
        count,
        rows: z.array(textRow),
      }),
    ),
  })
  .register(components, { id: "RowLineage" });
