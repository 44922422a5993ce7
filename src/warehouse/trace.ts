/** The rows behind one row: what of its inputs differs or was read, and whether the live partition is what was promoted. */
import type { Dataset } from "../catalog/dataset.ts";
import { intersect, type Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { readableColumns } from "./bind.ts";
import { appeared, imagesOf, kindOfNoted, noted, type RowPair, type TextRow } from "./bisect.ts";
import { ownedOf } from "./columns.ts";
import { asText, type Differences, rowAsText } from "./compare.ts";
import { contentHash } from "./digest.ts";
import { predicateOf } from "./predicate.ts";
import { literal, tableName } from "./quote.ts";
import { bookkeeping } from "./restore.ts";
import { column, columnsOf, type Target, within } from "./target.ts";

/** Columns by which an input's rows are narrowed down to those of one row, with that row's values. */
export type Narrowing = Readonly<Record<string, string>>;

export interface DifferingInput {
  readonly count: number;
  /** The first of them, by key. */
  readonly rows: readonly RowPair[];
}

/** Rows of a recomputed input, in these of its partitions, in which its candidate differs from what is live. */
export async function differingInput(
  tx: Tx,
  target: Target,
  found: Differences,
  { partitions, narrowing, limit }: { partitions: Ranges; narrowing: Narrowing; limit: number },
): Promise<DifferingInput> {
  const { op } = bookkeeping;
  const side = (alias: "r" | "c") => `${within(target, partitions, alias)} and ${conditionOf(narrowing, alias)}`;
  const differing = await counted(
    tx,
    `select ${kindOfNoted}, ${imagesOf(target)}, count(*) over ()::float8 as count from ${noted(target)}
     where (r.${op} <> 'insert' and ${side("r")}) or (r.${op} <> 'delete' and ${side("c")})
     order by ${columnsOf("r", target.key)} limit ${limit}`,
  );
  const filled = intersect(partitions, found.wasEmpty);
  if (filled.length === 0) return differing;
  const added = await counted(
    tx,
    `select 'added' as kind, null::json as before, ${asText(target, "c")} as after, count(*) over ()::float8 as count
     from ${target.candidate} c
     where ${within(target, filled, "c")} and ${conditionOf(narrowing, "c")} and ${appeared(target)}
     order by ${columnsOf("c", target.key)} limit ${limit}`,
  );
  return { count: differing.count + added.count, rows: [...differing.rows, ...added.rows].slice(0, limit) };
}

async function counted(tx: Tx, statement: string): Promise<DifferingInput> {
  const rows = await tx.query<RowPair & { count: number }>(statement);
  return { count: rows[0]?.count ?? 0, rows: rows.map(({ kind, before, after }) => ({ kind, before, after })) };
}

/** A few rows of an input as it is live; all of its partitions where `partitions` is null. */
export async function inputRows(
  tx: Tx,
  dataset: Dataset,
  { partitions, narrowing, limit }: { partitions: Ranges | null; narrowing: Narrowing; limit: number },
): Promise<TextRow[]> {
  const names = readableColumns(dataset).map((column) => column.name);
  const where = partitions === null ? "true" : predicateOf(dataset.partitions, partitions, "i");
  const rows = await tx.query<{ row: TextRow }>(
    `select ${rowAsText("i", names)} as row from ${tableName(dataset.table)} i
     where ${where} and ${conditionOf(narrowing, "i")} limit ${limit}`,
  );
  return rows.map((each) => each.row);
}

/** The content hash of one partition as it is live now, to be compared with that of its stamp. */
export async function liveHash(tx: Tx, target: Target, partition: number): Promise<string> {
  const columns = ownedOf(target.derived, target.columns);
  const [hashed] = await tx.query<{ hash: string }>(
    `select ${contentHash(columns, "l")} as hash from ${target.table} l where ${within(target, [[partition, partition + 1]], "l")}`,
  );
  return (hashed as { hash: string }).hash;
}

/** The condition that a row has these values. */
export function conditionOf(narrowing: Narrowing, alias: string): string {
  const parts = Object.entries(narrowing).map(([name, value]) => `${column(alias, name)} = ${literal(value)}`);
  return parts.length === 0 ? "true" : `(${parts.join(" and ")})`;
}
