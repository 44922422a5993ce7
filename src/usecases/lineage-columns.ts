/** Column lineage of a dataset: what each column comes from in its inputs, and through these in the sources. */
import type { Derived } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import type { ColumnOrigin, ColumnsReport } from "../lineage/columns.ts";
import type { Tx } from "../tx.ts";
import { type ColumnLineage, columnLineage } from "../warehouse/column-lineage.ts";
import type { Context } from "./context.ts";
import { requireDataset } from "./lineage.ts";

/** Throws `not_found` for an unknown dataset, `usage` for a source, which is computed from nothing. */
export async function columns({ catalog, database }: Context, name: string): Promise<ColumnsReport> {
  const dataset = requireDataset(catalog, name);
  if (dataset.kind === "source") {
    throw new RederiveError("usage", `${name} is a source: others write it; ask for a dataset that is computed`);
  }
  return database.transaction(async (tx) => {
    const known = new Map<string, ColumnLineage>();
    const own = await analysed(tx, dataset, known);
    return {
      dataset: name,
      proven: own.proven,
      sourcesProven: [...known.values()].every(({ proven }) => proven),
      columns: own.columns.map(({ name: column, uses }) => ({
        column,
        from: originsIn(dataset, uses),
        sources: sourcesOf(dataset, column, known),
      })),
      rows: originsIn(dataset, own.rows),
    };
  });
}

/** Of the dataset and of everything above it. */
async function analysed(tx: Tx, derived: Derived, known: Map<string, ColumnLineage>): Promise<ColumnLineage> {
  const found = known.get(derived.name) ?? (await columnLineage(tx, derived));
  known.set(derived.name, found);
  for (const { dataset } of derived.inputs) {
    if (dataset.kind === "derived" && !known.has(dataset.name)) await analysed(tx, dataset, known);
  }
  return found;
}

function originsIn(derived: Derived, uses: ColumnLineage["rows"]): ColumnOrigin[] {
  return uses.map(({ input, column, how }) => ({
    input,
    dataset: datasetOf(derived, input)?.name ?? input,
    column,
    how,
  }));
}

/** `source.column` of every source column whose value may be in a column, or decides about it. */
function sourcesOf(derived: Derived, column: string, known: ReadonlyMap<string, ColumnLineage>): string[] {
  const uses = known.get(derived.name)?.columns.find(({ name }) => name === column)?.uses ?? [];
  const found = uses.flatMap((use) => {
    const dataset = datasetOf(derived, use.input);
    if (dataset === undefined) return [];
    return dataset.kind === "source" ? [`${dataset.name}.${use.column}`] : sourcesOf(dataset, use.column, known);
  });
  return [...new Set(found)].sort();
}

function datasetOf({ inputs }: Derived, handle: string): Derived["inputs"][number]["dataset"] | undefined {
  return inputs.find(({ name }) => name === handle)?.dataset;
}
