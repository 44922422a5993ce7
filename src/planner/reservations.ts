/**
 * What a decision writes and reads, and whether another active backfill stands in its way.
 *
 * The database refuses overlaps for good when a plan is stored; this gives the same answer while planning, with names
 * and labels. Sources are not reserved: others write them at any time. Pure.
 */
import type { Catalog } from "../catalog/catalog.ts";
import { intersect, isEmpty, type Ranges, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import type { Decision } from "../plan.ts";
import { labelRanges } from "./labels.ts";

export interface PlannedReservation {
  readonly dataset: string;
  readonly mode: "read" | "write";
  readonly keys: Ranges;
}

export interface ActiveReservation extends PlannedReservation {
  readonly backfill: string;
}

export interface Overlap {
  readonly backfill: string;
  readonly dataset: string;
  /** What this decision would do, and what the other backfill does. */
  readonly mode: "read" | "write";
  readonly otherMode: "read" | "write";
  readonly partitions: Ranges;
}

/** Writes and reads by dataset, sorted, because inserting reservations in mixed order deadlocks. */
export function reservationsOf(decision: Pick<Decision, "steps">): PlannedReservation[] {
  const keys = new Map<string, PlannedReservation>();
  for (const { action, dataset, partitions } of decision.steps) {
    if (action === "skip" || isEmpty(partitions)) continue;
    const mode = action === "recompute" ? "write" : "read";
    const id = `${dataset} ${mode}`;
    keys.set(id, { dataset, mode, keys: union(keys.get(id)?.keys ?? [], partitions) });
  }
  return [...keys.values()].sort((a, b) => compare(a.dataset, b.dataset) || compare(a.mode, b.mode));
}

/** Every conflict with reservations of other backfills; two readers do not conflict. */
export function overlapsOf(decision: Pick<Decision, "steps">, active: readonly ActiveReservation[]): Overlap[] {
  return reservationsOf(decision).flatMap((own) =>
    active
      .filter((other) => other.dataset === own.dataset && (own.mode === "write" || other.mode === "write"))
      .map((other) => ({
        backfill: other.backfill,
        dataset: own.dataset,
        mode: own.mode,
        otherMode: other.mode,
        partitions: intersect(own.keys, other.keys),
      }))
      .filter((overlap) => !isEmpty(overlap.partitions)),
  );
}

/** Throws `overlapping_plan` with every conflict named. */
export function refuseOverlaps(
  catalog: Catalog,
  decision: Pick<Decision, "steps">,
  active: readonly ActiveReservation[],
): void {
  const overlaps = overlapsOf(decision, active);
  if (overlaps.length === 0) return;
  const lines = overlaps.map((overlap) => {
    const dataset = catalog.datasets.get(overlap.dataset);
    const labels = dataset === undefined ? "some partitions" : labelRanges(dataset.partitions, overlap.partitions);
    const verbs = { read: "reads", write: "writes" } as const;
    return `backfill ${overlap.backfill} ${verbs[overlap.otherMode]} ${overlap.dataset} (${labels}), which this plan ${verbs[overlap.mode]}`;
  });
  throw new RederiveError(
    "overlapping_plan",
    `${lines.join("; ")}; wait until it is finished, cancel it, or ask for other partitions`,
    { details: { overlaps } },
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
