/**
 * A live table and the candidate that is to become its content: the columns as the catalog of Postgres has them now,
 * and the few SQL fragments from which comparison, merge and rollback are built.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { type LiveColumn, liveColumns, ownedOf } from "./columns.ts";
import { exactExpression } from "./digest.ts";
import { predicateOf } from "./predicate.ts";
import { identifier, tableName } from "./quote.ts";

/** What a caller knows of a dataset to be compared, promoted or rolled back. */
export interface MergeInput {
  readonly derived: Derived;
  /** Quoted, schema-qualified names of the tables made for this backfill. */
  readonly candidate: string;
  readonly restorePoint: string;
}

export interface Target {
  readonly dataset: string;
  /** Quoted, schema-qualified. */
  readonly table: string;
  readonly candidate: string;
  readonly restorePoint: string;
  readonly derived: Derived;
  readonly columns: readonly LiveColumn[];
  /** Database names. */
  readonly key: readonly string[];
  readonly owned: readonly string[];
  /** Columns that rows are made of: all but the generated ones. */
  readonly stored: readonly string[];
}

/** Reads the live table's columns; a table or an owned column that is gone is an error that names it. */
export async function loadTarget(tx: Tx, input: MergeInput): Promise<Target> {
  const columns = await liveColumns(tx, input.derived);
  return {
    dataset: input.derived.name,
    table: tableName(input.derived.table),
    candidate: input.candidate,
    restorePoint: input.restorePoint,
    derived: input.derived,
    columns,
    key: input.derived.key.map((column) => column.name),
    owned: ownedOf(input.derived, columns).map((column) => column.name),
    stored: columns.filter((column) => !column.generated).map((column) => column.name),
  };
}

export async function loadTargets(tx: Tx, inputs: readonly MergeInput[]): Promise<Target[]> {
  const targets: Target[] = [];
  for (const input of inputs) targets.push(await loadTarget(tx, input));
  return targets;
}

/** The condition that a row belongs to these partitions. */
export function within(target: Target, partitions: Ranges, alias: string): string {
  return predicateOf(target.derived.partitions, partitions, alias);
}

/** `a.k1 = b.k1 and …`: the same row by key. */
export function sameKey(target: Target, a: string, b: string): string {
  return target.key.map((name) => `${column(a, name)} = ${column(b, name)}`).join(" and ");
}

/** True where the two rows differ in an owned column, exactly: 1.0 is not 1.00. */
export function ownedDiffers(target: Target, a: string, b: string): string {
  return differs(target, target.owned, a, b);
}

/**
 * True where the two rows differ in one of these columns, exactly. Nearly all rows are equal, and a chain of = proves that
 * faster than one of `is distinct from`, which is asked where a chain meets a null or a difference.
 */
export function differs(target: Target, names: readonly string[], a: string, b: string): string {
  if (names.length === 0) return "false";
  const distinct = names.map((name) => columnDiffers(target, name, a, b)).join(" or ");
  if (names.length === 1) return `(${distinct})`;
  const equal = names.map((name) => `${exactly(target, name, a)} = ${exactly(target, name, b)}`).join(" and ");
  return `((${equal}) is not true and (${distinct}))`;
}

export function columnDiffers(target: Target, name: string, a: string, b: string): string {
  return `${exactly(target, name, a)} is distinct from ${exactly(target, name, b)}`;
}

function exactly(target: Target, name: string, alias: string): string {
  return exactExpression(target.columns.find((live) => live.name === name) as LiveColumn, alias);
}

export function column(alias: string, name: string): string {
  return `${alias}.${identifier(name)}`;
}

/** The columns of one alias as a select list. */
export function columnsOf(alias: string, names: readonly string[]): string {
  return names.map((name) => column(alias, name)).join(", ");
}

/** Columns that the transform does not write but rows keep: surrogate ids, defaults, notes. */
export function unowned(target: Target): string[] {
  return target.stored.filter((name) => !target.owned.includes(name));
}
