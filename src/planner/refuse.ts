/** The refusals of the planner. Each names what was asked, what stands in the way, and what to do instead. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { isEmpty, type Ranges, size } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import type { RecomputeStep } from "../plan.ts";
import { didYouMean } from "../suggest.ts";
import type { PartitionMap } from "./impact.ts";
import { count, countPartitions, labelRanges } from "./labels.ts";

/** The derived dataset of this name, or the refusal to plan it. */
export function requireDerived(catalog: Catalog, name: string): Derived {
  const dataset = catalog.datasets.get(name);
  if (dataset === undefined) {
    const hint = didYouMean(name, catalog.datasets.keys());
    throw new RederiveError("not_found", `there is no dataset "${name}" in the catalog${hint}`, {
      details: { dataset: name },
    });
  }
  if (dataset.kind === "derived") return dataset;
  const readers = catalog.downstream(name);
  throw new RederiveError(
    "plan_refused",
    `${name} is a source: others write it, so there is nothing to recompute; ` +
      `plan a dataset that is derived from it${readers.length === 0 ? "" : ` (${readers.join(", ")})`}`,
    { details: { dataset: name } },
  );
}

export function refuseNothingNamed(): never {
  throw new RederiveError("usage", "no dataset was named; name at least one, or ask for what has changed instead");
}

export function refuseWindowAndPartitions(): never {
  throw new RederiveError("usage", "both a window and partitions were given; give one of them");
}

export function refusePartitions(ranges: unknown): never {
  throw new RederiveError(
    "usage",
    `partitions must be ranges [from, to) of whole numbers with from < to, not ${JSON.stringify(ranges)}`,
  );
}

/** Nothing of what was asked for exists. */
export function refuseEmpty(derived: Derived, asked: Ranges | undefined, extent: Ranges): never {
  const has = isEmpty(extent)
    ? `${derived.name} has no partitions, because its inputs (${derived.inputs.map((input) => input.dataset.name).join(", ")}) have no data`
    : `${derived.name} has ${labelRanges(derived.partitions, extent)}`;
  const what =
    asked === undefined
      ? "there is nothing to recompute"
      : `${labelRanges(derived.partitions, asked)} is an empty window`;
  throw new RederiveError("plan_refused", `${what}: ${has}; ask for partitions that exist`, {
    details: { dataset: derived.name, requested: asked ?? null, extent },
  });
}

/** Recomputed partitions would read derived partitions that nobody has computed. */
export function refuseMissing(catalog: Catalog, missing: PartitionMap): never {
  const names = [...missing.keys()].sort();
  const lines = names.map((name) => {
    const ranges = missing.get(name) as Ranges;
    const scheme = requireDerived(catalog, name).partitions;
    return `${name} (${labelRanges(scheme, ranges)})`;
  });
  throw new RederiveError(
    "plan_refused",
    `the request reads partitions that were never computed: ${lines.join("; ")}; ` +
      "plan what is out of date first: rederive plan (without naming datasets)",
    { details: { missing: Object.fromEntries(names.map((name) => [name, missing.get(name)])) } },
  );
}

export function refuseTooManyTasks(
  catalog: Catalog,
  steps: readonly RecomputeStep[],
  tasks: number,
  maxTasks: number,
): never {
  const largest = [...steps].sort((a, b) => size(b.partitions) - size(a.partitions))[0];
  const where =
    largest === undefined
      ? ""
      : `; most are in ${largest.dataset}: ${countPartitions(largest.partitions)}, ` +
        labelRanges(requireDerived(catalog, largest.dataset).partitions, largest.partitions);
  throw new RederiveError(
    "plan_too_large",
    `the plan has ${count(tasks, "task")}, more than the limit of ${maxTasks.toLocaleString("en-US")}${where}; ` +
      "ask for a narrower window, use coarser partitions, or check the sources for rows far outside their time",
    { details: { tasks, maxTasks } },
  );
}

/** Before anything is mapped: asked for more partitions than a plan may have tasks. */
export function refuseTooManyRequested(requested: number, maxTasks: number): never {
  throw new RederiveError(
    "plan_too_large",
    `the request is for ${count(requested, "partition")}, more than the limit of ${maxTasks.toLocaleString("en-US")} tasks; ` +
      "ask for a narrower window",
    { details: { tasks: requested, maxTasks } },
  );
}

export function refuseTooManyEdges(edges: number, maxEdges: number, consumer: string, producer: string): never {
  throw new RederiveError(
    "plan_too_large",
    `the tasks of the plan depend on each other in more than ${maxEdges.toLocaleString("en-US")} ways, most of them where ` +
      `${consumer} reads ${producer}; ask for a narrower window, or use a mapping that reads fewer partitions`,
    { details: { edges, maxEdges, consumer, producer } },
  );
}
