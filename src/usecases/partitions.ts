/** Partitions as people name them (labels) or as programs do (ordinal ranges). */
import type { Catalog } from "../catalog/catalog.ts";
import { parsePartition } from "../catalog/label.ts";
import { type Range, type Ranges, rangesOf, rangesOfOrdinals } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";

/** Labels such as "2001-01-31", or ordinal ranges. */
export type PartitionChoice = readonly string[] | Ranges;

/** The ranges of a choice. Labels mean something for one dataset only, so there must be exactly one. */
export function rangesOfChoice(catalog: Catalog, datasets: readonly string[], choice: PartitionChoice): Ranges {
  const labels = choice.filter((part): part is string => typeof part === "string");
  if (labels.length === 0) return rangesOf(choice as readonly Range[]);
  const [name] = datasets;
  if (name === undefined || datasets.length > 1) {
    throw new RederiveError(
      "usage",
      `partitions ${labels.slice(0, 3).join(", ")} were named; name exactly one dataset with them`,
    );
  }
  const dataset = catalog.datasets.get(name);
  if (!dataset)
    throw new RederiveError("not_found", `there is no dataset ${JSON.stringify(name.slice(0, 80))} in the catalog`);
  return rangesOfOrdinals(labels.map((label) => parsePartition(dataset.partitions, label)));
}
