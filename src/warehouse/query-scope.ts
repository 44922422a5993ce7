/**
 * One level of a query tree, as far as names have to be resolved in it: its relations, its common table expressions, and
 * the query around it. Numbers in the tree count from 1, as Postgres does.
 */
import { isTreeNode, type TreeNode, type TreeValue } from "./node-tree.ts";

export interface QueryScope {
  readonly query: TreeNode;
  /** Result columns in order; helpers of grouping and ordering are left out. */
  readonly columns: readonly { readonly name: string; readonly expression: TreeValue | undefined }[];
  /** The queries that a union, intersect or except is made of; else none. */
  readonly branches: readonly QueryScope[];
  /** The range table. */
  readonly relations: readonly TreeNode[];
  /** Expressions that a clause such as groupClause refers to. */
  entriesOf(clause: string): TreeValue[];
  /** What a window is partitioned and ordered by. */
  windowOf(reference: string): TreeValue[];
  /** The relation and column that a variable stands for, and the scope that they belong to. */
  placeOf(variable: TreeNode): { relation: TreeNode; column: number; owner: QueryScope } | undefined;
  /** The query behind a subquery or a common table expression. */
  queryOf(relation: TreeNode): QueryScope | undefined;
  /** The expression behind a column of a join, a group, a function or a list of values. */
  expressionOf(relation: TreeNode, column: number): TreeValue | undefined;
}

export function scopeOf(query: TreeNode, parent?: QueryScope): QueryScope {
  const relations = listOf(query, "rtable").filter(isTreeNode);
  const entries = listOf(query, "targetList").filter(isTreeNode);
  const scopes = new Map<TreeNode, QueryScope>();
  const inner = (node: TreeNode, around: QueryScope): QueryScope => {
    const known = scopes.get(node) ?? scopeOf(node, around);
    scopes.set(node, known);
    return known;
  };
  const referenced = (clause: TreeValue): TreeValue[] => {
    const reference = isTreeNode(clause) ? wordOf(clause, "tleSortGroupRef") : "";
    const entry = entries.find((each) => wordOf(each, "ressortgroupref") === reference);
    const expression = entry === undefined ? undefined : nodeOf(entry, "expr");
    return expression === undefined ? [] : [expression];
  };
  const scope: QueryScope = {
    query,
    relations,
    columns: entries
      .filter((entry) => wordOf(entry, "resjunk") !== "true")
      .map((entry) => ({ name: textOf(entry, "resname"), expression: nodeOf(entry, "expr") })),
    get branches() {
      return leavesOf(nodeOf(query, "setOperations")).flatMap((index) => {
        const relation = relations[index - 1];
        return (relation === undefined ? undefined : scope.queryOf(relation)) ?? [];
      });
    },
    entriesOf: (clause) => listOf(query, clause).flatMap(referenced),
    windowOf: (reference) => {
      const window = listOf(query, "windowClause")
        .filter(isTreeNode)
        .find((each) => wordOf(each, "winref") === reference);
      if (window === undefined) return [];
      return [...listOf(window, "partitionClause"), ...listOf(window, "orderClause")].flatMap(referenced);
    },
    placeOf: (variable) => {
      const owner = outer(scope, parent, Number(wordOf(variable, "varlevelsup")));
      const relation = owner?.relations[Number(wordOf(variable, "varno")) - 1];
      if (owner === undefined || relation === undefined) return undefined;
      return { relation, column: Number(wordOf(variable, "varattno")), owner };
    },
    queryOf: (relation) => {
      const subquery = nodeOf(relation, "subquery");
      if (subquery !== undefined) return inner(subquery, scope);
      if (wordOf(relation, "rtekind") !== cteKind) return undefined;
      const owner = outer(scope, parent, Number(wordOf(relation, "ctelevelsup")));
      const named = owner && commonQuery(owner, textOf(relation, "ctename"));
      return owner && named && inner(named, owner);
    },
    expressionOf: (relation, column) => {
      const [field] = columnFields.filter((each) => listOf(relation, each).length > 0);
      if (field !== undefined) return listOf(relation, field)[column - 1];
      return [...listOf(relation, "functions"), ...listOf(relation, "values_lists")];
    },
  };
  parents.set(scope, parent);
  return scope;
}

const parents = new WeakMap<QueryScope, QueryScope | undefined>();
const cteKind = "6";
/** Columns of joins and of groups are expressions, one a column. */
const columnFields = ["joinaliasvars", "groupexprs"];

function outer(scope: QueryScope, parent: QueryScope | undefined, levels: number): QueryScope | undefined {
  let found: QueryScope | undefined = levels === 0 ? scope : parent;
  for (let level = 1; level < levels && found !== undefined; level += 1) found = parents.get(found);
  return found;
}

function commonQuery({ query }: QueryScope, name: string): TreeNode | undefined {
  const common = listOf(query, "cteList")
    .filter(isTreeNode)
    .find((each) => textOf(each, "ctename") === name);
  return common && nodeOf(common, "ctequery");
}

/** Numbers of the relations that set operations combine. */
function leavesOf(node: TreeNode | undefined): number[] {
  if (node === undefined) return [];
  if (node.name === "RANGETBLREF") return [Number(wordOf(node, "rtindex"))];
  return [...leavesOf(nodeOf(node, "larg")), ...leavesOf(nodeOf(node, "rarg"))];
}

/** The list in a field; empty where there is none. */
export function listOf(node: TreeNode, field: string): readonly TreeValue[] {
  const [value] = node.fields.get(field) ?? [];
  return Array.isArray(value) ? value : [];
}

/** The node in a field. */
export function nodeOf(node: TreeNode, field: string): TreeNode | undefined {
  const [value] = node.fields.get(field) ?? [];
  return isTreeNode(value) ? value : undefined;
}

/** Everything in the fields of a node. */
export function fieldsOf(node: TreeNode): TreeValue[] {
  return [...node.fields.values()].flat();
}

/** The word of a field with one word; `<>` where it is missing. */
export function wordOf(node: TreeNode, field: string): string {
  const values = node.fields.get(field) ?? [];
  if (values.length === 0) return "<>";
  return values.length === 1 && typeof values[0] === "string" ? values[0] : "";
}

/** The same as the text that it stands for: quotes and escapes undone. */
export function textOf(node: TreeNode, field: string): string {
  return wordOf(node, field)
    .replace(/^"(.*)"$/s, "$1")
    .replace(/\\(.)/gs, "$1");
}
