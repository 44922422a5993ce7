/**
 * Which recomputed partitions may come out other than they are, for one reader: what ends the closure early. Pure.
 *
 * Two things are known before anything runs. A definition that is proved to change some columns alone does not reach a
 * reader that reads none of them. And a partition that is taken over from an earlier backfill has rows that are there
 * already: where they are the live ones, nothing changes for anybody.
 */
import type { Derived } from "../catalog/dataset.ts";
import { intersect, isEmpty, noRanges, type Ranges, subtract, union } from "../catalog/ranges.ts";
import type { ColumnChanges } from "../plan.ts";
import {
  type DerivedInput,
  derivedInputs,
  of,
  type PartitionMap,
  readersOf,
  type SoFar,
  type Spread,
} from "./impact.ts";
import type { EarlierDataset } from "./input.ts";
import { fingerprintsOf, ownOf, recordedReads, type Scope } from "./scope.ts";

/** The spread of a scope, and what it finds to be taken over on the way. */
export interface KnownSpread {
  readonly spread: Spread;
  /** Partitions of a dataset that are taken over; final once everything above it is closed. */
  readonly adopted: (derived: Derived, so: SoFar) => Ranges;
  /** Recomputed partitions that differ from live ones in columns alone that this reader does not read. */
  readonly unread: (reader: Derived, input: DerivedInput, so: SoFar) => Ranges;
  /** Taken over, and equal to what is live. */
  readonly same: (derived: Derived, so: SoFar) => Ranges;
}

export function knownSpread(scope: Scope): KnownSpread {
  const found = new Map<string, Ranges>();
  const adopted = (derived: Derived, so: SoFar): Ranges => {
    const known = found.get(derived.name) ?? adoptedOf(scope, derived, so, (above) => adopted(above, so));
    found.set(derived.name, known);
    return known;
  };
  const unread = (reader: Derived, input: DerivedInput, so: SoFar) => unreadOf(scope, reader, input, so);
  const same = (derived: Derived, so: SoFar) =>
    intersect(adopted(derived, so), earlierOf(scope, derived)?.sameAsLive ?? noRanges);
  const spread: Spread = (reader, input, so) =>
    subtract(of(so.recompute, input.dataset.name), union(unread(reader, input, so), same(input.dataset, so)));
  return { spread, adopted, unread, same };
}

function earlierOf({ input }: Scope, derived: Derived): EarlierDataset | undefined {
  const earlier = input.earlier?.datasets.get(derived.name);
  return earlier?.fingerprint === fingerprintsOf(input, derived).fingerprint ? earlier : undefined;
}

/** Verified under the same definition, and computed from what this plan would compute them from. */
function adoptedOf(scope: Scope, derived: Derived, { recompute }: SoFar, adopted: (above: Derived) => Ranges): Ranges {
  const earlier = earlierOf(scope, derived);
  const wanted = intersect(of(recompute, derived.name), earlier?.verified ?? noRanges);
  if (isEmpty(wanted)) return noRanges;
  const otherwise = derivedInputs(derived).map((input) => {
    const { dataset } = input;
    const then = scope.input.earlier?.datasets.get(dataset.name);
    const anew = subtract(of(recompute, dataset.name), adopted(dataset));
    // What the earlier backfill read from its own candidate, and this one reads from the live table.
    const left = subtract(then?.tasks ?? noRanges, union(adopted(dataset), then?.sameAsLive ?? noRanges));
    return readersOf(derived, input, union(anew, left), scope.extents);
  });
  return subtract(wanted, union(...otherwise));
}

/**
 * Recomputed for a proved change of columns alone: neither asked for, nor touched from above, nor lacking a record of
 * what the live rows were computed from.
 */
function unreadOf(scope: Scope, reader: Derived, input: DerivedInput, so: SoFar): Ranges {
  const { dataset } = input;
  const change = scope.changes.get(dataset.name);
  if (change?.columns === undefined || readsAny(scope, reader, input, change.columns)) return noRanges;
  const own = ownOf(scope, dataset);
  const above = [...(so.causes.get(dataset.name)?.values() ?? [])];
  const recorded = recordedReads(scope.input, dataset, () => true);
  const otherwise = union(of(scope.requested, dataset.name), own.neverComputed, own.inputsChanged, ...above);
  return intersect(subtract(own.definitionChanged, otherwise), recorded);
}

/** The column by which an input is cut is read by every partition of its readers. */
function readsAny({ input: given }: Scope, reader: Derived, input: DerivedInput, columns: ColumnChanges): boolean {
  const reads = fingerprintsOf(given, reader).reads?.get(input.name);
  const differing = [...columns.added, ...columns.dropped, ...columns.changed];
  if (reads == null) return differing.length > 0;
  const { partitions } = input.dataset;
  const cut = partitions.kind === "whole" ? [] : [partitions.column.name];
  return [...reads, ...cut].some((column) => differing.includes(column));
}

/** Which live partitions of a dataset stay although an input of theirs is recomputed, and because of which input. */
export interface Spared {
  readonly unread: PartitionMap;
  readonly same: PartitionMap;
}

/** What would have been recomputed in a dataset, had nothing been known. */
export function sparedOf(scope: Scope, known: KnownSpread, derived: Derived, so: SoFar): Spared {
  const unread = new Map<string, Ranges>();
  const same = new Map<string, Ranges>();
  const recomputed = of(so.recompute, derived.name);
  const note = (map: Map<string, Ranges>, input: DerivedInput, partitions: Ranges) => {
    const readers = subtract(readersOf(derived, input, partitions, scope.extents), recomputed);
    const live = intersect(readers, of(scope.live, derived.name));
    if (!isEmpty(live)) map.set(input.dataset.name, union(of(map, input.dataset.name), live));
  };
  for (const input of derivedInputs(derived)) {
    if (isEmpty(of(so.recompute, input.dataset.name))) continue;
    note(unread, input, known.unread(derived, input, so));
    note(same, input, known.same(input.dataset, so));
  }
  return { unread, same };
}
