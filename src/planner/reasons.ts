/** Why a step is in the plan: codes with partitions for programs, one sentence for people. Pure. */
import { intersect, isEmpty, type Ranges, subtract, union } from "../catalog/ranges.ts";
import type { DatasetChange, Reason, ReasonCode } from "../plan.ts";
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
    reason("definition_changed", union(causes.own.definitionChanged, causes.own.beforeForward), partitions),
    reason("never_computed", causes.own.neverComputed, partitions),
    reason("inputs_changed", causes.own.inputsChanged, partitions),
    ...byInput("upstream_recomputed", causes.upstream, partitions),
  ];
  return reasons.filter((candidate) => !isEmpty(candidate.partitions));
}

/** What can be said of partitions that stay as they are. */
export interface ReuseCauses {
  /** Out of date, but not part of what was asked for. */
  readonly pending: Ranges;
  readonly beforeForward: Ranges;
  /** By input. */
  readonly unread: PartitionMap;
  readonly same: PartitionMap;
}

/** Why partitions are left as they are. What nothing special can be said of is up to date. */
export function whyReuse(partitions: Ranges, causes: ReuseCauses): Reason[] {
  const { pending, beforeForward, unread, same } = causes;
  const special = union(pending, beforeForward, ...unread.values(), ...same.values());
  const reasons = [
    reason("up_to_date", subtract(partitions, special), partitions),
    ...byInput("unread_change", unread, partitions),
    ...byInput("same_content", same, partitions),
    reason("before_forward", beforeForward, partitions),
    reason("outside_window", pending, partitions),
  ];
  return reasons.filter((candidate) => !isEmpty(candidate.partitions));
}

export interface Wording {
  readonly version: number;
  /** What is known of the change of the dataset's own definition. */
  readonly change: DatasetChange | undefined;
}

/** One sentence for people, the first cause first. */
export function sentenceOf(why: readonly Reason[], wording: Wording): string {
  const clauses = why.map((entry) => clauseOf(entry.code, wording));
  const distinct = [...new Set(clauses.filter((clause) => clause !== ""))];
  return [...distinct, ...inputClauses(why)].join("; ");
}

function inputClauses(why: readonly Reason[]): string[] {
  const inputs = (code: ReasonCode) =>
    [...new Set(why.filter((entry) => entry.code === code).flatMap((entry) => entry.because ?? []))].sort();
  const clause = (code: ReasonCode, one: string, many: string): string[] => {
    const names = inputs(code);
    return names.length === 0 ? [] : [`${listOf(names)} ${names.length === 1 ? one : many}`];
  };
  return [
    ...clause("upstream_recomputed", "is recomputed upstream", "are recomputed upstream"),
    ...clause(
      "unread_change",
      "changes in columns alone that it does not read",
      "change in columns alone that it does not read",
    ),
    ...clause("same_content", "comes out as it is", "come out as they are"),
  ];
}

function clauseOf(code: ReasonCode, wording: Wording): string {
  switch (code) {
    case "requested":
      return "requested by name";
    case "definition_changed":
      return definitionClause(wording);
    case "never_computed":
      return "there is no live content yet";
    case "inputs_changed":
      return "its inputs were promoted since with other content";
    case "upstream_recomputed":
    case "unread_change":
    case "same_content":
      return "";
    case "up_to_date":
      return "up to date; read as it is";
    case "before_forward":
      return "its changed definition holds from a later date on";
    case "outside_window":
      return "out of date, but not part of this request";
    case "no_input":
      return "its inputs have no data";
  }
}

function definitionClause({ version, change }: Wording): string {
  const columns = change?.columns;
  if (columns !== undefined) {
    const parts = (["added", "dropped", "changed"] as const)
      .filter((kind) => columns[kind].length > 0)
      .map((kind) => `${listOf(columns[kind])} ${kind}`);
    if (parts.length > 0) return `its columns changed (${parts.join(", ")})`;
  }
  return `its definition changed (now version ${version})`;
}

/** `a`, `a and b`, `a, b and c`. */
export function listOf(names: readonly string[]): string {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function reason(code: ReasonCode, ranges: Ranges, within: Ranges): Reason {
  return { code, partitions: intersect(ranges, within) };
}

function byInput(code: ReasonCode, inputs: PartitionMap, within: Ranges): Reason[] {
  return [...inputs].sort(byName).map(([because, ranges]) => ({ ...reason(code, ranges, within), because }));
}

function byName(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
