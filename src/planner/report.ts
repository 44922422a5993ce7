/** A plan as `plan --json` prints it: labels instead of ordinals. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Plan, Step } from "../plan.ts";
import type { BackfillState } from "../states.ts";
import { windowsOf } from "./labels.ts";

/** A preview is not stored. */
export type PlanState = BackfillState | "preview";

/** What `plan --json` prints. */
export interface StepsReport {
  /** Null for a preview, which is not stored. */
  readonly backfill: string | null;
  readonly planHash: string;
  readonly state: PlanState;
  readonly steps: readonly StepReport[];
  readonly tasks: number;
}

export interface StepReport {
  readonly dataset: string;
  readonly action: Step["action"];
  readonly reason: string;
  /** Labels, one text a range: `2001-01-01 to 2001-01-31`, both ends inside. */
  readonly partitions: readonly string[];
}

export function stepsReport(
  catalog: Catalog,
  plan: Plan,
  stored: { readonly backfill: string | null; readonly state: PlanState },
): StepsReport {
  const steps = plan.decision.steps.map(({ dataset, action, reason, partitions }) => {
    const scheme = catalog.datasets.get(dataset)?.partitions;
    return { dataset, action, reason, partitions: scheme === undefined ? [] : windowsOf(scheme, partitions) };
  });
  return { backfill: stored.backfill, planHash: plan.hash, state: stored.state, steps, tasks: plan.forecast.tasks };
}
