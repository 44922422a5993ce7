/**
 * Column lineage of a dataset: from which columns of its inputs each of its columns comes, found out by Postgres' own
 * analysis in a transaction part that is rolled back.
 */
import type { Derived } from "../catalog/dataset.ts";
import { messageOf, RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { readableColumns } from "./bind.ts";
import { type ColumnUse, type StatementUses, type TreeRelation, usesOf } from "./column-uses.ts";
import { compileView, pinLocally, rolledBack } from "./compiled.ts";
import { columnList, createHandles, describedView, handleNames } from "./describe.ts";
import { isTreeNode, readNodeTree, type TreeNode } from "./node-tree.ts";

export interface ColumnLineage {
  /** By owned column. */
  readonly columns: readonly { readonly name: string; readonly uses: readonly ColumnUse[] }[];
  /** Columns that decide which rows there are. */
  readonly rows: readonly ColumnUse[];
  /** False for a map, whose function nobody looks into: every column that it reads may be in every column that it writes. */
  readonly proven: boolean;
}

/** Inside a transaction; leaves nothing behind in it. Throws `plan_refused` for a statement that Postgres refuses. */
export async function columnLineage(tx: Tx, derived: Derived): Promise<ColumnLineage> {
  const { query, relations } = await compiledQuery(tx, derived);
  const uses = usesOf(query, relations);
  return derived.transform.kind === "select" ? { ...uses, proven: true } : ofMap(derived, uses);
}

function ofMap(derived: Derived, { columns, rows }: StatementUses): ColumnLineage {
  const read = [
    ...new Map(columns.flatMap(({ uses }) => uses).map((use) => [`${use.input}.${use.column}`, use])).values(),
  ];
  const uses = read.map((use) => ({ ...use, how: "transformation" as const }));
  return { columns: derived.owned.map(({ name }) => ({ name, uses })), rows, proven: false };
}

/** The tree of a dataset's statement, and the relations in it that stand for the inputs, by oid. */
export async function compiledQuery(
  tx: Tx,
  derived: Derived,
): Promise<{ query: TreeNode; relations: ReadonlyMap<string, TreeRelation> }> {
  return rolledBack(tx, "rederive_columns", async () => {
    await pinLocally(tx);
    const faults = await createHandles(tx, derived);
    if (faults.length > 0) throw refused(derived, faults.join("; "));
    const compiled = await compileView(tx, describedView, derived.transform.statement, columnList(derived));
    if ("failure" in compiled) throw refused(derived, messageOf(compiled.failure));
    const tree = readNodeTree(compiled.action);
    const query = Array.isArray(tree) ? tree[0] : tree;
    if (!isTreeNode(query)) throw refused(derived, "its tree cannot be read");
    const columns = new Map(
      derived.inputs.map((input) => [input.name, readableColumns(input.dataset).map(({ name }) => name)]),
    );
    const relations = [...(await handleNames(tx, derived))].map(
      ([id, input]) => [id, { input, columns: columns.get(input) ?? [] }] as const,
    );
    return { query, relations: new Map(relations) };
  });
}

function refused({ name }: Derived, message: string): RederiveError {
  return new RederiveError(
    "plan_refused",
    `the statement of ${name} cannot be read: ${message}; "rederive plan" says more`,
    {
      details: { dataset: name },
    },
  );
}
