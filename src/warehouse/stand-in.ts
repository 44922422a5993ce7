/**
 * What a transform reads of a schema that is not there yet, or not any more: each of its handles becomes an empty view
 * with the columns that somebody says it has, and Postgres analyses the statement over those. Nothing of it stays.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Tx } from "../tx.ts";
import { attempt, compileView, pinLocally, rolledBack } from "./compiled.ts";
import { columnList, describedView, readColumns } from "./describe.ts";
import { identifier } from "./quote.ts";

export interface StandInColumn {
  readonly name: string;
  readonly type: string;
}

/**
 * The columns that the statement reads, by the names of datasets; undefined where Postgres refuses it over such
 * columns. Must run inside a transaction.
 */
export async function readsOfStandIns(
  tx: Tx,
  derived: Derived,
  columnsOf: (dataset: string) => readonly StandInColumn[],
): Promise<{ readonly dataset: string; readonly column: string }[] | undefined> {
  return rolledBack(tx, "rederive_stand_in", async () => {
    await pinLocally(tx);
    for (const { name, dataset } of derived.inputs) {
      const columns = columnsOf(dataset.name).map((column) => `null::${column.type} as ${identifier(column.name)}`);
      const view = `create temporary view ${identifier(name)} as select ${columns.join(", ")}`;
      if ((await attempt(tx, view)) !== undefined) return undefined;
    }
    const compiled = await compileView(tx, describedView, derived.transform.statement, columnList(derived));
    if ("failure" in compiled) return undefined;
    const reads = await readColumns(tx);
    return derived.inputs.flatMap(({ name, dataset }) =>
      reads
        .filter((read) => read.name.startsWith(`${name}.`))
        .map((read) => ({ dataset: dataset.name, column: read.name.slice(name.length + 1) })),
    );
  });
}
