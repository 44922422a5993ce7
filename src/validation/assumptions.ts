/** Tests of what datasets take for granted, before anything is planned or started on it. */
import type { Assumption } from "../catalog/assumption.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset } from "../catalog/dataset.ts";
import { messageOf, RederiveError, sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { questionFaults, rolledBack } from "../warehouse/compiled.ts";
import { countRows } from "../warehouse/evidence.ts";

export interface BrokenAssumption {
  readonly dataset: string;
  readonly description: string;
  /** Rows that break it. */
  readonly failures: number;
  /** The query that finds them. */
  readonly sql: string;
}

/** Assumptions of these datasets, and of everything upstream of them, that do not hold. Throws `plan_refused` for bad SQL. */
export async function brokenAssumptions(tx: Tx, datasets: readonly Dataset[]): Promise<BrokenAssumption[]> {
  const broken: BrokenAssumption[] = [];
  for (const dataset of withUpstreams(datasets)) {
    for (const assumption of dataset.assumptions) {
      const failures = await failuresOf(tx, dataset, assumption);
      const { description, statement } = assumption;
      if (failures > 0) broken.push({ dataset: dataset.name, description, failures, sql: statement });
    }
  }
  return broken;
}

/** Throws `assumption_broken` where one of these datasets, named by the steps of a plan, rests on one that does not hold. */
export async function requireAssumptions(
  tx: Tx,
  catalog: Catalog,
  steps: readonly { readonly dataset: string }[],
): Promise<void> {
  const datasets = steps.flatMap(({ dataset }) => catalog.datasets.get(dataset) ?? []);
  const broken = await brokenAssumptions(tx, datasets);
  if (broken.length === 0) return;
  const sentences = broken.map(
    ({ dataset, description, failures, sql }) =>
      `${dataset} assumes "${description}", and ${failures} rows break it; find them with:\n${sql}`,
  );
  throw new RederiveError(
    "assumption_broken",
    `${sentences.join("\n")}\nMend the data, or change the definition so that it does not rest on this any more.`,
    { details: { broken: broken.map(({ sql: _sql, ...each }) => each) } },
  );
}

function withUpstreams(datasets: readonly Dataset[]): ReadonlySet<Dataset> {
  const found = new Set<Dataset>();
  const visit = (dataset: Dataset): void => {
    if (found.has(dataset)) return;
    found.add(dataset);
    if (dataset.kind === "derived") for (const input of dataset.inputs) visit(input.dataset);
  };
  for (const dataset of datasets) visit(dataset);
  return found;
}

async function failuresOf(tx: Tx, dataset: Dataset, { description, statement }: Assumption): Promise<number> {
  const refusal = (why: string, cause?: unknown) =>
    new RederiveError(
      "plan_refused",
      `the assumption "${description}" of ${dataset.name} cannot be tested: ${why}; correct its query`,
      { details: { dataset: dataset.name }, cause },
    );
  const faults = await rolledBack(tx, "rederive_assumption", () => questionFaults(tx, [statement], [statement]));
  if (faults.length > 0) throw refusal(faults.join("; "));
  try {
    return await countRows(tx, statement);
  } catch (error) {
    if (sqlState(error) === undefined) throw error;
    throw refusal(messageOf(error), error);
  }
}
