/**
 * COPY text into rows of JavaScript values: bytes to lines, lines to fields, fields to what the `pg` driver would give
 * for the column's type, and from there through the field's own decoder (drizzle's, for a drizzle column).
 */
import { StringDecoder } from "node:string_decoder";
import pg from "pg";
import type { MapTransform } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import type { ResultColumn } from "./session.ts";

type Fields = MapTransform["fields"];
type FieldDecoder = (text: string) => unknown;

export interface RowDecoder {
  /** Calls `onRow` for every row that the chunk completes. */
  decode(chunk: Buffer, onRow: (row: Record<string, unknown>) => void): void;
  /** Rows decoded so far. */
  readonly rows: number;
}

/** A decoder of `copy … to stdout` in text format for a statement with these columns, in this order. */
export function rowDecoder(fields: Fields, columns: readonly ResultColumn[]): RowDecoder {
  if (fields.length !== columns.length) {
    throw new RederiveError(
      "transform_failed",
      `the read statement gives ${columns.length} columns and the definition names ${fields.length}; they must match`,
      { details: { columns: columns.map((column) => column.name), fields: fields.map((field) => field.name) } },
    );
  }
  const names = fields.map((field) => field.name);
  const decoders = fields.map((field, index) => fieldDecoder(field.decode, (columns[index] as ResultColumn).typeId));
  const utf8 = new StringDecoder("utf8");
  let rest = "";
  let rows = 0;

  const readRow = (line: string): Record<string, unknown> => {
    const row: Record<string, unknown> = {};
    // Nulls and escapes begin with a backslash, so a line without one needs neither test, field by field.
    const read = line.includes("\\") ? readField : readPlain;
    let start = 0;
    for (let index = 0; index < names.length; index += 1) {
      const tab = line.indexOf("\t", start);
      const end = tab === -1 ? line.length : tab;
      row[names[index] as string] = read(line.slice(start, end), decoders[index] as FieldDecoder);
      start = end + 1;
    }
    return row;
  };

  return {
    get rows() {
      return rows;
    },
    decode(chunk, onRow) {
      const text = rest + utf8.write(chunk);
      let start = 0;
      for (let end = text.indexOf("\n", rest.length); end !== -1; end = text.indexOf("\n", start)) {
        onRow(readRow(text.slice(start, end)));
        rows += 1;
        start = end + 1;
      }
      rest = text.slice(start);
    },
  };
}

function readPlain(text: string, decode: FieldDecoder): unknown {
  return decode(text);
}

/** A null is `\N`; every other backslash begins an escape, so that a text that looks like it comes as `\\N`. */
function readField(text: string, decode: FieldDecoder): unknown {
  if (text === "\\N") return null;
  return decode(text.includes("\\") ? unescaped(text) : text);
}

const escapes: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

/** Undoes what COPY TO writes: letters for control characters, and a backslash before any other character. */
function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, (_, character: string) => escapes[character] ?? character);
}

const bool = 16;
const int8 = 20;
const int2 = 21;
const int4 = 23;
const textType = 25;
const oid = 26;
const json = 114;
const float4 = 700;
const float8 = 701;
const varchar = 1043;
const numeric = 1700;
const jsonb = 3802;

/** Dates, times and intervals, and arrays of them: drizzle asks its driver for their text and parses it itself. */
const asText: ReadonlySet<number> = new Set([
  ...[int8, textType, varchar, numeric],
  ...[1082, 1114, 1184, 1186, 1115, 1182, 1185, 1187, 1231],
]);

function fieldDecoder(decode: (value: unknown) => unknown, typeId: number): FieldDecoder {
  switch (typeId) {
    case int2:
    case int4:
    case oid:
    case float4:
    case float8:
      return (text) => decode(Number(text));
    case bool:
      return (text) => decode(text === "t");
    case json:
    case jsonb:
      return jsonDecoder(decode);
    default:
      if (asText.has(typeId)) return decode;
      return parsedDecoder(decode, pg.types.getTypeParser(typeId, "text"));
  }
}

function parsedDecoder(decode: (value: unknown) => unknown, parse: (text: string) => unknown): FieldDecoder {
  return (text) => decode(parse(text));
}

/**
 * drizzle parses a text that it is given, so a json string that looks like json would be parsed twice. It gets the
 * document as text then; a decoder that leaves the text alone is no parser, and the parsed value stands.
 */
function jsonDecoder(decode: (value: unknown) => unknown): FieldDecoder {
  return (text) => {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "string") return decode(value);
    const decoded = decode(text);
    return decoded === text ? value : decoded;
  };
}
