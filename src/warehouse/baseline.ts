/**
 * Rows of golden baselines: kept in tables of their own (schema `rederive_baseline`) with the types that they had, because
 * numbers and times do not survive JavaScript, and compared inside Postgres.
 *
 * Rows are matched by the text of their key, nulls included, and by their number among rows of the same key, so that a
 * row that is there twice does not pass as one that is there once. Without a key a row is its own key.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { createSchema } from "./candidate.ts";
import { type LiveColumn, tableColumns } from "./columns.ts";
import { type Recomputed, rowsAfterPromotion } from "./constraints.ts";
import { contentHash, exactExpression } from "./digest.ts";
import type { EvidenceRow } from "./evidence.ts";
import { shareTable } from "./owner.ts";
import { predicateOf } from "./predicate.ts";
import { identifier, identifiers, literal, tableName } from "./quote.ts";

const schema = "rederive_baseline";

/** How far a number may be off: by so much, or by such a share of what the baseline has. */
export type Tolerance = { readonly absolute: number } | { readonly relative: number };

export interface Comparison {
  /** Quoted, qualified. */
  readonly table: string;
  /** Gives what is to be compared with it. */
  readonly statement: string;
  /** The part of the table that is compared; undefined for all. */
  readonly within?: string | undefined;
  /** Empty where rows have none. */
  readonly key: readonly string[];
  readonly columns: readonly string[];
  readonly tolerance: Readonly<Record<string, Tolerance>>;
}

export function baselineTable(name: string, version: number): string {
  return `${identifier(schema)}.${identifier(`${name}_v${version}`)}`;
}

/** What a dataset holds now. */
export function liveRows(derived: Derived, partitions: Ranges | null): string {
  const where = partitions === null ? "true" : predicateOf(derived.partitions, partitions);
  return `select ${identifiers(derived.owned.map((column) => column.name))} from ${tableName(derived.table)} where ${where}`;
}

/** What it will hold in these partitions. */
export function comingRows({ derived, candidate }: Recomputed, partitions: Ranges): string {
  const columns = identifiers(derived.owned.map((column) => column.name));
  return `select ${columns} from ${candidate} where ${predicateOf(derived.partitions, partitions)}`;
}

/** A user's query over datasets by their names: those in `parts` as they will be after promotion, the others as they are. */
export function queryOver(query: string, datasets: readonly Derived[], parts: readonly Recomputed[]): string {
  const handles = datasets.map((derived) => {
    const part = parts.find((each) => each.derived.name === derived.name);
    const columns = derived.owned.map((column) => column.name);
    const rows = part === undefined ? liveRows(derived, null) : rowsAfterPromotion(part, columns);
    return `${identifier(derived.name)} as not materialized (${rows})`;
  });
  return `with ${handles.join(",\n")}\nselect * from (\n${query}\n) as given`;
}

/** Writes the rows that a query gives into a new table, and says what is in it. */
export async function captureRows(
  tx: Tx,
  table: string,
  statement: string,
): Promise<{ readonly columns: readonly LiveColumn[]; readonly rows: number; readonly contentHash: string }> {
  // A statement with a parameter is one statement, whatever is written into it.
  await tx.query(`select from (\n${statement}\n) as captured where $1::boolean limit 0`, [true]);
  await createSchema(tx, schema);
  await tx.query(`create table ${table} as ${statement}`);
  await shareTable(tx, table);
  const columns = await tableColumns(tx, table);
  const [row] = await tx.query<{ rows: number; hash: string }>(
    `select count(*)::float8 as rows, ${contentHash(columns)} as hash from ${table}`,
  );
  return { columns, rows: row?.rows ?? 0, contentHash: row?.hash ?? "0" };
}

