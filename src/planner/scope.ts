/** What planning works with: the input, and what follows from it before anything is decided. Pure. */
import type { Derived } from "../catalog/dataset.ts";
import { type Ranges, subtract, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import type { DatasetChange, PlanRequest } from "../plan.ts";
import { changeOf } from "./categories.ts";
import { type LiveContent, livePartitions, type OwnChanges, ownChanges } from "./changes.ts";
import { derivedInOrder, extentsOf, hasHome, mergeMaps, type PartitionMap } from "./impact.ts";
import type { Fingerprints, PlannerInput } from "./input.ts";
import { requireDerived } from "./refuse.ts";
import { askedFor, requestedOf } from "./request.ts";
import { defaultMaxTasks } from "./tasks.ts";

export interface Scope {
  readonly input: PlannerInput;
  readonly request: PlanRequest;
  readonly live: PartitionMap;
  readonly extents: PartitionMap;
  readonly own: ReadonlyMap<string, OwnChanges>;
  /** Definitions that changed, by dataset. */
  readonly changes: ReadonlyMap<string, DatasetChange>;
  /** Live partitions by the numbers of another partitioning. */
  readonly retired: PartitionMap;
  /** The request as ranges; empty when it asks for changes. */
  readonly requested: PartitionMap;
}

export function scopeOf(given: PlannerInput, request: PlanRequest): Scope {
  const { catalog } = given;
  const { retired, input } = withoutRetired(given);
  const live = livePartitions(input.live);
  const asked = askedFor(catalog, request, input.maxTasks ?? defaultMaxTasks);
  // Where no input says which partitions a dataset has, asking for one makes it exist.
  const known = mergeMaps(live, new Map([...asked].filter(([name]) => !hasHome(requireDerived(catalog, name)))));
  const extents = extentsOf(catalog, input.extents, known);
  const inputsChanged = input.inputsChanged ?? new Map<string, Ranges>();
  const forwardFrom = request.kind === "changes" ? request.forwardFrom : undefined;
  const own = new Map<string, OwnChanges>();
  const changes = new Map<string, DatasetChange>();
  for (const derived of derivedInOrder(catalog)) {
    const now = fingerprintsOf(input, derived);
    const by = {
      fingerprint: now.fingerprint,
      live: input.live,
      extents,
      inputsChanged,
      forwardFrom,
      recut: retired.has(derived.name),
    };
    own.set(derived.name, ownChanges(derived, by));
    const change = changeOf(given, derived, now);
    if (change !== undefined) changes.set(derived.name, change);
  }
  const requested = requestedOf(catalog, request, asked, extents);
  return { input, request, live, extents, own, changes, retired, requested };
}

/**
 * Content that was computed under another partitioning is live, but under numbers that mean other partitions now: for
 * planning it is not there, and its pointers are forgotten on promotion.
 */
function withoutRetired(input: PlannerInput): { input: PlannerInput; retired: PartitionMap } {
  const live = new Map(input.live);
  const retired = new Map<string, Ranges>();
  for (const derived of derivedInOrder(input.catalog)) {
    const contents = live.get(derived.name) ?? [];
    const cut = fingerprintsOf(input, derived).shape?.aspects["partitions"];
    const cutThen = ({ fingerprint }: LiveContent) => input.shapes?.get(fingerprint)?.aspects["partitions"] ?? cut;
    const others = contents.filter((content) => cutThen(content) !== cut);
    if (others.length === 0) continue;
    retired.set(derived.name, union(...others.map((content) => content.partitions)));
    live.set(
      derived.name,
      contents.filter((content) => cutThen(content) === cut),
    );
  }
  return { input: { ...input, live }, retired };
}

export function ownOf({ own }: Scope, derived: Derived): OwnChanges {
  return required(own.get(derived.name), `the changes of ${derived.name} were not computed`);
}

export function fingerprintsOf(input: PlannerInput, derived: Derived): Fingerprints {
  return required(input.fingerprints.get(derived.name), `no fingerprint was given for ${derived.name}`);
}

/** Live partitions that were computed under the definition of now, from the inputs of now, as was written down. */
export function provedCurrent({ input, own }: Scope, derived: Derived): Ranges {
  const { fingerprint } = fingerprintsOf(input, derived);
  const known = recordedReads(input, derived, (content) => content === fingerprint);
  return subtract(known, own.get(derived.name)?.inputsChanged ?? []);
}

/** Live partitions of which it was written down what they were computed from, by their fingerprint. */
export function recordedReads(
  { live }: PlannerInput,
  derived: Derived,
  wanted: (fingerprint: string) => boolean,
): Ranges {
  const contents = (live.get(derived.name) ?? []).filter(
    (content) => content.readsAt != null && wanted(content.fingerprint),
  );
  return union(...contents.map((content) => content.partitions));
}

function required<Value>(value: Value | undefined, message: string): Value {
  if (value === undefined) throw new RederiveError("internal", message);
  return value;
}
