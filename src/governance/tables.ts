/**
 * Tables of an evidence bundle, each written at once as CSV, JSON and Parquet, page by page, so that memory holds one
 * page whatever the table's length.
 *
 * A cell of CSV that a spreadsheet would take for a formula begins with an apostrophe; the JSON and Parquet files have
 * the value as it is. Values are text; in Parquet, columns named as integers are INT64.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fileWriter, ParquetWriter } from "hyparquet-writer";

export interface Column {
  readonly name: string;
  /** Default "text". "json" is text in CSV and Parquet, and the value itself in JSON. */
  readonly type?: "text" | "integer" | "json";
}

export type Row = Readonly<Record<string, string | null>>;

export interface Table {
  /** Name of its files, without their ending. */
  readonly name: string;
  readonly columns: readonly Column[];
  readonly pages: AsyncIterable<readonly Row[]> | Iterable<readonly Row[]>;
}

/** Writes `<name>.csv`, `.json` and `.parquet` into a directory. Returns how many rows. */
export async function writeTable(directory: string, { name, columns, pages }: Table): Promise<number> {
  const path = join(directory, name);
  const parquet = new ParquetWriter({
    writer: fileWriter(`${path}.parquet`),
    schema: [
      { name: "root", num_children: columns.length },
      ...columns.map((column) => ({ name: column.name, repetition_type: "OPTIONAL" as const, ...parquetType(column) })),
    ],
  });
  await using csv = await open(`${path}.csv`, "wx", 0o600);
  await using json = await open(`${path}.json`, "wx", 0o600);
  let rows = 0;
  await csv.writeFile(`${columns.map((column) => csvCell(column.name)).join(",")}\r\n`);
  await json.writeFile("[");
  for await (const page of pages) {
    if (page.length === 0) continue;
    await csv.writeFile(page.map((row) => csvLine(columns, row)).join(""));
    await json.writeFile(
      page.map((row, index) => `${rows + index === 0 ? "" : ","}\n${jsonRow(columns, row)}`).join(""),
    );
    await parquet.write({ columnData: columns.map((column) => parquetColumn(column, page)) });
    rows += page.length;
  }
  await json.writeFile("\n]\n");
  await parquet.finish();
  return rows;
}

function csvLine(columns: readonly Column[], row: Row): string {
  const cells = columns.map(({ name, type }) => {
    const value = row[name] ?? "";
    return type === "integer" ? value : csvCell(value);
  });
  return `${cells.join(",")}\r\n`;
}

/** Quoted as RFC 4180 says, and never a formula (OWASP: = + - @, tab and carriage return). */
export function csvCell(value: string): string {
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n\t']/.test(safe) || safe !== safe.trim() ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function jsonRow(columns: readonly Column[], row: Row): string {
  return JSON.stringify(
    Object.fromEntries(columns.map((column) => [column.name, jsonValue(column, row[column.name])])),
  );
}

function jsonValue({ type }: Column, value: string | null | undefined): unknown {
  if (value === null || value === undefined) return null;
  if (type === "json") return JSON.parse(value);
  // A number that JavaScript cannot hold stays text.
  return type === "integer" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function parquetType({ type }: Column): { type: "INT64" } | { type: "BYTE_ARRAY"; converted_type: "UTF8" } {
  return type === "integer" ? { type: "INT64" } : { type: "BYTE_ARRAY", converted_type: "UTF8" };
}

function parquetColumn(column: Column, page: readonly Row[]) {
  const data = page.map((row) => {
    const value = row[column.name] ?? null;
    return value !== null && column.type === "integer" ? BigInt(value) : value;
  });
  return { name: column.name, data };
}
