/** Rows of users' tables for lineage: a row by its key, the rows of inputs behind it, and a map run again to find them. */
import { getTableColumns } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Dataset, Derived, MapTransform } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { Tx } from "../tx.ts";
import { type Binding, bindInputs, readableColumns } from "./bind.ts";
import type { TextRow } from "./bisect.ts";
import { rowAsText } from "./compare.ts";
import { pinLocally, rolledBack } from "./compiled.ts";
import { rowDecoder } from "./decode.ts";
import { rowEncoder } from "./encode.ts";
import { bucketOf, predicateOf } from "./predicate.ts";
import { identifier, identifiers, literal, tableName } from "./quote.ts";
import { conditionOf, type Narrowing } from "./trace.ts";

/** Columns and the values that they must have, as text that Postgres reads as values of the columns' types. */
export type Values = Narrowing;

/** The live rows with these values, two at most, and the hash bucket of each where the dataset is cut by one. */
export async function rowsByKey(
  tx: Tx,
  derived: Derived,
  key: Values,
): Promise<{ row: TextRow; bucket: number | null }[]> {
  const { partitions: scheme } = derived;
  const bucket =
    scheme.kind === "hash" ? `${bucketOf(`l.${identifier(scheme.column.name)}`, scheme.buckets)}::float8` : "null";
  return tx.query(
    `select ${rowAsText(
      "l",
      derived.owned.map(({ name }) => name),
    )} as row, ${bucket} as bucket
     from ${tableName(derived.table)} l where ${having([key], "l")} limit 2`,
  );
}

