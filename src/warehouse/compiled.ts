/**
 * SQL that a person wrote, as Postgres understands it: compiled as a temporary view, which runs nothing, and read back
 * as the tree that Postgres keeps. All of it happens in a transaction part that is rolled back.
 */
import { messageOf, sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { volatileFaults } from "./functions.ts";
import { type RuleTree, readRuleTree } from "./rule-tree.ts";
import { pins } from "./session.ts";
import { scanSql } from "./sql-text.ts";

/** A view that was made, by its tree; or why Postgres would not make it. */
export type Compiled = { readonly tree: RuleTree; readonly action: string } | { readonly failure: unknown };

/** Undoes what the work did to the session and to the database, whether it succeeds or not. */
export async function rolledBack<Result>(tx: Tx, savepoint: string, work: () => Promise<Result>): Promise<Result> {
  await tx.query(`savepoint ${savepoint}`);
  try {
    return await work();
  } finally {
    await tx.query(`rollback to savepoint ${savepoint}`);
    await tx.query(`release savepoint ${savepoint}`);
  }
}

/** Literals are read, and the definition is printed, under the settings that tasks run with; handles hide tables. */
export async function pinLocally(tx: Tx): Promise<void> {
  const settings = {
    ...pins,
    search_path: `pg_temp, ${(pins["search_path"] ?? "public").replace(/,?\s*pg_temp\b/, "")}`,
  };
  const pinned = Object.entries(settings);
  const calls = pinned.map((_, index) => `set_config($${2 * index + 1}::text, $${2 * index + 2}::text, true)`);
  await tx.query(`select ${calls.join(", ")}`, pinned.flat());
}

/** `columns` is a list in parentheses, or empty. The view stays until the transaction part is rolled back. */
export async function compileView(tx: Tx, view: string, statement: string, columns = ""): Promise<Compiled> {
  const failure = await attempt(tx, `create temporary view ${view}${columns} as (\n${statement}\n)`);
  if (failure !== undefined) return { failure };
  const action = await ruleOf(tx, view);
  return { action, tree: readRuleTree(action) };
}

/**
 * What keeps queries from being asked of data once or more: that they do not compile, write, lock or draw lots. `texts`
 * are the parts that a person wrote, which must not leave the parentheses that they are put into.
 */
export async function questionFaults(
  tx: Tx,
  texts: readonly string[],
  queries: readonly string[],
  view = "rederive_question",
): Promise<string[]> {
  const scanned = texts.flatMap((text) => scanSql(text).faults);
  if (scanned.length > 0) return scanned;
  const faults: string[] = [];
  for (const [index, query] of queries.entries()) {
    // Without columns of its own, so that two of the same name do not matter: they are never told apart.
    const compiled = await compileView(tx, `${view}_${index + 1}`, `select from (\n${query}\n) as asked`);
    if ("failure" in compiled) return [`Postgres refuses it: ${messageOf(compiled.failure)}`];
    faults.push(...(await volatileFaults(tx, compiled.tree.functions)), ...rowFaults(compiled.tree));
  }
  return [...new Set(faults)];
}

/** What a statement does to the rows that it reads beside reading them. */
export function rowFaults(tree: RuleTree): string[] {
  return [
    ...(tree.locksRows
      ? ["it locks rows (for update or for share); leave the locking clause out, it has only to read"]
      : []),
    ...(tree.samples ? ["it samples rows (tablesample); leave the sample out, it would not be the same again"] : []),
  ];
}

async function ruleOf(tx: Tx, view: string): Promise<string> {
  const [row] = await tx.query<{ action: string }>(
    "select ev_action::text as action from pg_catalog.pg_rewrite where ev_class = $1::text::regclass and rulename = '_RETURN'",
    [`pg_temp.${view}`],
  );
  return (row as { action: string }).action;
}

/** Runs a statement that may fail without losing the transaction; gives the error, or undefined. */
export async function attempt(tx: Tx, statement: string): Promise<unknown> {
  await tx.query("savepoint rederive_attempt");
  try {
    await tx.query(statement);
  } catch (error) {
    if (sqlState(error) === undefined) throw error;
    await tx.query("rollback to savepoint rederive_attempt");
    await tx.query("release savepoint rederive_attempt");
    return error;
  }
  await tx.query("release savepoint rederive_attempt");
  return undefined;
}
