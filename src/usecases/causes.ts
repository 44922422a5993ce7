/** Why a row differs, as sentences: what is known, and where nothing is, what is left. Pure. */
import type { DatasetChange } from "../plan.ts";
import type { BisectedInput } from "../report.ts";

/** What is known of one live partition beside its rows. */
export interface Standing {
  /** The live content has another definition. */
  readonly redefined: boolean;
  /** How the plan says that the definition changed. */
  readonly change: DatasetChange | undefined;
  /** A backfill made what is live. */
  readonly promoted: boolean;
  /** The live rows are not those that were promoted. */
  readonly edited: boolean;
  /** The backfill computed exactly what had been promoted. */
  readonly reproduced: boolean;
  /** Derived inputs that have been promoted since, with other content. */
  readonly movedInputs: readonly string[];
}

/** What is said of a partition holds for its rows together: any of the causes may be that of the row. */
export function causesOf(standing: Standing, inputs: readonly BisectedInput[]): string[] {
  if (!standing.promoted) return ["no backfill has promoted this partition before"];
  const written = "others wrote to this partition of the live table after it was promoted";
  if (standing.reproduced) return standing.edited ? [written] : [unexplained];
  const computed = computedOtherwise(standing, inputs);
  if (computed.length === 0 && !standing.edited) return [unexplained];
  return [...computed, ...(standing.edited ? [written] : [])];
}

const unexplained = "nothing that is known explains it; compute the partition again";

/** Why another result was computed than had been promoted. Where nothing else is known it is the sources. */
function computedOtherwise({ redefined, change, movedInputs }: Standing, inputs: readonly BisectedInput[]): string[] {
  const differing = namesOf(inputs.filter((each) => (each.differing ?? 0) > 0));
  const moved = movedInputs.filter((dataset) => !differing.includes(dataset));
  const known = [
    ...(redefined ? [`the definition changed${changeText(change)}`] : []),
    ...differing.map((dataset) => `rows of ${dataset} differ`),
    ...moved.map((dataset) => `${dataset} was promoted with other rows since this was computed`),
  ];
  if (known.length > 0) return known;
  const unkept = namesOf(inputs.filter(({ differing: count }) => count === null));
  return unkept.length === 0 ? [] : [`rows of ${unkept.join(", ")} are others than they were when this was computed`];
}

function changeText(change: DatasetChange | undefined): string {
  if (change === undefined || change.aspects.length === 0) return "";
  const { added = [], dropped = [], changed = [] } = change.columns ?? {};
  const columns = [...added, ...dropped, ...changed];
  return ` (${change.aspects.join(", ")}${columns.length === 0 ? "" : `: ${columns.join(", ")}`})`;
}

function namesOf(inputs: readonly BisectedInput[]): string[] {
  return [...new Set(inputs.map(({ dataset }) => dataset))];
}
