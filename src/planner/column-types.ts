/** Types of columns as Postgres and drizzle print them, and which of them holds all values of another. Pure. */

/** `widened`: everything that the old type holds fits into the new one. `narrowed`: the reverse. `other`: neither. */
export type TypeChange = "same" | "widened" | "narrowed" | "other";

export function typeChange(was: string, is: string): TypeChange {
  const [before, after] = [parse(was), parse(is)];
  if (print(before) === print(after)) return "same";
  if (before.array !== after.array) return "other";
  if (holds(after, before)) return "widened";
  return holds(before, after) ? "narrowed" : "other";
}

/** One spelling of a type: `varchar(3)` is `character varying(3)`, `serial` an `integer`, `numeric(12, 2)` has no space. */
export function canonicalType(type: string): string {
  return print(parse(type));
}

interface ColumnType {
  readonly base: string;
  /** Length, or precision and scale. */
  readonly limits: readonly number[];
  /** Empty, or brackets. */
  readonly array: string;
}

const spelling = /^([a-z][a-z0-9_ ]*?)\s*(?:\(([\d\s,]*)\))?\s*((?:with|without) time zone)?\s*((?:\[\d*\])*)$/;

const synonyms: Readonly<Record<string, string>> = {
  ...{ int: "integer", int2: "smallint", int4: "integer", int8: "bigint", decimal: "numeric", bool: "boolean" },
  ...{ serial: "integer", smallserial: "smallint", bigserial: "bigint", float4: "real", float8: "double precision" },
  ...{ varchar: "character varying", char: "character", bpchar: "character" },
  ...{ timestamptz: "timestamp with time zone", timetz: "time with time zone" },
  ...{ timestamp: "timestamp without time zone", time: "time without time zone" },
};

/** A type that is not spelled like those of Postgres itself is left as it is. */
function parse(type: string): ColumnType {
  const text = type.trim();
  const [, name, limits, zone, array = ""] = spelling.exec(text.toLowerCase()) ?? [];
  if (name === undefined) return { base: text, limits: [], array: "" };
  const known = zone === undefined ? (synonyms[name] ?? name) : `${name} ${zone}`;
  const numbers = limits === undefined || limits.trim() === "" ? [] : limits.split(",").map(Number);
  // A character without a length is one character, and a numeric without a scale has none behind the point.
  const shortest = known === "character" && numbers.length === 0 ? [1] : numbers;
  return {
    base: known,
    limits: known === "numeric" && shortest.length === 1 ? [...shortest, 0] : shortest,
    array: array.replace(/\d/g, ""),
  };
}

function print({ base, limits, array }: ColumnType): string {
  if (limits.length === 0) return base + array;
  const [name, ...zone] = base.split(/ (?=with)/);
  return [`${name}(${limits.join(",")})`, ...zone].join(" ") + array;
}

/** Decimal digits of whole numbers, which a numeric needs before the point. */
const digits: Readonly<Record<string, number>> = { smallint: 5, integer: 10, bigint: 19 };

/** Whether every value of `narrow` is one of `wide`. */
function holds(wide: ColumnType, narrow: ColumnType): boolean {
  if (isText(wide) && isText(narrow)) return length(wide) >= length(narrow) && wide.base !== "character";
  if (wide.base === "numeric" && (narrow.base === "numeric" || narrow.base in digits))
    return holdsNumeric(wide, narrow);
  if (wide.base in digits && narrow.base in digits) return (digits[wide.base] ?? 0) >= (digits[narrow.base] ?? 0);
  if (wide.base === "double precision") return ["real", "integer", "smallint"].includes(narrow.base);
  if (wide.base === "real") return narrow.base === "smallint";
  return wide.base === narrow.base && isTime(wide) && (wide.limits[0] ?? 6) >= (narrow.limits[0] ?? 6);
}

function isText({ base }: ColumnType): boolean {
  return base === "text" || base === "character varying" || base === "character";
}

function isTime({ base }: ColumnType): boolean {
  return base.startsWith("time");
}

function length({ limits }: ColumnType): number {
  return limits[0] ?? Number.POSITIVE_INFINITY;
}

function holdsNumeric(wide: ColumnType, narrow: ColumnType): boolean {
  const [precision, scale] = wide.limits;
  if (precision === undefined || scale === undefined) return true;
  const before =
    narrow.base === "numeric" ? (narrow.limits[0] ?? Number.POSITIVE_INFINITY) : (digits[narrow.base] ?? 0);
  const behind = narrow.limits[1] ?? 0;
  return scale >= behind && precision - scale >= before - behind;
}
