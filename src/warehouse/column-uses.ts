/**
 * Which columns of the inputs a statement's columns and rows depend on, read from the tree that Postgres made of it.
 *
 * A column of the result is followed down through subqueries, joins, common table expressions, unions and groups to the
 * relations that stand for inputs. What decides about rows (filters, joins, groups, limits) is collected apart.
 */

import { isTreeNode, type TreeNode, type TreeValue } from "./node-tree.ts";
import { fieldsOf, listOf, nodeOf, type QueryScope, scopeOf, textOf, wordOf } from "./query-scope.ts";

/**
 * How a column is used. The first three go into values: as it is, through an expression, through an aggregate. The others
 * decide which value or which row there is.
 */
export type ColumnHow =
  | "identity"
  | "transformation"
  | "aggregation"
  | "condition"
  | "window"
  | "join"
  | "filter"
  | "group"
  | "sort";

export interface ColumnUse {
  /** Handle of the input. */
  readonly input: string;
  /** Database name. */
  readonly column: string;
  readonly how: ColumnHow;
}

export interface StatementUses {
  /** By the names of the result's columns, in order. */
  readonly columns: readonly { readonly name: string; readonly uses: readonly ColumnUse[] }[];
  /** What decides about rows, for all columns alike. */
  readonly rows: readonly ColumnUse[];
}

/** An input as a relation of the tree: its handle, and its columns in order. */
export interface TreeRelation {
  readonly input: string;
  readonly columns: readonly string[];
}

/** `relations` are the views that stand for the inputs, by oid. */
export function usesOf(query: TreeNode, relations: ReadonlyMap<string, TreeRelation>): StatementUses {
  return new Analysis(relations).query(scopeOf(query));
}

const nothing: StatementUses = { columns: [], rows: [] };

class Analysis {
  readonly #relations: ReadonlyMap<string, TreeRelation>;
  readonly #known = new Map<TreeNode, StatementUses>();

  constructor(relations: ReadonlyMap<string, TreeRelation>) {
    this.#relations = relations;
  }

