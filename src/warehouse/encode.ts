/**
 * Rows of JavaScript values into COPY text: each value through drizzle's encoder of its column, then as text with COPY's
 * escapes. A row must have exactly the owned columns; errors name the column and never the value.
 */
import { Column, getTableColumns } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Derived } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";

/** One line of COPY text, with its newline. */
export type RowEncoder = (row: Readonly<Record<string, unknown>>) => string;

interface Target {
  /** The property of the row, which is the column's name in the drizzle table. */
  readonly property: string;
  readonly column: PgColumn;
  /** False for most types, whose values drizzle passes on as they are. */
  readonly mapped: boolean;
}

/** An encoder for the owned columns, in their order. */
export function rowEncoder(derived: Derived): RowEncoder {
  const properties = Object.entries(getTableColumns(derived.table));
  const targets = derived.owned.map((column): Target => {
    const found = properties.find(([, candidate]) => candidate.name === column.name);
    return {
      property: found?.[0] ?? column.name,
      column,
      mapped: column.mapToDriverValue !== Column.prototype.mapToDriverValue,
    };
  });
  return (row) => {
    let line = "";
    for (let index = 0; index < targets.length; index += 1) {
      const target = targets[index] as Target;
      const text = fieldText(derived.name, target, row[target.property]);
      line += index === 0 ? text : `\t${text}`;
    }
    if (countOf(row) !== targets.length) throw surplus(derived.name, targets, row);
    return `${line}\n`;
  };
}

/** As `Object.keys(row).length`, without the array: this runs for every row. */
function countOf(row: Readonly<Record<string, unknown>>): number {
  let count = 0;
  for (const property in row) if (Object.hasOwn(row, property)) count += 1;
  return count;
}

function fieldText(dataset: string, target: Target, value: unknown): string {
  const { property, column } = target;
  if (value === null) return "\\N";
  if (value === undefined) {
    throw new RederiveError(
      "transform_failed",
      `map of ${dataset} returned a row without ${property}; null is a value`,
      {
        details: { dataset, column: column.name },
      },
    );
  }
  const text = plainText(target.mapped ? driverValueOf(dataset, target, value) : value);
  if (text === undefined) throw wrongType(dataset, property, column, value);
  return text;
}

/** drizzle's encoders take a value of the right type for granted, and throw something of their own for another. */
function driverValueOf(dataset: string, { property, column }: Target, value: unknown): unknown {
  try {
    return column.mapToDriverValue(value);
  } catch {
    throw wrongType(dataset, property, column, value);
  }
}

/** The text that Postgres reads back as the value; undefined for what is no value of a column, such as a function. */
function plainText(value: unknown): string | undefined {
  if (typeof value === "string") return escaped(value);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "boolean") return value ? "t" : "f";
  if (typeof value === "bigint") return value.toString();
  return typeof value === "object" ? objectText(value) : undefined;
}

function objectText(value: object | null): string | undefined {
  if (value === null) return "\\N";
  if (value instanceof Uint8Array)
    return `\\\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
  return undefined;
}

const special = /[\\\n\r\t]/;
const replacements: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escaped(text: string): string {
  return special.test(text) ? text.replace(/[\\\n\r\t]/g, (character) => replacements[character] as string) : text;
}

function wrongType(dataset: string, property: string, column: PgColumn, value: unknown): RederiveError {
  return new RederiveError(
    "transform_failed",
    `map of ${dataset} returned a ${kindOf(value)} for ${property}, which is no value of a ${column.getSQLType()} column`,
    { details: { dataset, column: column.name } },
  );
}

function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  return value.constructor?.name ?? "object";
}

function surplus(dataset: string, targets: readonly Target[], row: Readonly<Record<string, unknown>>): RederiveError {
  const extra = Object.keys(row).filter((key) => !targets.some((target) => target.property === key));
  return new RederiveError(
    "transform_failed",
    `map of ${dataset} returned ${extra.join(", ")}, which ${extra.length === 1 ? "is no owned column" : "are no owned columns"}`,
    { details: { dataset, columns: extra } },
  );
}
