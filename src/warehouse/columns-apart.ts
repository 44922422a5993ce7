/**
 * A statement taken apart into what decides about its rows and what decides about each of its columns.
 *
 * Two statements with equal rows give the same rows, and where a column's part is equal too, the same values in it:
 * then only the other columns changed, which downstream datasets may or may not read. Both parts are taken from the tree
 * that Postgres made, without what differs from one analysis to the next (oids of temporary views, positions in the
 * text) and without the lists of columns that are merely there.
 */
import { hashOf } from "../hash.ts";
import { isTreeNode, readNodeTree, type TreeNode, type TreeValue } from "./node-tree.ts";
import { listOf, wordOf } from "./query-scope.ts";

export interface ColumnsApart {
  /** Hash of everything but the columns; null where a column more or less may change the rows (distinct, unions). */
  readonly rows: string | null;
  /** Hashes by column name. */
  readonly columns: Readonly<Record<string, string>>;
  /** Some row of an input is read as a whole, so every column of it counts as read. */
  readonly wholeRows: boolean;
}

/** `action` is `pg_rewrite.ev_action` of a view; `relations` names the oids of the views that stand for inputs. */
export function columnsApart(action: string, relations: ReadonlyMap<string, string>): ColumnsApart {
  const wholeRows = /(?<!\\)\{VAR :varno -?\d+ :varattno 0 /.test(action);
  const tree = readNodeTree(action);
  const query = Array.isArray(tree) ? tree[0] : tree;
  if (!isTreeNode(query)) return { rows: null, columns: {}, wholeRows };
  const entries = listOf(query, "targetList").filter(isTreeNode);
  const print = (value: TreeValue) => printed(value, relations);
  const shown = entries.filter((entry) => wordOf(entry, "resjunk") !== "true");
  const columns = shown.map((entry) => [nameOf(entry), hashOf(print(entry.fields.get("expr") ?? []))] as const);
  if (!areRowsApart(query)) return { rows: null, columns: Object.fromEntries(columns), wholeRows };
  // Grouping, ordering and limits name entries by a reference: what it stands for decides about rows.
  const referenced = entries
    .filter((entry) => wordOf(entry, "ressortgroupref") !== "0")
    .map((entry) => [wordOf(entry, "ressortgroupref"), print(entry.fields.get("expr") ?? [])]);
  const rest = [...query.fields].filter(([field]) => field !== "targetList" && !varying.has(field));
  const rows = hashOf({ referenced, rest: rest.map(([field, value]) => [field, print(value)]) });
  return { rows, columns: Object.fromEntries(columns), wholeRows };
}

function areRowsApart(query: TreeNode): boolean {
  return (
    wordOf(query, "setOperations") === "<>" &&
    wordOf(query, "distinctClause") === "<>" &&
    wordOf(query, "hasTargetSRFs") === "false"
  );
}

/** Positions in the text, rights, and what a relation's columns are called: they say nothing about rows or values. */
const varying = new Set([
  ...["location", "stmt_location", "stmt_len", "token_location", "name_location"],
  ...["rteperminfos", "perminfoindex", "requiredPerms", "checkAsUser"],
  ...["selectedCols", "insertedCols", "updatedCols", "extraUpdatedCols"],
  ...["eref", "alias", "varnosyn", "varattnosyn", "resorigtbl", "resorigcol"],
]);

/** The relation that the view itself is comes up in older versions of Postgres; its oid means nothing. */
function printed(value: TreeValue | readonly TreeValue[], relations: ReadonlyMap<string, string>): unknown {
  if (typeof value === "string") return value;
  if (!isTreeNode(value as TreeValue)) return (value as readonly TreeValue[]).map((part) => printed(part, relations));
  const node = value as TreeNode;
  const fields = [...node.fields]
    .filter(([field]) => !varying.has(field))
    .map(([field, parts]) => {
      if (field !== "relid") return [field, printed(parts, relations)];
      const [relation] = parts;
      return [field, (typeof relation === "string" ? relations.get(relation) : undefined) ?? "view"];
    });
  return [node.name, fields];
}

/** A column's name, escapes undone. */
function nameOf(entry: TreeNode): string {
  return wordOf(entry, "resname").replace(/\\(.)/gs, "$1");
}