  query(scope: QueryScope): StatementUses {
    const known = this.#known.get(scope.query);
    if (known !== undefined) return known;
    // A recursive part refers to what is being read: it adds nothing that the other part does not say.
    this.#known.set(scope.query, nothing);
    const branches = scope.branches.map((branch) => this.query(branch));
    const columns = scope.columns.map(({ name, expression }, index) => ({
      name,
      uses: distinct(
        branches.length > 0
          ? branches.flatMap((branch) => branch.columns[index]?.uses ?? [])
          : this.#value(expression, scope),
      ),
    }));
    const made = { columns, rows: distinct(this.#rows(scope)) };
    this.#known.set(scope.query, made);
    return made;
  }

  #rows(scope: QueryScope): ColumnUse[] {
    const { query } = scope;
    const limited = nodeOf(query, "limitCount") !== undefined || nodeOf(query, "limitOffset") !== undefined;
    const named = (clause: string, how: ColumnHow) =>
      scope.entriesOf(clause).flatMap((entry) => as(how, this.#value(entry, scope)));
    return [
      ...this.#joined(nodeOf(query, "jointree"), scope),
      ...scope.relations.flatMap((relation) => this.#inner(relation, scope)),
      ...named("groupClause", "group"),
      ...named("distinctClause", "group"),
      ...as("filter", this.#value(nodeOf(query, "havingQual"), scope)),
      ...(limited ? named("sortClause", "sort") : []),
    ];
  }

  /** Conditions of the from clause and of the joins in it. */
  #joined(node: TreeNode | undefined, scope: QueryScope): ColumnUse[] {
    if (node === undefined) return [];
    const how = node.name === "JOINEXPR" ? "join" : "filter";
    const parts =
      node.name === "JOINEXPR"
        ? [nodeOf(node, "larg"), nodeOf(node, "rarg")]
        : listOf(node, "fromlist").filter(isTreeNode);
    return [
      ...parts.flatMap((part) => this.#joined(part, scope)),
      ...as(how, this.#value(nodeOf(node, "quals"), scope)),
    ];
  }

  /** What decides about the rows of a subquery or of a common table expression, wherever it is read. */
  #inner(relation: TreeNode, scope: QueryScope): readonly ColumnUse[] {
    const inner = scope.queryOf(relation);
    return inner === undefined ? [] : this.query(inner).rows;
  }

  /** What an expression's value depends on. */
  #value(value: TreeValue | undefined, scope: QueryScope): ColumnUse[] {
    if (value === undefined || typeof value === "string") return [];
    if (!isTreeNode(value)) return value.flatMap((part) => this.#value(part, scope));
    const node = value;
    switch (node.name) {
      case "VAR":
        return this.#variable(node, scope);
      // A change of the type's name alone.
      case "RELABELTYPE":
        return this.#value(nodeOf(node, "arg"), scope);
      case "TARGETENTRY":
        return this.#value(nodeOf(node, "expr"), scope);
      case "AGGREF":
        return [
          ...as("aggregation", [...this.#list(node, "args", scope), ...this.#list(node, "aggdirectargs", scope)]),
          ...as("condition", this.#value(nodeOf(node, "aggfilter"), scope)),
        ];
      case "WINDOWFUNC":
        return [
          ...as("transformation", this.#list(node, "args", scope)),
          ...as("condition", this.#value(nodeOf(node, "aggfilter"), scope)),
          ...scope.windowOf(wordOf(node, "winref")).flatMap((entry) => as("window", this.#value(entry, scope))),
        ];
      case "CASEWHEN":
        return [
          ...as("condition", this.#value(nodeOf(node, "expr"), scope)),
          ...as("transformation", this.#value(nodeOf(node, "result"), scope)),
        ];
      case "SUBLINK":
        return this.#sublink(node, scope);
      default:
        return as(
          "transformation",
          fieldsOf(node).flatMap((field) => this.#value(field, scope)),
        );
    }
  }

  #list(node: TreeNode, field: string, scope: QueryScope): ColumnUse[] {
    return listOf(node, field).flatMap((part) => this.#value(part, scope));
  }

  /** A subquery in an expression: its values, and what decides which rows it has. */
  #sublink(node: TreeNode, scope: QueryScope): ColumnUse[] {
    const select = nodeOf(node, "subselect");
    const test = as("condition", this.#value(nodeOf(node, "testexpr"), scope));
    if (select === undefined) return test;
    const inner = this.query(scopeOf(select, scope));
    const values = inner.columns.flatMap(({ uses }) => uses);
    return [...test, ...as("transformation", values), ...as("condition", inner.rows)];
  }

  #variable(node: TreeNode, scope: QueryScope): ColumnUse[] {
    const place = scope.placeOf(node);
    if (place === undefined) return [];
    const { relation, column, owner } = place;
    if (textOf(relation, "rtekind") === "0") return this.#relation(relation, column);
    const inner = owner.queryOf(relation);
    if (inner !== undefined) {
      const { columns } = this.query(inner);
      return column === 0 ? columns.flatMap(({ uses }) => uses) : [...(columns[column - 1]?.uses ?? [])];
    }
    return this.#value(owner.expressionOf(relation, column), owner);
  }

  #relation(relation: TreeNode, column: number): ColumnUse[] {
    const known = this.#relations.get(wordOf(relation, "relid"));
    if (known === undefined) return [];
    // The row as a whole has all of its columns.
    const names = column === 0 ? known.columns : known.columns.slice(column - 1, column);
    const how = column === 0 ? "transformation" : "identity";
    return names.map((name) => ({ input: known.input, column: name, how }));
  }
}

const direct: readonly ColumnHow[] = ["identity", "transformation", "aggregation"];

/** Uses seen through one more step: the stronger change of a value stays, and what decides about it stays what it is. */
function as(how: ColumnHow, uses: readonly ColumnUse[]): ColumnUse[] {
  return uses.map((use) => {
    if (!direct.includes(use.how)) return use;
    const stronger = !direct.includes(how) || direct.indexOf(how) > direct.indexOf(use.how);
    return stronger ? { ...use, how } : use;
  });
}

function distinct(uses: readonly ColumnUse[]): ColumnUse[] {
  const seen = new Map(uses.map((use) => [`${use.input}\n${use.column}\n${use.how}`, use]));
  return [...seen.values()];
}