/** Keys that more than one captured row has. */
export async function repeatedKeys(tx: Tx, table: string, key: readonly string[]): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::float8 as count from (
       select from ${table} group by ${identifiers(key)} having count(*) > 1) as repeated`,
  );
  return row?.count ?? 0;
}

/** Whether the rows are still those that were captured. */
export async function rowsHash(tx: Tx, table: string): Promise<string | undefined> {
  const columns = await tableColumns(tx, table);
  if (columns.length === 0) return undefined;
  const [row] = await tx.query<{ hash: string }>(`select ${contentHash(columns)} as hash from ${table}`);
  return row?.hash;
}

/** How many rows differ beyond the tolerance, and the first of them: `difference`, the key, and `was` and `is` by column. */
export async function compareRows(
  tx: Tx,
  comparison: Comparison,
  limit: number,
): Promise<{ readonly count: number; readonly sql: string; readonly rows: readonly EvidenceRow[] }> {
  const sql = differingRows(comparison, await comparedColumns(tx, comparison));
  const rows = await tx.query<{ row: EvidenceRow; count: number }>(
    `select d.row, count(*) over ()::float8 as count from (\n${sql}\n) as d order by d.place limit ${limit}`,
  );
  return { count: rows[0]?.count ?? 0, sql, rows: rows.map(({ row }) => row) };
}

async function comparedColumns(tx: Tx, { table, columns }: Comparison): Promise<LiveColumn[]> {
  const kept = await tableColumns(tx, table);
  return columns.map((name) => {
    const found = kept.find((column) => column.name === name);
    if (found) return found;
    throw new RederiveError("not_found", `the baseline's table ${table} has no column ${name}; capture it again`);
  });
}

function differingRows(comparison: Comparison, columns: readonly LiveColumn[]): string {
  const { table, statement, within, key, tolerance } = comparison;
  const names = identifiers(columns.map(({ name }) => name));
  const identity = columns.filter(({ name }) => key.length === 0 || key.includes(name));
  const compared = columns.filter(({ name }) => !identity.some((column) => column.name === name));
  const place = `row(${identity.map((column) => exactExpression(column)).join(", ")})::text collate "C"`;
  const numbered = (rows: string) =>
    `select *, row_number() over (partition by place) as nth from (
       select ${names}, ${place} as place from (${rows}) as r) as placed`;
  const differing = compared.map((column) => [column, differs(column, tolerance[column.name])] as const);
  const shown = [
    ...identity.flatMap(({ name }) => [
      literal(name),
      `coalesce(b.${identifier(name)}::text, c.${identifier(name)}::text)`,
    ]),
  ];
  const changes = differing.map(
    ([{ name }, condition]) =>
      `case when b.place is not null and c.place is not null and ${condition} then jsonb_build_object(
        ${literal(`${name}: was`)}, b.${identifier(name)}::text, ${literal(`${name}: is`)}, c.${identifier(name)}::text)
       else '{}'::jsonb end`,
  );
  const anyDifference = ["b.place is null", "c.place is null", ...differing.map(([, condition]) => condition)];
  return `select coalesce(b.place, c.place) as place, ${[
    "jsonb_build_object('difference',",
    "case when b.place is null then 'surplus' when c.place is null then 'missing' else 'changed' end,",
    `${shown.join(", ")})`,
  ].join(" ")}${changes.map((change) => ` || ${change}`).join("")} as row
  from (${numbered(`select * from ${table}${within === undefined ? "" : ` where ${within}`}`)}) b
  full join (${numbered(statement)}) c on b.place = c.place and b.nth = c.nth
  where ${anyDifference.join(" or ")}`;
}

/** Exactly, unless a tolerance is given: then equal values are equal, and of others the distance decides. */
function differs(column: LiveColumn, tolerance: Tolerance | undefined): string {
  const exact = `${exactExpression(column, "b")} is distinct from ${exactExpression(column, "c")}`;
  if (tolerance === undefined) return `(${exact})`;
  const [was, is] = [`b.${identifier(column.name)}`, `c.${identifier(column.name)}`];
  const most = "absolute" in tolerance ? `${tolerance.absolute}` : `${tolerance.relative} * abs(${was})`;
  return `(${exact} and (abs(${is} - ${was}) <= ${most}) is not true)`;
}
