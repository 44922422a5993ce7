/** The graph of datasets: its order, and the cycles that would make an order impossible. */
import type { Dataset } from "./model.ts";

function inputsOf(dataset: Dataset): readonly Dataset[] {
  return dataset.kind === "derived" ? dataset.inputs.map((input) => input.dataset) : [];
}

/** Sources first, then every dataset after its inputs; ties keep the order in which they were given. */
export function topologicalOrder(datasets: readonly Dataset[]): readonly Dataset[] {
  const ordered = new Set<Dataset>(datasets.filter((dataset) => dataset.kind === "source"));
  const visit = (dataset: Dataset): void => {
    if (ordered.has(dataset)) return;
    for (const input of inputsOf(dataset)) visit(input);
    ordered.add(dataset);
  };
  for (const dataset of datasets) visit(dataset);
  return [...ordered];
}

/**
 * One sentence for each cycle, with its path from reader to input. Definitions that use each other as values cannot
 * make one, but hand-made ones can.
 */
export function cyclesIn(datasets: readonly Dataset[]): string[] {
  const cycles: string[] = [];
  const finished = new Set<Dataset>();
  const path: Dataset[] = [];
  const visit = (dataset: Dataset): void => {
    if (finished.has(dataset)) return;
    const start = path.indexOf(dataset);
    if (start >= 0) {
      const names = [...path.slice(start), dataset].map((each) => each.name);
      cycles.push(`cycle: ${names.join(" -> ")}; a dataset cannot be computed from itself`);
      return;
    }
    path.push(dataset);
    for (const input of inputsOf(dataset)) visit(input);
    path.pop();
    finished.add(dataset);
  };
  for (const dataset of datasets) visit(dataset);
  return cycles;
}
