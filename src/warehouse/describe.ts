/**
 * What a transform is, as Postgres itself understands it, found out in a transaction part that is rolled back.
 *
 * Each input handle becomes a temporary view over the live table, and the statement a view over those. Its parse tree
 * tells which relations and functions it uses, `pg_get_viewdef` gives the statement without its formatting, and
 * assigning its columns to a copy of the live table's shows whether the types fit. A statement that reads a table past
 * its handle is told apart here, because the handles have other oids than the tables.
 */
import type { Derived } from "../catalog/dataset.ts";
import { messageOf, RederiveError, sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { readableColumns } from "./bind.ts";
import { clockFaults } from "./clock.ts";
import { tableColumns } from "./columns.ts";
import { type ColumnsApart, columnsApart } from "./columns-apart.ts";
import { attempt, compileView, pinLocally, rolledBack, rowFaults } from "./compiled.ts";
import { type FunctionSource, judgeFunctions } from "./functions.ts";
import { identifier, identifiers, tableName } from "./quote.ts";
import type { RuleTree } from "./rule-tree.ts";
import { scanSql } from "./sql-text.ts";

export interface Description {
  /** The statement as Postgres prints it: formatting, comments and redundant parentheses are gone. */
  readonly sql: string;
  /** Name and type of each result column, in order. */
  readonly columns: readonly DescribedColumn[];
  /** The columns of the inputs that the statement depends on: `handle.column` and its type. */
  readonly reads: readonly DescribedColumn[];
  /** The user's own functions and those of extensions that it calls. */
  readonly functions: readonly FunctionSource[];
  /** What decides about its rows, and what about each of its columns. */
  readonly apart: ColumnsApart;
}

export interface DescribedColumn {
  readonly name: string;
  readonly type: string;
}

export const describedView = "rederive_described";
const shape = "rederive_shape";

/**
 * Describes the transform of one dataset. Must run inside a transaction, and leaves nothing behind in it. Throws
 * `plan_refused` with everything that is wrong with the transform; give up the transaction then, because a driver may
 * refuse to commit one in which a statement failed.
 */
export async function describeTransform(tx: Tx, derived: Derived): Promise<Description> {
  const scanned = scanSql(derived.transform.statement);
  if (scanned.faults.length > 0) refuse(derived, scanned.faults);
  return rolledBack(tx, "rederive_describe", async () => {
    await pinLocally(tx);
    return describeIn(tx, derived, scanned.literals);
  });
}

async function describeIn(tx: Tx, derived: Derived, literals: readonly string[]): Promise<Description> {
  const faults = await createHandles(tx, derived);
  if (faults.length > 0) refuse(derived, faults);
  const compiled = await compileView(tx, describedView, derived.transform.statement, columnList(derived));
  if ("failure" in compiled) return refuse(derived, [statementFault(compiled.failure, derived)]);
  const { action, tree } = compiled;
  const columns = await columnsOfView(tx);
  const { sources, faults: functionFaults } = await judgeFunctions(tx, derived, tree.functions);
  faults.push(...(await relationFaults(tx, derived, tree)), ...functionFaults);
  faults.push(...rowFaults(tree), ...clockFaults(tree, literals));
  faults.push(...(await columnFaults(tx, derived, columns)));
  if (faults.length > 0) refuse(derived, faults);
  const apart = columnsApart(action, await handleNames(tx, derived));
  return { sql: await definitionOfView(tx), columns, reads: await readColumns(tx), functions: sources, apart };
}

/** The handles by the oids of their views. */
export async function handleNames(tx: Tx, derived: Derived): Promise<Map<string, string>> {
  const rows = await tx.query<{ id: string; name: string }>(
    `select oid::text as id, relname::text as name from pg_catalog.pg_class
      where relnamespace = pg_catalog.pg_my_temp_schema() and relname = any($1::text[])`,
    [derived.inputs.map((input) => input.name)],
  );
  return new Map(rows.map(({ id, name }) => [id, name]));
}

/** Each input as a temporary view over its live table, under its handle. What is wrong with them, one sentence each. */
export async function createHandles(tx: Tx, derived: Derived): Promise<string[]> {
  const faults: string[] = [];
  for (const input of derived.inputs) {
    const columns = identifiers(readableColumns(input.dataset).map((column) => column.name));
    const select = `select ${columns} from ${tableName(input.dataset.table)}`;
    const failure = await attempt(tx, `create temporary view ${identifier(input.name)} as ${select}`);
    if (failure !== undefined)
      faults.push(`the input ${input.name} cannot be read: ${messageOf(failure)}; ${tableRemedy(failure)}`);
  }
  return faults;
}

function tableRemedy(failure: unknown): string {
  const missing = ["42P01", "42703", "3F000"].includes(sqlState(failure) ?? "");
  return missing
    ? "migrate the application's schema first, or correct the drizzle table"
    : "see the message of Postgres";
}

/** Builders and maps are matched by position, so their columns get names here; raw SQL names its columns itself. */
export function columnList(derived: Derived): string {
  const { transform } = derived;
  if (transform.kind === "select") return transform.columns === undefined ? "" : ` (${identifiers(transform.columns)})`;
  return ` (${identifiers(transform.fields.map((_, index) => `field_${index + 1}`))})`;
}

async function columnsOfView(tx: Tx): Promise<DescribedColumn[]> {
  return (await tableColumns(tx, `pg_temp.${describedView}`)).map(({ name, type }) => ({ name, type }));
}

async function definitionOfView(tx: Tx): Promise<string> {
  const [row] = await tx.query<{ definition: string }>(
    "select pg_catalog.pg_get_viewdef($1::text::regclass, false) as definition",
    [`pg_temp.${describedView}`],
  );
  return (row as { definition: string }).definition.replace(/\s+/g, " ").trim();
}

/** Columns of the handles that the view depends on; a type that changes under the statement changes the fingerprint. */
export async function readColumns(tx: Tx): Promise<DescribedColumn[]> {
  return tx.query<DescribedColumn>(
    `select distinct c.relname || '.' || a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type
       from pg_catalog.pg_rewrite r
       join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0
       join pg_catalog.pg_class c on c.oid = d.refobjid
       join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where r.ev_class = $1::text::regclass and d.refobjid <> r.ev_class
      order by 1`,
    [`pg_temp.${describedView}`],
  );
}

/** Everything read that is no handle, by name. */
async function relationFaults(tx: Tx, derived: Derived, tree: RuleTree): Promise<string[]> {
  const handles = derived.inputs.map((input) => input.name);
  const outside = await tx.query<{ name: string }>(
    `select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name
       from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.oid = any($1::text[]::oid[])
        and not (c.relnamespace = pg_catalog.pg_my_temp_schema() and c.relname = any($2::text[]))
      order by 1`,
    [tree.relations.map(String), [...handles, describedView]],
  );
  return outside.map(({ name }) => {
    const input = derived.inputs.find((candidate) => unquoted(tableName(candidate.dataset.table)) === unquoted(name));
    return input === undefined
      ? `it reads ${name}, which is not an input; add it to the inputs (${handles.join(", ")}) and read the handle`
      : `it reads ${name} itself; read the input "${input.name}" instead, which has only the partitions of the task`;
  });
}

function unquoted(name: string): string {
  return name.replaceAll('"', "");
}

async function columnFaults(tx: Tx, derived: Derived, columns: readonly DescribedColumn[]): Promise<string[]> {
  const { transform } = derived;
  if (transform.kind !== "select") {
    const expected = transform.fields.length;
    return columns.length === expected ? [] : [`it gives ${columns.length} columns, and ${expected} are read`];
  }
  const owned = derived.owned.map((column) => column.name);
  const names = columns.map((column) => column.name);
  const missing = owned.filter((name) => !names.includes(name));
  const surplus = names.filter((name) => !owned.includes(name));
  const faults = [
    ...missing.map(
      (name) => `it gives no column ${name}, which the dataset owns; select it, or leave it out of "owned"`,
    ),
    ...surplus.map(
      (name) => `it gives a column ${name}, which the dataset does not own; leave it out, or add it to "owned"`,
    ),
  ];
  const common = owned.filter((name) => names.includes(name));
  return [...faults, ...(await typeFaults(tx, derived, columns, common))];
}

/** Assignment is tried on an empty copy of the table, so that neither privileges nor triggers of the table matter. */
async function typeFaults(
  tx: Tx,
  derived: Derived,
  columns: readonly DescribedColumn[],
  names: readonly string[],
): Promise<string[]> {
  if (names.length === 0) return [];
  const table = tableName(derived.table);
  const failure = await attempt(
    tx,
    `create temporary table ${shape} as select ${identifiers(names)} from ${table} with no data`,
  );
  if (failure !== undefined) return [`its table cannot be used: ${messageOf(failure)}; ${tableRemedy(failure)}`];
  if ((await tryAssign(tx, names)) === undefined) return [];
  const wanted = await tableColumns(tx, `pg_temp.${shape}`);
  const faults: string[] = [];
  for (const name of names) {
    if ((await tryAssign(tx, [name])) === undefined) continue;
    const given = columns.find((column) => column.name === name)?.type ?? "unknown";
    const type = wanted.find((column) => column.name === name)?.type ?? "unknown";
    faults.push(
      `its column ${name} is ${given}, but ${name} of ${table} is ${type}; cast it: ${identifier(name)}::${type}`,
    );
  }
  return faults;
}

/** `prepare` analyses without planning or running, and checks no privileges. */
async function tryAssign(tx: Tx, names: readonly string[]): Promise<unknown> {
  const list = identifiers(names);
  const insert = `insert into pg_temp.${shape} (${list}) select ${list} from pg_temp.${describedView}`;
  const failure = await attempt(tx, `prepare rederive_assign as ${insert}`);
  if (failure === undefined) await tx.query("deallocate rederive_assign");
  return failure;
}

const remedies: Readonly<Record<string, string>> = {
  "42P01": "read the inputs by their handles",
  "42701": "give each column an alias of its own",
  "42P02": "write values into the statement; it cannot have parameters",
  "42601": "write one select statement",
  "0A000": "write one select statement that only reads",
  "42883": "add a cast, or create the function first",
};

function statementFault(failure: unknown, derived: Derived): string {
  const remedy = remedies[sqlState(failure) ?? ""] ?? "correct the statement";
  const handles = derived.inputs.map((input) => input.name).join(", ");
  return `Postgres refuses it: ${messageOf(failure)}; ${remedy}${sqlState(failure) === "42P01" ? ` (${handles})` : ""}`;
}

function refuse(derived: Derived, faults: readonly string[]): never {
  const list = faults.length === 1 ? ` ${faults[0]}` : `\n${faults.map((fault) => `- ${fault}`).join("\n")}`;
  throw new RederiveError("plan_refused", `the transform of ${derived.name} cannot be planned:${list}`, {
    details: { dataset: derived.name, faults },
  });
}
