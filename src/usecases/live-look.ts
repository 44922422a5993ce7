/** What is live of one dataset, as something to look at: its rules, where its inputs are read, and what its stamps say. */
import type { Derived } from "../catalog/dataset.ts";
import { noRanges, type Ranges, union } from "../catalog/ranges.ts";
import { bindingsOf } from "../executor/run-plan.ts";
import { liveStamps, type StampedContent } from "../store/checks.ts";
import { liveContents } from "../store/contents.ts";
import type { Tx } from "../tx.ts";
import { datasetProbes } from "../validation/across.ts";
import { taskProbes } from "../validation/compile.ts";
import { type LiveColumn, liveColumns, ownedOf } from "../warehouse/columns.ts";
import { type LiveConstraints, liveConstraints } from "../warehouse/constraints.ts";
import type { DatasetProbe, Probe } from "../warehouse/probe.ts";
import { tableName } from "../warehouse/quote.ts";
import type { Look } from "./look.ts";

/** The rules of a dataset as its live table and its definition make them. */
export interface LiveRules {
  readonly columns: readonly LiveColumn[];
  readonly constraints: LiveConstraints;
  readonly probes: readonly Probe[];
  readonly across: readonly DatasetProbe[];
}

export async function liveRules(tx: Tx, derived: Derived): Promise<LiveRules> {
  const columns = ownedOf(derived, await liveColumns(tx, derived));
  const constraints = await liveConstraints(tx, derived);
  const all = { derived, candidate: tableName(derived.table), partitions: noRanges, everything: true };
  return {
    columns,
    constraints,
    probes: taskProbes(derived, columns, constraints),
    across: datasetProbes(derived, constraints, [all]),
  };
}

/** Live partitions by dataset. */
export async function livePartitions(tx: Tx): Promise<ReadonlyMap<string, Ranges>> {
  const live = new Map<string, Ranges>();
  for (const { dataset, partitions } of await liveContents(tx)) {
    live.set(dataset, union(live.get(dataset) ?? noRanges, partitions));
  }
  return live;
}

/** These partitions, or all where undefined. */
export async function liveLook(
  tx: Tx,
  derived: Derived,
  { columns, probes, across }: LiveRules,
  live: ReadonlyMap<string, Ranges>,
  partitions: Ranges | undefined,
): Promise<Look> {
  const nothing = { steps: new Map(), candidates: new Map() };
  const bound = { derived, extents: live };
  const stamps = await liveStamps(tx, { dataset: derived.name, partitions: undefined, notBy: undefined });
  return {
    subject: {
      ...{ derived, columns, probes, relation: tableName(derived.table) },
      bindingsOf: (ordinal) => bindingsOf(nothing, bound, ordinal),
    },
    across,
    keeper: newestKeeper(stamps),
    contents: async (notBy) => liveStamps(tx, { dataset: derived.name, partitions, notBy }),
  };
}

/** What is live came from several backfills; the newest one looked at the dataset as it is now. */
function newestKeeper(stamps: readonly StampedContent[]): string | undefined {
  return stamps.toSorted((a, b) => (BigInt(a.stamp) < BigInt(b.stamp) ? 1 : -1))[0]?.backfill;
}
