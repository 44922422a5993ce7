/** Why a step is in the plan: codes with partitions for programs, one sentence for people. Pure. */
import { intersect, isEmpty, type Ranges } from "../catalog/ranges.ts";
import type { Reason, ReasonCode } from "../plan.ts";
import type { OwnChanges } from "./changes.ts";
import type { PartitionMap } from "./impact.ts";

/** What can make partitions of one dataset be recomputed. */
export interface RecomputeCauses {
  readonly requested: Ranges;
  readonly own: OwnChanges;
  readonly upstream: PartitionMap;
}

/** All reasons that hold for these partitions; upstreams by name, so that the order never depends on a map. */
export function whyRecompute(partitions: Ranges, causes: RecomputeCauses): Reason[] {
  const reasons = [
    reason("requested", causes.requested, partitions),
    reason("definition_changed", causes.own.definitionChanged, partitions),
    reason("never_computed", causes.own.neverComputed, partitions),
    ...[...causes.upstream]
      .sort(byName)
      .map(([because, ranges]) => ({ ...reason("upstream_recomputed", ranges, partitions), because })),
  ];
  return reasons.filter((candidate) => !isEmpty(candidate.partitions));
}

/** Why partitions are read as they are: up to date, or out of date but not part of what was asked for. */
export function whyReuse(partitions: Ranges, outdated: Ranges, upToDate: Ranges): Reason[] {
  return [reason("up_to_date", upToDate, partitions), reason("outside_window", outdated, partitions)].filter(
    (candidate) => !isEmpty(candidate.partitions),
  );
}

/** One sentence for people, the first cause first. */
export function sentenceOf(why: readonly Reason[], version: number): string {
  const clauses = why.map((entry) => clauseOf(entry.code, version));
  const upstream = why.flatMap((entry) => entry.because ?? []);
  const distinct = [...new Set(clauses.filter((clause) => clause !== ""))];
  if (upstream.length > 0)
    distinct.push(`${listOf(upstream)} ${upstream.length === 1 ? "is" : "are"} recomputed upstream`);
  return distinct.join("; ");
}

function clauseOf(code: ReasonCode, version: number): string {
  switch (code) {
    case "requested":
      return "requested by name";
    case "definition_changed":
      return `its definition changed (now version ${version})`;
    case "never_computed":
      return "there is no live content yet";
    case "upstream_recomputed":
      return "";
    case "up_to_date":
      return "up to date; read as it is";
    case "outside_window":
      return "out of date, but not part of this request";
    case "no_input":
      return "its inputs have no data";
  }
}

/** `a`, `a and b`, `a, b and c`. */
export function listOf(names: readonly string[]): string {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function reason(code: ReasonCode, ranges: Ranges, within: Ranges): Reason {
  return { code, partitions: intersect(ranges, within) };
}

function byName(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
