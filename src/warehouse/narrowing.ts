/**
 * Which rows of the inputs a row of the result can come from, by the values of its columns: read from the tree that
 * Postgres made of the statement.
 *
 * A result column that is a column of an input as it is, or is made equal to one by a join, narrows that input down to
 * the rows with the row's value. Groups keep this (their columns are those of all their rows), windows and limits do not.
 * Whatever may leave out or add rows beside that is named, so that nobody takes a superset for the exact answer.
 */
import type { TreeRelation } from "./column-uses.ts";
import { isTreeNode, type TreeNode, type TreeValue } from "./node-tree.ts";
import { listOf, nodeOf, type QueryScope, scopeOf, textOf, wordOf } from "./query-scope.ts";

/** One place in a statement in which an input is read. */
export interface Narrowed {
  /** Handle of the input. */
  readonly input: string;
  /** Column of the input → column of the result whose value it must have. */
  readonly by: Readonly<Record<string, string>>;
}

export interface Narrowing {
  readonly places: readonly Narrowed[];
  /** What may make the rows that are found more than those that the row comes from; empty where nothing does. */
  readonly doubts: readonly string[];
}

/**
 * `fixed` are result columns with a known value that is not null; `equalities` are the oids of operators that mean equal.
 */
export function narrow(
  query: TreeNode,
  relations: ReadonlyMap<string, TreeRelation>,
  fixed: readonly string[],
  equalities: ReadonlySet<string>,
): Narrowing {
  const search = new Search(relations, equalities);
  const scope = scopeOf(query);
  search.query(
    scope,
    new Map(scope.columns.map(({ name }, index) => [index, name] as const).filter(([, name]) => fixed.includes(name))),
  );
  return { places: search.places, doubts: [...search.doubts] };
}

/** Result column by the number of a column, from 0. */
type Fixed = ReadonlyMap<number, string>;

class Search {
  readonly places: Narrowed[] = [];
  readonly doubts = new Set<string>();
  readonly #relations: ReadonlyMap<string, TreeRelation>;
  readonly #equalities: ReadonlySet<string>;
  /** Queries that are being read: a recursive one comes back to itself. */
  readonly #open = new Set<TreeNode>();

  constructor(relations: ReadonlyMap<string, TreeRelation>, equalities: ReadonlySet<string>) {
    this.#relations = relations;
    this.#equalities = equalities;
  }

  query(scope: QueryScope, fixed: Fixed): void {
    const { query } = scope;
    if (this.#open.has(query)) {
      this.doubts.add("it is recursive");
      return;
    }
    this.#open.add(query);
    const { branches } = scope;
    if (branches.length > 0) this.#branches(scope, branches, fixed);
    else this.#level(scope, fixed);
    this.#open.delete(query);
  }

  #branches(scope: QueryScope, branches: readonly QueryScope[], fixed: Fixed): void {
    if (!isUnion(nodeOf(scope.query, "setOperations"))) {
      this.doubts.add("an intersect or except decides which rows stay");
    }
    this.#aside(scope);
    for (const branch of branches) this.query(branch, fixed);
  }

  #level(scope: QueryScope, asked: Fixed): void {
    this.#aside(scope);
    const windows = listOf(scope.query, "windowClause").filter(isTreeNode);
    if (windows.length > 0) this.doubts.add("a window function looks at other rows too");
    const fixed = windows.length === 0 ? asked : this.#partitioned(scope, windows, asked);
    const slots = new Slots();
    const recursive = wordOf(scope.query, "hasRecursive") === "true";
    if (recursive) this.doubts.add("it is recursive");
    for (const [index, name] of recursive ? [] : fixed) {
      const slot = slotOf(scope.columns[index]?.expression, scope);
      if (slot !== undefined) slots.fix(slot, name);
    }
    this.#conditions(nodeOf(scope.query, "jointree"), scope, slots);
    for (const join of slots.open) this.doubts.add(join);
    for (const [index, relation] of scope.relations.entries())
      this.#relation(scope, relation, slots.fixedIn(index + 1));
  }

  /** A window keeps to its partition, so what it is partitioned by still narrows. */
  #partitioned(scope: QueryScope, windows: readonly TreeNode[], fixed: Fixed): Fixed {
    const kept = windows.map((window) => {
      const references = listOf(window, "partitionClause").filter(isTreeNode);
      const expressions = scope.windowOf(wordOf(window, "winref")).slice(0, references.length);
      return new Set(expressions.flatMap((expression) => slotOf(expression, scope) ?? []));
    });
    return new Map(
      [...fixed].filter(([index]) => {
        const slot = slotOf(scope.columns[index]?.expression, scope);
        return slot !== undefined && kept.every((slots) => slots.has(slot));
      }),
    );
  }

  /** What may make rows more or less without being part of the from clause. */
  #aside(scope: QueryScope): void {
    const { query } = scope;
    if (nodeOf(query, "limitCount") !== undefined || nodeOf(query, "limitOffset") !== undefined) {
      this.doubts.add("a limit leaves rows out");
    }
    if (nodeOf(query, "havingQual") !== undefined) this.doubts.add("a having clause decides which groups stay");
    if (wordOf(query, "hasTargetSRFs") === "true") this.doubts.add("a function makes several rows of one");
    if (wordOf(query, "hasSubLinks") === "true") {
      this.doubts.add("a subquery in an expression reads rows of its own");
      for (const select of sublinksIn(query)) this.query(scopeOf(select, scope), new Map());
    }
  }

  /** Equalities of the from clause spread what is fixed; any other condition may leave rows out. */
  #conditions(node: TreeNode | undefined, scope: QueryScope, slots: Slots): void {
    if (node === undefined) return;
    const parts =
      node.name === "JOINEXPR"
        ? [nodeOf(node, "larg"), nodeOf(node, "rarg")]
        : listOf(node, "fromlist").filter(isTreeNode);
    for (const part of parts) this.#conditions(part, scope, slots);
    if (node.name === "JOINEXPR" && wordOf(node, "jointype") !== "0")
      this.doubts.add("an outer join keeps rows without a partner");
    for (const condition of conjuncts(nodeOf(node, "quals"))) {
      const [a, b] = this.#equal(condition, scope) ?? [];
      if (a === undefined || b === undefined) this.doubts.add("a condition leaves rows out");
      else slots.join(a, b);
    }
  }

  #equal(condition: TreeNode, scope: QueryScope): string[] | undefined {
    if (condition.name !== "OPEXPR" || !this.#equalities.has(wordOf(condition, "opno"))) return undefined;
    const slots = listOf(condition, "args").flatMap((argument) => slotOf(argument, scope) ?? []);
    return slots.length === 2 ? slots : undefined;
  }

  #relation(scope: QueryScope, relation: TreeNode, fixed: ReadonlyMap<number, string>): void {
    const inner = scope.queryOf(relation);
    if (inner !== undefined) {
      this.query(inner, new Map([...fixed].map(([column, name]) => [column - 1, name])));
      return;
    }
    const known = textOf(relation, "rtekind") === "0" ? this.#relations.get(wordOf(relation, "relid")) : undefined;
    if (known === undefined) return;
    const by = [...fixed].flatMap(([column, name]) => {
      const own = known.columns[column - 1];
      return own === undefined ? [] : [[own, name] as const];
    });
    this.places.push({ input: known.input, by: Object.fromEntries(by) });
  }
}

