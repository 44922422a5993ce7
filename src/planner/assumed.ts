/** What a plan takes for granted, as its datasets and all that they are computed from say. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import { type Decision, recomputeSteps } from "../plan.ts";

export interface Assumed {
  readonly dataset: string;
  /** As its author put it. */
  readonly description: string;
}

/** Upstreams first. All of it is tested before a plan is made and before it starts. */
export function assumedBy(catalog: Catalog, decision: Pick<Decision, "steps">): Assumed[] {
  const recomputed = new Set(recomputeSteps(decision).map(({ dataset }) => dataset));
  const matters = (name: string) =>
    recomputed.has(name) || catalog.downstream(name).some((reader) => recomputed.has(reader));
  return catalog.order
    .filter(matters)
    .flatMap((name) =>
      (catalog.datasets.get(name)?.assumptions ?? []).map(({ description }) => ({ dataset: name, description })),
    );
}

/** `orders: orders are never edited after 30 days`. */
export function assumptionTexts(catalog: Catalog, decision: Pick<Decision, "steps">): string[] {
  return assumedBy(catalog, decision).map(({ dataset, description }) => `${dataset}: ${description}`);
}
