/** The catalog for people: definitions in words, joined with what is live, when it changed last, and why. */
import { getTableColumns } from "drizzle-orm";
import { getTableConfig, type PgColumn, type PgTable } from "drizzle-orm/pg-core";
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import { plainRule } from "../catalog/plain-rule.ts";
import { describeScheme } from "../catalog/scheme.ts";
import type { CatalogChange, CatalogDataset, CatalogReport } from "../lineage/catalog-page.ts";
import { type LastChange, lastChanges } from "../store/last-changes.ts";
import type { Context } from "./context.ts";
import { exposure } from "./exposures.ts";

export type { CatalogReport } from "../lineage/catalog-page.ts";

/** Datasets in topological order. */
export async function describedCatalog(context: Context): Promise<CatalogReport> {
  const { catalog, database } = context;
  const changes = await lastChanges(database);
  const datasets = catalog.order.flatMap((name) => catalog.datasets.get(name) ?? []);
  const exposures = await Promise.all(
    catalog.exposures.map(async ({ name, description, owner, criticality, reads }) => {
      const { status, asOf } = await exposure(context, name);
      const about = { name, description: description ?? null, owner: owner ?? null, criticality, status, asOf };
      return { ...about, reads: reads.map((dataset) => dataset.name) };
    }),
  );
  return { datasets: datasets.map((dataset) => entryOf(catalog, dataset, changes.get(dataset.name))), exposures };
}

function entryOf(catalog: Catalog, dataset: Dataset, change: LastChange | undefined): CatalogDataset {
  const { name, kind, table, partitions, description, owner, key, columnDescriptions } = dataset;
  const { schema, name: tableName } = getTableConfig(table as PgTable);
  const inputs = dataset.kind === "derived" ? dataset.inputs.map((input) => input.dataset.name) : [];
  return {
    ...{ name, kind, description: description ?? null, owner: owner ?? null },
    ...{ table: `${schema ?? "public"}.${tableName}`, partitions: describeScheme(partitions) },
    columns: Object.values<PgColumn>(getTableColumns(table)).map((column) => ({
      ...{ name: column.name, type: column.getSQLType(), description: columnDescriptions?.[column.name] ?? null },
    })),
    key: (key ?? []).map((column) => column.name),
    rules: dataset.kind === "derived" ? dataset.checks.map(plainRule) : [],
    madeFrom: [...new Set(inputs)],
    usedBy: readersOf(catalog, dataset),
    lastChange: change === undefined ? null : changeOf(dataset, change),
  };
}

function readersOf(catalog: Catalog, dataset: Dataset): string[] {
  const datasets = [...catalog.datasets.values()].filter(
    (each) => each.kind === "derived" && each.inputs.some((input) => input.dataset === dataset),
  );
  return [...datasets, ...catalog.exposures.filter(({ reads }) => reads.includes(dataset))].map(({ name }) => name);
}

function changeOf({ partitions }: Dataset, { at, newest, by, because, reason, backfill }: LastChange): CatalogChange {
  return { at, upTo: labelOf(partitions, newest), by, because, reason, backfill };
}
