/** What a change would reach: the datasets, partitions and people downstream of some partitions of a dataset. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { parseWindow } from "../catalog/label.ts";
import { isEmpty, type Ranges, size, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { didYouMean } from "../suggest.ts";
import { derivedInOrder, of, type PartitionMap, readersOf } from "./impact.ts";
import { count, windowsOf } from "./labels.ts";

export interface Affected {
  readonly dataset: string;
  /** What changes, as labels. */
  readonly partitions: readonly string[];
  readonly downstream: readonly AffectedDataset[];
  readonly exposures: readonly {
    readonly name: string;
    readonly criticality: string;
    readonly reads: readonly string[];
  }[];
}

export interface AffectedDataset {
  readonly dataset: string;
  /** `direct`: it reads the changed dataset itself. */
  readonly reach: "direct" | "indirect";
  /** The affected inputs through which the change comes. */
  readonly through: readonly string[];
  /** 0 none to 4 critical. */
  readonly criticality: number;
  readonly tasks: number;
  readonly partitions: readonly string[];
}

export interface AffectedBy {
  readonly dataset: string;
  readonly window?: { readonly from: string; readonly to: string };
  readonly partitions?: Ranges;
}

/** Throws `not_found` for an unknown dataset, `usage` for a window that it does not have. */
export function affectedBy(catalog: Catalog, by: AffectedBy, extents: PartitionMap): Affected {
  const changed = catalog.datasets.get(by.dataset);
  if (changed === undefined) {
    const hint = didYouMean(by.dataset, catalog.datasets.keys());
    throw new RederiveError("not_found", `there is no dataset "${by.dataset}" in the catalog${hint}`);
  }
  const extent = of(extents, changed.name);
  const asked = by.window === undefined ? (by.partitions ?? extent) : parseWindow(changed.partitions, by.window);
  const reached = new Map<string, Ranges>([[changed.name, asked]]);
  const downstream = derivedInOrder(catalog).flatMap((derived) => {
    const through = derived.inputs.flatMap((input) => {
      const from = derived === changed ? [] : of(reached, input.dataset.name);
      const readers = readersOf(derived, input, from, extents);
      return isEmpty(readers) ? [] : [{ name: input.dataset.name, readers }];
    });
    if (through.length === 0) return [];
    const partitions = union(...through.map(({ readers }) => readers));
    reached.set(derived.name, partitions);
    return [affectedDataset(catalog, derived, partitions, [...new Set(through.map(({ name }) => name))], changed.name)];
  });
  const names = new Set([changed.name, ...downstream.map(({ dataset }) => dataset)]);
  const exposures = catalog.exposures
    .map(({ name, criticality, reads }) => ({
      name,
      criticality,
      reads: reads.map((dataset) => dataset.name).filter((read) => names.has(read)),
    }))
    .filter(({ reads }) => reads.length > 0);
  return { dataset: changed.name, partitions: windowsOf(changed.partitions, asked), downstream, exposures };
}

function affectedDataset(
  catalog: Catalog,
  derived: Derived,
  partitions: Ranges,
  through: readonly string[],
  changed: string,
): AffectedDataset {
  return {
    dataset: derived.name,
    reach: through.includes(changed) ? "direct" : "indirect",
    through,
    criticality: catalog.criticalityOf(derived.name),
    tasks: size(partitions),
    partitions: windowsOf(derived.partitions, partitions),
  };
}

/** As lines for people. */
export function affectedText(affected: Affected): string[] {
  const tasks = affected.downstream.reduce((sum, each) => sum + each.tasks, 0);
  return [
    `A change of ${affected.dataset} (${shortList(affected.partitions)}) reaches:`,
    ...affected.downstream.map(
      (each) =>
        `  ${each.reach.padEnd(8)} ${each.dataset}  ${shortList(each.partitions)}  [${count(each.tasks, "task")}, through ${each.through.join(", ")}]`,
    ),
    ...(affected.downstream.length === 0 ? ["  no dataset"] : []),
    ...affected.exposures.map(
      ({ name, criticality, reads }) => `  » ${name} [${criticality}], reads ${reads.join(", ")}`,
    ),
    "",
    `${count(tasks, "task")} in ${count(affected.downstream.length, "dataset")}, ${count(affected.exposures.length, "exposure")}`,
  ];
}

function shortList(windows: readonly string[]): string {
  const shown = windows.slice(0, 3).join(", ");
  return windows.length > 3 ? `${shown} and ${windows.length - 3} more ranges` : shown;
}
