/**
 * The catalog: all definitions of one application as a validated, frozen graph.
 *
 * `defineCatalog` collects the definitions, asks every rule of `faults.ts` and of the graph for what is wrong, throws
 * all of it in one error, and only then sorts the datasets so that inputs come before what reads them.
 */
import { RederiveError } from "../errors.ts";
import { catalogFaults } from "./faults.ts";
import { cyclesIn, topologicalOrder } from "./graph.ts";
import type { Criticality, Dataset, Derived, Exposure, Limits, Source } from "./model.ts";

export interface CatalogOptions {
  /** Datasets as an array, or a module's namespace (`import * as flights`), of which datasets and exposures are taken. */
  readonly datasets: readonly Dataset[] | Readonly<Record<string, unknown>>;
  /** Default: those in the namespace, or none. */
  readonly exposures?: readonly Exposure[];
  /** Limits shared by all datasets that name the resource. */
  readonly resources?: Readonly<Record<string, Limits>>;
}

export interface Catalog {
  readonly datasets: ReadonlyMap<string, Source | Derived>;
  /** Names in topological order: sources first, every dataset after its inputs. */
  readonly order: readonly string[];
  readonly exposures: readonly Exposure[];
  readonly resources: Readonly<Record<string, Limits>>;
  /** Every dataset that depends on this one, near or far, in topological order. Throws `not_found` for unknown names. */
  downstream(name: string): readonly string[];
  /** The highest criticality of what people use downstream: 0 none, 1 low, 2 medium, 3 high, 4 critical. */
  criticalityOf(name: string): number;
}

/**
 * Validates and freezes the definitions. Throws one `catalog_invalid` whose message has every fault on a line of its
 * own; `details.faults` has them as an array.
 */
export function defineCatalog(options: CatalogOptions): Catalog {
  const { datasets, exposures } = collect(options);
  const resources = Object.freeze({ ...options.resources });
  const faults = [...catalogFaults({ options, datasets, exposures, resources }), ...cyclesIn(datasets)];
  if (faults.length > 0) throw invalid(faults);
  const order = topologicalOrder(datasets);
  const byName = new Map(order.map((dataset) => [dataset.name, dataset] as const));
  return Object.freeze(new DatasetGraph(byName, exposures, resources));
}

function invalid(faults: readonly string[]): RederiveError {
  const count = faults.length === 1 ? "1 fault" : `${faults.length} faults`;
  const message = `the catalog has ${count}:\n${faults.map((fault) => `  ${fault}`).join("\n")}`;
  return new RederiveError("catalog_invalid", message, { details: { faults } });
}

interface Collected {
  readonly datasets: readonly Dataset[];
  readonly exposures: readonly Exposure[];
}

function collect({ datasets, exposures = [] }: CatalogOptions): Collected {
  const values: readonly unknown[] = Array.isArray(datasets) ? datasets : Object.values(datasets);
  const found = values.filter(isDefinition);
  // A module may export one definition under two names; that is not a duplicate.
  const unique = [...new Set([...found, ...exposures])];
  return {
    datasets: unique.filter((value) => value.kind !== "exposure"),
    exposures: Object.freeze(unique.filter((value) => value.kind === "exposure")),
  };
}

function isDefinition(value: unknown): value is Dataset | Exposure {
  if (typeof value !== "object" || value === null || !("kind" in value) || !("faults" in value)) return false;
  return value.kind === "source" || value.kind === "derived" || value.kind === "exposure";
}

export const criticalityLevels: Readonly<Record<Criticality, number>> = { low: 1, medium: 2, high: 3, critical: 4 };

class DatasetGraph implements Catalog {
  readonly datasets: ReadonlyMap<string, Dataset>;
  readonly order: readonly string[];
  readonly exposures: readonly Exposure[];
  readonly resources: Readonly<Record<string, Limits>>;
  readonly #downstream: ReadonlyMap<string, readonly string[]>;
  readonly #criticality: ReadonlyMap<string, number>;

  constructor(
    datasets: ReadonlyMap<string, Dataset>,
    exposures: readonly Exposure[],
    resources: Readonly<Record<string, Limits>>,
  ) {
    this.datasets = datasets;
    this.order = Object.freeze([...datasets.keys()]);
    this.exposures = exposures;
    this.resources = resources;
    this.#downstream = downstreamOfAll(datasets);
    this.#criticality = criticalities(this.order, this.#downstream, exposures);
  }

  downstream(name: string): readonly string[] {
    return known(this.#downstream, name);
  }

  criticalityOf(name: string): number {
    return known(this.#criticality, name);
  }
}

function known<Value>(byName: ReadonlyMap<string, Value>, name: string): Value {
  const value = byName.get(name);
  if (value !== undefined) return value;
  throw new RederiveError("not_found", `no dataset "${name}" in the catalog; it has ${[...byName.keys()].join(", ")}`);
}

function downstreamOfAll(datasets: ReadonlyMap<string, Dataset>): ReadonlyMap<string, readonly string[]> {
  const upstream = new Map<string, ReadonlySet<string>>();
  for (const dataset of datasets.values()) {
    const inputs = dataset.kind === "derived" ? dataset.inputs.map((input) => input.dataset.name) : [];
    upstream.set(dataset.name, new Set(inputs.flatMap((name) => [name, ...(upstream.get(name) ?? [])])));
  }
  const names = [...datasets.keys()];
  const readersOf = (name: string) => Object.freeze(names.filter((other) => upstream.get(other)?.has(name)));
  return new Map(names.map((name) => [name, readersOf(name)] as const));
}

function criticalities(
  order: readonly string[],
  downstream: ReadonlyMap<string, readonly string[]>,
  exposures: readonly Exposure[],
): ReadonlyMap<string, number> {
  const levelOf = (name: string): number => {
    const affected = new Set([name, ...(downstream.get(name) ?? [])]);
    const reading = exposures.filter((exposure) => exposure.reads.some((dataset) => affected.has(dataset.name)));
    return Math.max(0, ...reading.map((exposure) => criticalityLevels[exposure.criticality]));
  };
  return new Map(order.map((name) => [name, levelOf(name)] as const));
}
