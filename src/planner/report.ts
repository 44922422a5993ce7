/** A plan as `plan --json` prints it: labels instead of ordinals. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import { type Ranges, size } from "../catalog/ranges.ts";
import type { DatasetChange, Decision, Forecast, Phase, Plan, Step } from "../plan.ts";
import type { BackfillState } from "../states.ts";
import { type Assumed, assumedBy } from "./assumed.ts";
import { windowsOf } from "./labels.ts";

/** A preview is not stored. */
export type PlanState = BackfillState | "preview";

/** What `plan --json` prints. Partitions are labels, one text a range: `2001-01-01 to 2001-01-31`, both ends inside. */
export interface StepsReport {
  /** Null for a preview, which is not stored. */
  readonly backfill: string | null;
  readonly planHash: string;
  readonly state: PlanState;
  readonly steps: readonly StepReport[];
  readonly tasks: number;
  /** Definitions that changed by themselves. */
  readonly changes: readonly DatasetChange[];
  /** What was validated with other checks than the catalog has now. */
  readonly validation: readonly {
    readonly dataset: string;
    readonly partitions: readonly string[];
    readonly checks: readonly string[];
  }[];
  readonly guarantees: Decision["guarantees"];
  /** Tested before the plan was made, and before it starts. */
  readonly assumptions: readonly Assumed[];
  /** In order; absent where everything runs at once. */
  readonly phases?: readonly {
    readonly name: string;
    readonly gate: "automatic" | "approval";
    readonly tasks: number;
    readonly partitions: readonly { readonly dataset: string; readonly partitions: readonly string[] }[];
  }[];
  readonly forecast: Forecast;
}

export interface StepReport {
  readonly dataset: string;
  readonly action: Step["action"];
  /** `direct`: because of itself or the request. `indirect`: only because of what it reads. Null where nothing is done. */
  readonly cause: "direct" | "indirect" | null;
  readonly reason: string;
  readonly partitions: readonly string[];
}

export function stepsReport(
  catalog: Catalog,
  plan: Plan,
  stored: { readonly backfill: string | null; readonly state: PlanState },
): StepsReport {
  const { decision, forecast } = plan;
  const windows = (dataset: string, partitions: Ranges): string[] => {
    const scheme = catalog.datasets.get(dataset)?.partitions;
    return scheme === undefined ? [] : windowsOf(scheme, partitions);
  };
  return {
    backfill: stored.backfill,
    planHash: plan.hash,
    state: stored.state,
    steps: decision.steps.map((step) => ({
      dataset: step.dataset,
      action: step.action,
      cause: causeOf(step),
      reason: step.reason,
      partitions: windows(step.dataset, step.partitions),
    })),
    tasks: forecast.tasks,
    changes: decision.changes,
    validation: decision.validation.map(({ dataset, partitions, checks }) => ({
      dataset,
      partitions: windows(dataset, partitions),
      checks,
    })),
    guarantees: decision.guarantees,
    assumptions: assumedBy(catalog, decision),
    ...(decision.phases === undefined ? {} : { phases: decision.phases.map((phase) => phaseReport(phase, windows)) }),
    forecast,
  };
}

function phaseReport(
  { name, gate, partitions }: Phase,
  windows: (dataset: string, partitions: Ranges) => string[],
): NonNullable<StepsReport["phases"]>[number] {
  const tasks = partitions.reduce((sum, each) => sum + size(each.partitions), 0);
  const labelled = partitions.map((each) => ({
    dataset: each.dataset,
    partitions: windows(each.dataset, each.partitions),
  }));
  return { name, gate, tasks, partitions: labelled };
}

/** Whether a step is there because of the dataset itself, or only because of what it reads. */
export function causeOf(step: Step): StepReport["cause"] {
  if (step.action !== "recompute") return null;
  return step.why.every(({ code }) => code === "upstream_recomputed") ? "indirect" : "direct";
}