/** How many live rows of some partitions have these values. */
export async function countLive(tx: Tx, derived: Derived, partitions: Ranges, values: Values): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::float8 as count from ${tableName(derived.table)} l
     where ${predicateOf(derived.partitions, partitions, "l")} and ${having([values], "l")}`,
  );
  return row?.count ?? 0;
}

/** Rows of an input with one of these sets of values; `partitions` is null for all of it. The first by their text. */
export async function inputRowsWith(
  tx: Tx,
  dataset: Dataset,
  { partitions, values, limit }: { partitions: Ranges | null; values: readonly Values[]; limit: number },
): Promise<{ count: number; rows: TextRow[] }> {
  const names = readableColumns(dataset).map((column) => column.name);
  const within = partitions === null ? "true" : predicateOf(dataset.partitions, partitions, "i");
  const order = names.map((name) => `i.${identifier(name)}::text`).join(", ");
  const rows = await tx.query<{ row: TextRow; count: number }>(
    `select ${rowAsText("i", names)} as row, count(*) over ()::float8 as count
     from ${tableName(dataset.table)} i where ${within} and ${having(values, "i")} order by ${order} limit ${limit}`,
  );
  return { count: rows[0]?.count ?? 0, rows: rows.map(({ row }) => row) };
}

/** Oids of the operators by which indexes and joins know equality. */
export async function equalityOperators(tx: Tx): Promise<Set<string>> {
  const rows = await tx.query<{ oid: string }>(
    "select oid::text as oid from pg_catalog.pg_operator where oprname = '=' and (oprcanmerge or oprcanhash)",
  );
  return new Set(rows.map(({ oid }) => oid));
}

/** The most rows that a map is run over again for one question. */
const mostRows = 200_000;

/** Rows that a map read, as text by `field_1` and so on: those that come out with the key, and the others. */
export interface ReadBehind {
  readonly matching: readonly TextRow[];
  readonly others: readonly TextRow[];
}

/**
 * Runs a map again over what one partition reads. Undefined where that would be too many rows. Inside a transaction; the
 * session's settings are put back.
 */
export async function readRowsBehind(
  tx: Tx,
  derived: Derived,
  transform: MapTransform,
  args: { readonly bindings: readonly Binding[]; readonly ordinal: number; readonly key: Values },
): Promise<ReadBehind | undefined> {
  return rolledBack(tx, "rederive_rerun", async () => {
    await pinLocally(tx);
    const read = await readRows(tx, derived, transform, args.bindings);
    if (read === undefined) return undefined;
    const { rows, made } = outputs(derived, transform, read, args.ordinal);
    const found = await matching(tx, derived, made, args.key);
    return { matching: [...found], others: rows.filter((row) => !found.has(row)) };
  });
}

interface ReadRows {
  readonly texts: readonly (readonly (string | null)[])[];
  readonly types: readonly number[];
}

async function readRows(
  tx: Tx,
  derived: Derived,
  transform: MapTransform,
  bindings: readonly Binding[],
): Promise<ReadRows | undefined> {
  const names = transform.fields.map((_, index) => `field_${index + 1}`);
  const inputs = bindInputs(derived, bindings);
  const statement = `with ${inputs} select * from (\n${transform.statement}\n) r (${identifiers(names)})`;
  // As COPY prints it: a boolean is t or f, and blanks stay.
  const texts = names
    .map((name) => `case when s.${name} is null then null else format('%s', s.${name}) end`)
    .join(", ");
  const rows = await tx.query<{ texts: (string | null)[] }>(
    `select json_build_array(${texts}) as texts from (${statement}) s limit ${mostRows + 1}`,
  );
  if (rows.length > mostRows) return undefined;
  const [types] = await tx.query<{ types: number[] }>(
    `select json_build_array(${names.map((name) => `pg_typeof((select s.${name} from (${statement} limit 0) s))::oid::int8`).join(", ")}) as types`,
  );
  return { texts: rows.map((row) => row.texts), types: types?.types ?? [] };
}

interface Made {
  readonly read: TextRow;
  /** Texts of the owned columns, in order. */
  readonly values: readonly string[];
}

/** What the map makes of each row; the same as a worker would write. */
function outputs(
  derived: Derived,
  transform: MapTransform,
  { texts, types }: ReadRows,
  ordinal: number,
): { rows: TextRow[]; made: Made[] } {
  const { fields, map } = transform;
  const decoder = rowDecoder(
    fields,
    fields.map(({ name }, index) => ({ name, typeId: types[index] ?? 25 })),
  );
  const encode = rowEncoder(derived);
  const context = { dataset: derived.name, partition: labelOf(derived.partitions, ordinal), ordinal };
  const rows: TextRow[] = [];
  const made: Made[] = [];
  decoder.decode(Buffer.from(texts.map(copyLine).join("")), (row) => {
    const text = texts[rows.length] ?? [];
    const read = Object.fromEntries(fields.map((_, index) => [`field_${index + 1}`, text[index] ?? null]));
    rows.push(read);
    const result = map(row, context);
    for (const output of result === null || result === undefined ? [] : [result].flat()) {
      made.push({ read, values: encode(output).replace(/\n$/, "").split("\t") });
    }
  });
  return { rows, made };
}

/** One line as COPY prints it. */
function copyLine(values: readonly (string | null)[]): string {
  const field = (value: string | null) =>
    value === null
      ? "\\N"
      : value.replace(
          /[\\\n\r\t]/g,
          (character) => ({ "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" })[character] ?? "",
        );
  return `${values.map(field).join("\t")}\n`;
}

/** Postgres compares, because 1.50 is 1.5 and a date has many spellings. */
async function matching(tx: Tx, derived: Derived, made: readonly Made[], key: Values): Promise<Set<TextRow>> {
  const names = Object.keys(key);
  const columns = names.map((name) => derived.owned.findIndex((column) => column.name === name));
  const arrays = columns.map((index) => made.map(({ values }) => values[index] ?? "\\N"));
  const owned = Object.values<PgColumn>(getTableColumns(derived.table));
  const typeOf = (name: string) => owned.find((column) => column.name === name)?.getSQLType() ?? "text";
  const parameters = names.map((_, index) => `$${index + 1}::text[]`).join(", ");
  const condition = names.map(
    (name, index) => `nullif(m.k${index}, '\\N')::${typeOf(name)} = ${literal(key[name] ?? "")}::${typeOf(name)}`,
  );
  const found = await tx.query<{ at: number }>(
    `select m.at::float8 as at from unnest(${parameters}) with ordinality m (${names.map((_, index) => `k${index}`).join(", ")}, at)
     where ${condition.join(" and ")} order by m.at`,
    arrays,
  );
  return new Set(found.map(({ at }) => (made[at - 1] as Made).read));
}

/** Rows that have all values of one of the sets. */
function having(sets: readonly Values[], alias: string): string {
  return sets.length === 0 ? "false" : `(${sets.map((values) => conditionOf(values, alias)).join(" or ")})`;
}
