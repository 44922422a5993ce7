/** Small catalogs made from a few words, and planner inputs with defaults. */
import { sql } from "drizzle-orm";
import { date, integer, pgTable, text } from "drizzle-orm/pg-core";
import { type Catalog, defineCatalog } from "../../src/catalog/catalog.ts";
import { all, type Criticality, type Dataset, derived, exposure, lookback, source } from "../../src/catalog/dataset.ts";
import { daily, list, monthly, whole } from "../../src/catalog/scheme.ts";
import type { Plan } from "../../src/plan.ts";
import type { PlannerInput } from "../../src/planner/input.ts";
import { completePlan, draftPlan } from "../../src/planner/planner.ts";

export interface DatasetSpec {
  readonly name: string;
  readonly cut: "day" | "month" | "list" | "whole";
  /** Empty for a source. */
  readonly inputs: readonly { readonly from: string; readonly lookback?: number; readonly all?: boolean }[];
  readonly criticality?: Criticality;
  readonly map?: boolean;
}

/** 2001-01-01 as a day ordinal, and 2001-01 as a month. */
export const day0 = 11_323;
export const month0 = 372;

export function aCatalog(specs: readonly DatasetSpec[]): Catalog {
  const datasets = new Map<string, Dataset>();
  for (const spec of specs) datasets.set(spec.name, aDataset(spec, datasets));
  const exposures = specs.flatMap((spec) => {
    const dataset = datasets.get(spec.name);
    if (spec.criticality === undefined || dataset === undefined) return [];
    return exposure(`${spec.name}-users`, { reads: [dataset], criticality: spec.criticality });
  });
  return defineCatalog({ datasets: [...datasets.values()], exposures });
}

function aDataset(spec: DatasetSpec, known: ReadonlyMap<string, Dataset>): Dataset {
  const table = pgTable(spec.name, {
    day: date("day").notNull(),
    code: text("code").notNull(),
    value: integer("value").notNull(),
  });
  const partitions = {
    day: () => daily(table.day),
    month: () => monthly(table.day),
    list: () => list(table.code, ["a", "b", "c"]),
    whole,
  }[spec.cut]();
  if (spec.inputs.length === 0) return source(table, { partitions });
  const inputs = Object.fromEntries(
    spec.inputs.map((input, index) => {
      const dataset = known.get(input.from) as Dataset;
      const mapped = input.all
        ? all(dataset)
        : input.lookback === undefined
          ? dataset
          : lookback(dataset, input.lookback);
      return [`in${index}`, mapped];
    }),
  );
  const common = { version: 1, key: [table.day, table.code], partitions, inputs } as const;
  if (spec.map !== true) return derived(table, { ...common, select: () => sql`select day, code, value from in0` });
  return derived(table, {
    ...common,
    read: ({ db }) => db.select({ n: sql<number>`1` }).from(sql`in0`),
    map: () => null,
  });
}

/** A whole plan, with the digests of what is live. */
export function planBackfill(input: PlannerInput, digests: ReadonlyMap<string, string> = new Map()): Plan {
  return completePlan(draftPlan(input), digests);
}

/** Fingerprints are `now:<name>` unless told otherwise; there is nothing live and no reservation. */
export function anInput(catalog: Catalog, overrides: Partial<PlannerInput> = {}): PlannerInput {
  return {
    catalog,
    request: { kind: "changes" },
    requestReason: "refunds were ignored",
    environment: "development",
    pins: { TimeZone: "UTC" },
    hashAlgorithm: "test",
    live: new Map(),
    extents: new Map(),
    fingerprints: new Map(
      catalog.order.map((name) => [
        name,
        { fingerprint: `now:${name}`, definition: `written:${name}`, metadata: `told:${name}` },
      ]),
    ),
    activeReservations: [],
    ...overrides,
  };
}
