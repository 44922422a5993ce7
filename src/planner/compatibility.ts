/**
 * Where a table is not what the catalog says, or not what it was when a run last started: the columns on which they do
 * not agree, and who is hurt by that. Pure.
 *
 * 1. Misfits: columns that the table lacks, that the catalog does not have any more, or that hold less than before.
 * 2. Of all readers, those that read one of them are named. What nobody reads hurts nobody, except that no input can be
 *    read by a table that lacks a column of its definition.
 */
import type { Exposure } from "../catalog/dataset.ts";
import type { PreflightFinding } from "../report.ts";
import { canonicalType, type TypeChange, typeChange } from "./column-types.ts";

export interface ShapeColumn {
  readonly name: string;
  /** As Postgres or drizzle prints it. */
  readonly type: string;
}

/** A column of a table: its number stays when it gets another name. */
export interface TableColumn extends ShapeColumn {
  readonly number: number;
}

/** One dataset's table, as three sides have it. */
export interface DatasetShape {
  readonly dataset: string;
  /** Quoted, qualified. */
  readonly table: string;
  /** What readers can see, by the drizzle table. */
  readonly declared: readonly ShapeColumn[];
  /** Further columns of the drizzle table, which transforms cannot read. */
  readonly hidden: readonly string[];
  /** None where there is no such table. */
  readonly live: readonly TableColumn[];
  /** When a run last started; undefined where none has. */
  readonly seen?: readonly TableColumn[];
}

export interface Misfit {
  readonly dataset: string;
  readonly table: string;
  readonly column: string;
  /**
   * `missing`: the table does not have it. `gone`: the catalog does not have it. `narrowed`, `changed`: the other side has
   * a type that holds less, or something else.
   */
  readonly kind: "missing" | "gone" | "narrowed" | "changed";
  /** Which side changed, as far as that is known. */
  readonly by: "table" | "catalog";
  readonly was: string;
  /** Its type now; null where it is not there. */
  readonly is: string | null;
  readonly renamed?: { readonly to: string; readonly certain: boolean };
}

/** Who reads which column. */
export interface ColumnReader {
  readonly reader: string;
  readonly kind: "transform" | "exposure";
  readonly dataset: string;
  readonly column: string;
}

/** The columns of one table on which it, the catalog and the last run do not agree. */
export function misfitsOf(shape: DatasetShape): Misfit[] {
  // A table that is not there at all is told where it is read.
  if (shape.live.length === 0) return [];
  return [
    ...shape.declared.filter(({ name }) => !has(shape.live, name)).map((column) => missing(shape, column)),
    ...shape.live
      .filter(({ name }) => !has(shape.declared, name) && !shape.hidden.includes(name))
      .map((column) => gone(shape, column)),
    ...shape.declared.flatMap((column) => retyped(shape, column) ?? []),
  ];
}

function missing(shape: DatasetShape, { name, type }: ShapeColumn): Misfit {
  const before = shape.seen?.find((column) => column.name === name);
  const later = before && shape.live.find(({ number }) => number === before.number);
  const alike = shape.live.filter(
    (column) => !has(shape.declared, column.name) && canonicalType(column.type) === canonicalType(before?.type ?? type),
  );
  const guess = alike.length === 1 ? alike[0] : undefined;
  const to = later ?? guess;
  return {
    ...placed(shape, name),
    kind: "missing",
    by: shape.seen === undefined || before !== undefined ? "table" : "catalog",
    was: canonicalType(before?.type ?? type),
    is: null,
    ...(to === undefined ? {} : { renamed: { to: to.name, certain: later !== undefined } }),
  };
}

function gone(shape: DatasetShape, { name, type }: ShapeColumn): Misfit {
  const alike = shape.declared.filter(
    (column) => !has(shape.live, column.name) && canonicalType(column.type) === canonicalType(type),
  );
  const to = alike.length === 1 ? alike[0]?.name : undefined;
  return {
    ...placed(shape, name),
    kind: "gone",
    by: "catalog",
    was: type,
    is: null,
    ...(to === undefined ? {} : { renamed: { to, certain: false } }),
  };
}

/**
 * A table that changed is taken as it is once the catalog says the same: whoever changed the definition has seen it. A
 * catalog that holds less than the table is about to lose what is in there.
 */
function retyped(shape: DatasetShape, declared: ShapeColumn): Misfit | undefined {
  const live = shape.live.find(({ name }) => name === declared.name);
  if (live === undefined) return undefined;
  const [wanted, type] = [canonicalType(declared.type), live.type];
  const before = shape.seen?.find(({ name }) => name === declared.name)?.type ?? type;
  const since = typeChange(before, type);
  if (isLoss(since) && typeChange(wanted, type) !== "same") {
    return { ...placed(shape, live.name), kind: kindOf(since), by: "table", was: before, is: type };
  }
  if (typeChange(type, wanted) !== "narrowed") return undefined;
  return { ...placed(shape, live.name), kind: "narrowed", by: "catalog", was: type, is: wanted };
}

function isLoss(change: TypeChange): boolean {
  return change === "narrowed" || change === "other";
}

function kindOf(change: TypeChange): "narrowed" | "changed" {
  return change === "narrowed" ? "narrowed" : "changed";
}

function placed({ dataset, table }: DatasetShape, column: string): Pick<Misfit, "dataset" | "table" | "column"> {
  return { dataset, table, column };
}

function has(columns: readonly ShapeColumn[], name: string): boolean {
  return columns.some((column) => column.name === name);
}

