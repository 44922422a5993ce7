/**
 * What kind of change a definition went through: breaking, non-breaking or metadata only. Pure.
 *
 * Non-breaking is proved or not said: both definitions must give the same rows by Postgres' own analysis, so that the
 * columns that differ are all that differs. A dataset that reads a source is never proved, because nothing tells whether
 * the source's rows are still those that the live content was computed from.
 */

import type { Derived } from "../catalog/dataset.ts";
import type { DataShape, MetadataShape } from "../catalog/definition.ts";
import { isEmpty, type Ranges, subtract, union } from "../catalog/ranges.ts";
import type { ColumnChanges, DatasetChange, StaleValidation } from "../plan.ts";
import type { LiveContent } from "./changes.ts";
import { readsDerivedAlone } from "./impact.ts";
import type { Fingerprints, PlannerInput } from "./input.ts";
import { listOf } from "./reasons.ts";

/** The change of one dataset against its live content; undefined where there is none, or nothing live. */
export function changeOf(input: PlannerInput, derived: Derived, now: Fingerprints): DatasetChange | undefined {
  const contents = (input.live.get(derived.name) ?? []).filter((content) => !isEmpty(content.partitions));
  const outdated = contents.filter((content) => content.fingerprint !== now.fingerprint);
  if (outdated.length === 0) return metadataChange(input, derived, contents, now);
  const before = [...new Set(outdated.map((content) => content.fingerprint))].map((hash) => input.shapes?.get(hash));
  return dataChange(derived, before, now.shape);
}

function dataChange(
  derived: Derived,
  before: readonly (DataShape | undefined)[],
  now: DataShape | undefined,
): DatasetChange {
  const breaking = { dataset: derived.name, category: "breaking" } as const;
  const known = before.filter((shape) => shape !== undefined);
  if (now === undefined || known.length < before.length) {
    return { ...breaking, aspects: ["definition"], because: "what its live content was computed by was not kept" };
  }
  const aspects = [...new Set(known.flatMap((shape) => differing(shape, now)))].sort();
  const because = obstacleOf(derived, known, now);
  if (because !== undefined) return { ...breaking, aspects, because };
  return { dataset: derived.name, category: "non_breaking", aspects, columns: columnChanges(known, now) };
}

function differing(before: DataShape, now: DataShape): string[] {
  const names = new Set([...Object.keys(before.aspects), ...Object.keys(now.aspects)]);
  const aspects = [...names].filter((name) => before.aspects[name] !== now.aspects[name]);
  return before.version === now.version ? aspects : [...aspects, "version"];
}

/** What stands in the way of a proof. */
function obstacleOf(derived: Derived, before: readonly DataShape[], now: DataShape): string | undefined {
  if (now.transform !== "select") return `nobody can tell which columns the code of a ${now.transform} changes`;
  if (now.rows === null || before.some((shape) => shape.rows === null)) {
    return "its statement makes rows out of its columns (distinct, a union, a set in the select list)";
  }
  if (before.some((shape) => shape.version !== now.version)) return "its version was raised";
  if (before.some((shape) => shape.rows !== now.rows)) return "its rows may be others";
  if (readsDerivedAlone(derived)) return undefined;
  const sources = derived.inputs.filter((input) => input.dataset.kind === "source").map((input) => input.dataset.name);
  return `it reads ${listOf(sources)}, whose rows may have changed since`;
}

function columnChanges(before: readonly DataShape[], now: DataShape): ColumnChanges {
  const names = [...new Set([...before, now].flatMap((shape) => Object.keys(shape.columns)))].sort();
  const lacking = (name: string) => before.some((shape) => shape.columns[name] === undefined);
  const added = names.filter((name) => now.columns[name] !== undefined && lacking(name));
  const dropped = names.filter((name) => now.columns[name] === undefined);
  const changed = names.filter(
    (name) =>
      !added.includes(name) &&
      !dropped.includes(name) &&
      before.some((shape) => shape.columns[name] !== now.columns[name]),
  );
  return { added, dropped, changed };
}

/** Against the metadata that was promoted last; what was promoted earlier counts for validation alone. */
function metadataChange(
  input: PlannerInput,
  derived: Derived,
  contents: readonly LiveContent[],
  now: Fingerprints,
): DatasetChange | undefined {
  const newest = [...contents].sort((a, b) => (b.promotedAt ?? 0) - (a.promotedAt ?? 0))[0];
  const before = newest?.metadata == null ? undefined : input.metadata?.get(newest.metadata);
  if (before === undefined || now.metadataShape === undefined || newest?.metadata === now.metadata) return undefined;
  const aspects = (["description", "owner", "criticality", "columnDescriptions"] as const).filter(
    (aspect) => before[aspect] !== now.metadataShape?.[aspect],
  );
  const checks = changedChecks(before, now.metadataShape);
  const gone = Object.keys(before.checks).some((name) => now.metadataShape?.checks[name] === undefined);
  const all = [...aspects, ...(checks.length > 0 || gone ? ["checks"] : [])].sort();
  return all.length === 0 ? undefined : { dataset: derived.name, category: "metadata", aspects: all };
}

/** Checks that are new or say something else; one that is gone leaves nothing to be validated. */
function changedChecks(before: MetadataShape, now: MetadataShape): string[] {
  return Object.keys(now.checks)
    .filter((name) => before.checks[name] !== now.checks[name])
    .sort();
}

/** Live partitions of a dataset that stay, by the checks that they were not validated with. */
export function staleValidation(
  input: PlannerInput,
  derived: Derived,
  now: Fingerprints,
  recomputed: Ranges,
): StaleValidation[] {
  const stale = new Map<string, StaleValidation>();
  for (const content of input.live.get(derived.name) ?? []) {
    const before = content.metadata == null ? undefined : input.metadata?.get(content.metadata);
    const partitions = subtract(content.partitions, recomputed);
    if (before === undefined || now.metadataShape === undefined || isEmpty(partitions)) continue;
    const checks = changedChecks(before, now.metadataShape);
    if (checks.length === 0) continue;
    const key = checks.join("\n");
    const all = union(stale.get(key)?.partitions ?? [], partitions);
    stale.set(key, { dataset: derived.name, partitions: all, checks });
  }
  return [...stale.values()];
}
