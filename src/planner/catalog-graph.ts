/** The catalog as plain data, with all that is said of each dataset, as the HTTP API gives it. Pure. */
import { getTableConfig, type PgTable } from "drizzle-orm/pg-core";
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived, Exposure, ExposureColumn, Source } from "../catalog/dataset.ts";
import type { Deprecation } from "../catalog/deprecation.ts";
import { describeMapping } from "../catalog/mapping.ts";
import type { PartitionScheme } from "../catalog/scheme.ts";
import { conditionsOf, type DeprecatedColumn } from "./graph.ts";

export interface GraphDataset {
  readonly name: string;
  readonly kind: "source" | "derived";
  /** Schema-qualified. */
  readonly table: string;
  /** For example "day Europe/Bratislava", "hash 16", "whole". */
  readonly partitions: string;
  readonly version?: number;
  readonly transform?: string;
  readonly key?: readonly string[];
  readonly inputs: readonly { readonly name: string; readonly dataset: string; readonly mapping: string }[];
  readonly checks: readonly { readonly name: string; readonly severity: "error" | "warn" }[];
  /** What is taken for granted about it. */
  readonly assumptions?: readonly string[];
  readonly deprecated?: Deprecation;
  readonly deprecatedColumns?: readonly DeprecatedColumn[];
  readonly description?: string;
  readonly owner?: string;
}

export interface GraphExposure {
  readonly name: string;
  readonly reads: readonly string[];
  /** Its contract, where it has one. */
  readonly columns?: readonly ExposureColumn[];
  readonly criticality: Exposure["criticality"];
  readonly description?: string;
  readonly owner?: string;
}

/** Datasets in topological order, sources first. */
export interface CatalogGraph {
  readonly datasets: readonly GraphDataset[];
  readonly exposures: readonly GraphExposure[];
}

export function graphOf(catalog: Catalog): CatalogGraph {
  const datasets = catalog.order.flatMap((name) => catalog.datasets.get(name) ?? []);
  return { datasets: datasets.map(graphDataset), exposures: catalog.exposures.map(graphExposure) };
}

function graphDataset(dataset: Source | Derived): GraphDataset {
  const common = {
    name: dataset.name,
    kind: dataset.kind,
    table: tableName(dataset.table),
    partitions: partitionsText(dataset.partitions),
    ...conditionsOf(dataset),
    ...metadataOf(dataset),
  };
  if (dataset.kind === "source") return { ...common, inputs: [], checks: [] };
  return {
    ...common,
    version: dataset.version,
    transform: dataset.transform.kind,
    key: dataset.key.map((column) => column.name),
    inputs: dataset.inputs.map((input) => ({
      name: input.name,
      dataset: input.dataset.name,
      mapping: describeMapping(input.mapping),
    })),
    checks: dataset.checks.map(({ name, severity }) => ({ name, severity })),
  };
}

function graphExposure(exposure: Exposure): GraphExposure {
  return {
    name: exposure.name,
    reads: exposure.reads.map((dataset) => dataset.name),
    ...(exposure.columns === undefined ? {} : { columns: exposure.columns }),
    criticality: exposure.criticality,
    ...metadataOf(exposure),
  };
}

function metadataOf(described: { readonly description?: string | undefined; readonly owner?: string | undefined }): {
  description?: string;
  owner?: string;
} {
  return {
    ...(described.description === undefined ? {} : { description: described.description }),
    ...(described.owner === undefined ? {} : { owner: described.owner }),
  };
}

function tableName(table: PgTable): string {
  const { schema, name } = getTableConfig(table);
  return `${schema ?? "public"}.${name}`;
}

function partitionsText(scheme: PartitionScheme): string {
  switch (scheme.kind) {
    case "time":
      return `${scheme.unit} ${scheme.timeZone}`;
    case "range":
      return `range ${scheme.width}`;
    case "hash":
      return `hash ${scheme.buckets}`;
    case "list":
      return `list ${scheme.values.length}`;
    case "whole":
      return "whole";
  }
}
