/** A request as it is written into the decision, and as ranges. Refuses what makes no sense. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import { parseWindow } from "../catalog/label.ts";
import { parseMoment } from "../catalog/moment.ts";
import { intersect, isEmpty, type Ranges, rangesOf, size } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import type { PlanRequest } from "../plan.ts";
import { canonicalExpectation } from "./expectations.ts";
import { of, type PartitionMap } from "./impact.ts";
import { canonicalPhases } from "./phases.ts";
import {
  refuseEmpty,
  refuseNothingNamed,
  refusePartitions,
  refuseTooManyRequested,
  refuseWindowAndPartitions,
  requireDerived,
} from "./refuse.ts";

/** Names sorted and once each, so that the order in which they were typed does not change the hash. */
export function canonicalRequest(catalog: Catalog, request: PlanRequest): PlanRequest {
  const common = commonOf(catalog, request);
  if (request.kind === "changes") {
    const forward = request.forwardFrom === undefined ? {} : { forwardFrom: dateOf(request.forwardFrom) };
    if (request.datasets === undefined) return { kind: "changes", ...forward, ...common };
    return { kind: "changes", datasets: namesOf(catalog, request.datasets), ...forward, ...common };
  }
  const { window, partitions } = request;
  const datasets = namesOf(catalog, request.datasets);
  if (window !== undefined && partitions !== undefined) refuseWindowAndPartitions();
  return {
    kind: "datasets",
    datasets,
    ...(window === undefined ? {} : { window: { from: window.from, to: window.to } }),
    ...(partitions === undefined ? {} : { partitions: checkedRanges(partitions) }),
    ...common,
  };
}

function commonOf(
  catalog: Catalog,
  { order, deadline, continues, expect, phases }: PlanRequest,
): Pick<PlanRequest, "order" | "deadline" | "continues" | "expect" | "phases"> {
  return {
    ...(expect === undefined ? {} : { expect: canonicalExpectation(catalog, expect) }),
    ...(order === undefined ? {} : { order }),
    ...(deadline === undefined ? {} : { deadline: instantOf(deadline) }),
    ...(continues === undefined ? {} : { continues }),
    ...(phases === undefined ? {} : { phases: canonicalPhases(phases) }),
  };
}

function namesOf(catalog: Catalog, names: readonly string[]): string[] {
  const datasets = [...new Set(names)].sort();
  if (datasets.length === 0) refuseNothingNamed();
  for (const name of datasets) requireDerived(catalog, name);
  return datasets;
}

function dateOf(text: string): string {
  if (/^\d{4}-\d{2}-\d{2}$/.test(text) && parseMoment(text) !== undefined) return text;
  throw new RederiveError(
    "usage",
    `a change holds forward from a date, and "${text}" is none; write it like 2001-01-31`,
  );
}

/** With an offset, because a deadline is an instant and belongs to no dataset's zone. */
function instantOf(text: string): string {
  const moment = parseMoment(text);
  if (moment?.kind === "instant") return new Date(moment.ms).toISOString();
  throw new RederiveError(
    "usage",
    `the deadline "${text}" is no instant; write it with its offset, like 2001-01-31T05:00Z or 2001-01-31T06:00+01:00`,
  );
}

function checkedRanges(partitions: Ranges): Ranges {
  const valid = partitions.every(([from, to]) => Number.isSafeInteger(from) && Number.isSafeInteger(to) && from < to);
  if (!valid || partitions.length === 0) refusePartitions(partitions);
  return rangesOf(partitions);
}

/**
 * The window or partitions of a request as ranges by dataset; no entry where everything that exists is asked for. What is
 * larger than any plan is refused here, before anything is mapped.
 */
export function askedFor(catalog: Catalog, request: PlanRequest, maxTasks: number): PartitionMap {
  if (request.kind === "changes") return new Map();
  const { window, partitions } = request;
  const asked = request.datasets.flatMap((name) => {
    const { partitions: scheme } = requireDerived(catalog, name);
    const ranges = window === undefined ? partitions : parseWindow(scheme, window);
    return ranges === undefined ? [] : [[name, ranges] as const];
  });
  const total = asked.reduce((sum, [, ranges]) => sum + size(ranges), 0);
  if (total > maxTasks) refuseTooManyRequested(total, maxTasks);
  return new Map(asked);
}

/** Exactly what was asked for, as far as it exists; a dataset of which nothing exists there is refused. */
export function requestedOf(
  catalog: Catalog,
  request: PlanRequest,
  asked: PartitionMap,
  extents: PartitionMap,
): PartitionMap {
  if (request.kind === "changes") return new Map();
  return new Map(
    request.datasets.map((name) => {
      const extent = of(extents, name);
      const partitions = intersect(asked.get(name) ?? extent, extent);
      if (isEmpty(partitions)) refuseEmpty(requireDerived(catalog, name), asked.get(name), extent);
      return [name, partitions] as const;
    }),
  );
}