/** Columns of relations (`relation.column`, numbers) that are known to be equal, and what some of them are fixed to. */
class Slots {
  readonly #groups: Set<string>[] = [];
  readonly #fixed = new Map<string, string>();

  fix(slot: string, name: string): void {
    this.#fixed.set(slot, name);
  }

  join(a: string, b: string): void {
    const touching = this.#groups.filter((group) => group.has(a) || group.has(b));
    const joined = new Set([a, b, ...touching.flatMap((group) => [...group])]);
    for (const group of touching) this.#groups.splice(this.#groups.indexOf(group), 1);
    this.#groups.push(joined);
  }

  /** Joins of which nothing is fixed: which rows find a partner is not known then. */
  get open(): string[] {
    const open = this.#groups.some((group) => this.#nameOf(group) === undefined);
    return open ? ["a join may leave rows without a partner out"] : [];
  }

  /** Names by the column of one relation. */
  fixedIn(relation: number): ReadonlyMap<number, string> {
    const found = new Map<number, string>();
    const add = (slot: string, name: string) => {
      const [of, column] = slot.split(".").map(Number);
      if (of === relation && column !== undefined) found.set(column, name);
    };
    for (const group of this.#groups) {
      const name = this.#nameOf(group);
      if (name !== undefined) for (const slot of group) add(slot, name);
    }
    for (const [slot, name] of this.#fixed) add(slot, name);
    return found;
  }

  #nameOf(group: ReadonlySet<string>): string | undefined {
    for (const slot of group) if (this.#fixed.has(slot)) return this.#fixed.get(slot);
    return undefined;
  }
}

/** The column of a relation that an expression is, unchanged; through groups and joins of this level. */
function slotOf(value: TreeValue | undefined, scope: QueryScope): string | undefined {
  if (!isTreeNode(value)) return undefined;
  if (value.name === "RELABELTYPE") return slotOf(nodeOf(value, "arg"), scope);
  if (value.name !== "VAR" || wordOf(value, "varlevelsup") !== "0") return undefined;
  const place = scope.placeOf(value);
  if (place === undefined || place.column < 1) return undefined;
  const { relation, column } = place;
  const joined = ["2", "9"].includes(wordOf(relation, "rtekind"));
  if (joined) return slotOf(scope.expressionOf(relation, column), scope);
  return `${wordOf(value, "varno")}.${column}`;
}

/** 1 is union; the others drop rows of one side because of the other. */
function isUnion(node: TreeNode | undefined): boolean {
  if (node?.name !== "SETOPERATIONSTMT") return true;
  return wordOf(node, "op") === "1" && isUnion(nodeOf(node, "larg")) && isUnion(nodeOf(node, "rarg"));
}

function conjuncts(node: TreeNode | undefined): TreeNode[] {
  if (node === undefined) return [];
  if (node.name !== "BOOLEXPR" || wordOf(node, "boolop") !== "and") return [node];
  return listOf(node, "args").filter(isTreeNode).flatMap(conjuncts);
}

/** Queries in expressions, but not those in the from clause. */
function sublinksIn(value: TreeValue | readonly TreeValue[]): TreeNode[] {
  if (typeof value === "string") return [];
  if (!isTreeNode(value as TreeValue)) return (value as readonly TreeValue[]).flatMap((part) => sublinksIn(part));
  const node = value as TreeNode;
  const select = node.name === "SUBLINK" ? nodeOf(node, "subselect") : undefined;
  const fields = [...node.fields].filter(
    ([field]) => field !== "rtable" && field !== "cteList" && field !== "subselect",
  );
  return [...(select === undefined ? [] : [select]), ...fields.flatMap(([, values]) => sublinksIn(values))];
}