/** A declared column whose type in the table is not the catalog's: what may keep a statement from being analysed. */
export function otherwiseTyped(shape: DatasetShape, name: string): Misfit | undefined {
  const [declared, live] = [shape.declared, shape.live].map((columns) => columns.find((each) => each.name === name));
  if (declared === undefined || live === undefined) return undefined;
  const change = typeChange(declared.type, live.type);
  if (change === "same") return undefined;
  const was = canonicalType(declared.type);
  return { ...placed(shape, name), kind: kindOf(change), by: "table", was, is: live.type };
}

/** What an exposure's contract names and does not get. */
export function brokenContracts(
  exposure: Exposure,
  shapes: ReadonlyMap<string, DatasetShape>,
  misfits: readonly Misfit[],
): PreflightFinding[] {
  return (exposure.columns ?? []).flatMap(({ dataset, column, type }) => {
    const shape = shapes.get(dataset);
    if (shape === undefined || shape.live.length === 0) return [];
    const reader: ColumnReader = { reader: exposure.name, kind: "exposure", dataset, column };
    const known = misfits.find((misfit) => misfit.dataset === dataset && misfit.column === column);
    const live = shape.live.find(({ name }) => name === column);
    const misfit =
      known ?? (live === undefined ? missing(shape, { name: column, type: type ?? "any type" }) : undefined);
    if (misfit !== undefined) return [findingOf(reader, misfit)];
    const change = type === null || live === undefined ? "same" : typeChange(type, live.type);
    if (!isLoss(change)) return [];
    const is = live?.type ?? null;
    return [findingOf(reader, { ...placed(shape, column), kind: kindOf(change), by: "table", was: type ?? "", is })];
  });
}

/** One finding for each reader of each misfit. A column of the definition that the table lacks is told without one, too. */
export function incompatibilities(misfits: readonly Misfit[], readers: readonly ColumnReader[]): PreflightFinding[] {
  return misfits.flatMap((misfit) => {
    const own = readers.filter(({ dataset, column }) => dataset === misfit.dataset && column === misfit.column);
    if (own.length > 0 || misfit.kind !== "missing") return own.map((reader) => findingOf(reader, misfit));
    return [findingOf(undefined, misfit)];
  });
}

function findingOf(reader: ColumnReader | undefined, misfit: Misfit): PreflightFinding {
  const { dataset, table, column } = misfit;
  const who = reader === undefined ? "the catalog has" : `${readerName(reader)} reads`;
  return {
    code: "incompatible_schema",
    severity: "stop",
    dataset,
    ...(reader === undefined ? {} : { reader: reader.reader }),
    column,
    what: `${who} column ${column} of ${dataset}, ${whatHappened(misfit)}`,
    seen: seenOf(misfit),
    mitigation: mitigationOf(reader, misfit, table),
  };
}

function readerName({ reader, kind }: ColumnReader): string {
  return kind === "exposure" ? `the exposure ${reader}` : reader;
}

function whatHappened({ kind, by, table, was, is, renamed }: Misfit): string {
  switch (kind) {
    case "missing":
      if (renamed?.certain === true) return `which was renamed to ${renamed.to} in ${table}`;
      return `which ${table} does not have${renamed === undefined ? "" : ` (it may be called ${renamed.to} there)`}`;
    case "gone":
      return `which the catalog does not have any more${renamed === undefined ? "" : ` (it may be called ${renamed.to} there)`}`;
    case "narrowed":
      return `which holds less in ${by === "table" ? table : "the catalog"} now: ${is}, and not ${was}`;
    case "changed":
      return `which is another type in ${by === "table" ? table : "the catalog"} now: ${is}, and not ${was}`;
  }
}

function seenOf({ kind, by, table, column, was, is }: Misfit): string {
  if (kind === "missing")
    return `${column} ${was} in the ${by === "table" ? "catalog" : "catalog alone"}, nothing in ${table}`;
  if (kind === "gone") return `${column} ${was} in ${table}, nothing in the catalog`;
  return by === "table"
    ? `${column} ${is} in ${table}, and not ${was}`
    : `${column} ${was} in ${table}, ${is} in the catalog`;
}

function mitigationOf(
  reader: ColumnReader | undefined,
  { kind, by, column, was, is, renamed }: Misfit,
  table: string,
): string {
  const who = reader === undefined ? "nobody" : reader.reader;
  switch (kind) {
    case "missing":
      if (renamed?.certain === true) {
        return reader === undefined
          ? `give the drizzle table ${renamed.to} instead, or: alter table ${table} rename column ${renamed.to} to ${column}`
          : `let ${who} read ${renamed.to}, or: alter table ${table} rename column ${renamed.to} to ${column}`;
      }
      return reader === undefined
        ? `${who} reads it: take it out of the drizzle table, or: alter table ${table} add column ${column} ${was}`
        : `let ${who} do without it and take it out of the drizzle table, or: alter table ${table} add column ${column} ${was}`;
    case "gone":
      return `let ${who} read ${renamed?.to ?? "something else"}, or keep ${column} in the drizzle table until it does`;
    case "narrowed":
    case "changed":
      return by === "table"
        ? `look whether ${who} can do with ${is}, then write it into ${reader?.kind === "exposure" ? "its columns and " : ""}the drizzle table; ` +
            `or: alter table ${table} alter column ${column} type ${was}`
        : `keep ${was} in the drizzle table; or, once ${who} can do with ${is}: ` +
            `alter table ${table} alter column ${column} type ${is}`;
  }
}
