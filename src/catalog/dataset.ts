/**
 * What a user declares: sources, derived datasets and exposures, as frozen plain values.
 *
 * A definition never throws: what is wrong with it is kept in `faults` and told by `defineCatalog` together with all
 * other faults. The option types and the types that check a transform against its table are in `typing.ts`.
 */
import { getTableColumns } from "drizzle-orm";
import { getTableConfig, type PgColumn, type PgTable } from "drizzle-orm/pg-core";
import { messageOf } from "../errors.ts";
import { didYouMean } from "../suggest.ts";
import { type CustomMapping, inferMapping, type Mapping } from "./mapping.ts";
import type {
  AnomalyRule,
  Dataset,
  Derived,
  Exposure,
  ExposureColumn,
  Input,
  MappedInput,
  MapTransform,
  SelectTransform,
  Source,
} from "./model.ts";
import type { PartitionScheme } from "./scheme.ts";
import { compileRead, compileSelect, handlesOf } from "./transform.ts";
import type {
  DefaultOwned,
  DerivedOptions,
  ExposureOptions,
  InputArguments,
  MapResult,
  OwnedRow,
  SourceOptions,
} from "./typing.ts";

export type {
  Criticality,
  Dataset,
  Derived,
  Exposure,
  ExposureColumn,
  Input,
  Limits,
  MapContext,
  MappedInput,
  MapTransform,
  SelectTransform,
  Source,
} from "./model.ts";

/** Reads the partition's own period and the `partitions` periods of the consumer's unit before it (at least 1). */
export function lookback<D extends Dataset>(dataset: D, partitions: number): MappedInput<D> {
  return mapped(dataset, { kind: "lookback", partitions });
}

/** Reads the partition's own period and the `partitions` periods of the consumer's unit after it (at least 1). */
export function lookahead<D extends Dataset>(dataset: D, partitions: number): MappedInput<D> {
  return mapped(dataset, { kind: "lookahead", partitions });
}

/**
 * Reads the partition's own period and, counted in partitions of the input, `before` more before it and `after` more
 * after it: a month and the seven days before it. Each defaults to 0; one of them must be at least 1.
 */
export function rolling<D extends Dataset>(
  dataset: D,
  window: { readonly before?: number; readonly after?: number },
): MappedInput<D> {
  return mapped(dataset, { kind: "rolling", before: window.before ?? 0, after: window.after ?? 0 });
}

/** Every partition reads all of the input. A change anywhere in the input then recomputes everything. */
export function all<D extends Dataset>(dataset: D): MappedInput<D> {
  return mapped(dataset, { kind: "all" });
}

/**
 * A mapping in the user's own words, from ordinal to ranges of ordinals and back. The two functions must be pure and
 * agree: c is in `downstream(u)` if and only if u is in `upstream(c)`. `name` stands for them in the fingerprint.
 */
export function custom<D extends Dataset>(dataset: D, mapping: Omit<CustomMapping, "kind">): MappedInput<D> {
  return mapped(dataset, { kind: "custom", ...mapping });
}

function mapped<D extends Dataset>(dataset: D, mapping: Mapping): MappedInput<D> {
  return Object.freeze({ kind: "input", dataset, mapping: Object.freeze(mapping) });
}

const sourceOptions = [
  ...["name", "partitions", "key", "assumptions", "deprecated", "deprecatedColumns", "description", "owner"],
  "columnDescriptions",
];
const derivedOptions = [
  ...sourceOptions,
  ...["version", "owned", "inputs", "select", "read", "map", "checks", "functions"],
  ...["mask", "anomalies", "validate", "allowEmpty", "limits", "resource", "allowTriggers", "attempts", "timeoutMs"],
];
const exposureOptions = ["reads", "columns", "criticality", "description", "owner"];

/**
 * Declares a table that others write.
 *
 * `name` defaults to the table's name (`schema.table` outside of public); `partitions` defaults to `whole()`.
 */
export function source<Table extends PgTable>(table: Table, options: SourceOptions<Table> = {}): Source<Table> {
  return Object.freeze({
    kind: "source",
    name: options.name ?? nameOfTable(table),
    table,
    partitions: options.partitions ?? wholeTable,
    ...(options.key === undefined ? {} : { key: Object.freeze([...options.key]) }),
    assumptions: Object.freeze([...(options.assumptions ?? [])]),
    ...deprecations(options),
    ...described(options),
    faults: Object.freeze([...unknownOptions(options, sourceOptions), ...unknownColumns(table, options)]),
  });
}

const wholeTable: PartitionScheme = Object.freeze({ kind: "whole" });

/**
 * Declares a table that a transform computes: `select` (one statement, built with drizzle or written as raw `sql`), or
 * `read` and `map` (rows through a pure synchronous function that returns a row, rows or null).
 *
 * The transform gives exactly the owned columns, which are by default all columns without a default, an identity or a
 * generation expression; a missing, surplus or wrongly typed one does not compile. Defaults: `partitions` whole(),
 * `attempts` 5, `timeoutMs` 600,000. Never throws: faults are told by `defineCatalog`.
 */
export function derived<
  Table extends PgTable,
  const Inputs extends InputArguments,
  Query,
  Mapped extends MapResult<OwnedRow<Table, Owned>> = never,
  Owned extends PgColumn = DefaultOwned<Table>,
>(table: Table, options: DerivedOptions<Table, Owned, Inputs, Query, Mapped>): Derived<Table, Owned> {
  const faults = [...unknownOptions(options, derivedOptions), ...unknownColumns(table, options)];
  const owned = ownedOf<Table, Owned>(table, options.owned);
  const inputs = inputsOf(options.partitions ?? wholeTable, options.inputs, faults);
  return Object.freeze({
    kind: "derived",
    name: options.name ?? nameOfTable(table),
    table,
    version: options.version,
    key: Object.freeze([...(options.key ?? [])]),
    owned,
    partitions: options.partitions ?? wholeTable,
    inputs,
    transform: transformOf(table, owned, inputs, options as unknown as TransformOptions, faults),
    checks: Object.freeze([...(options.checks ?? [])]),
    assumptions: Object.freeze([...(options.assumptions ?? [])]),
    mask: Object.freeze([...(options.mask ?? [])]),
    ...(options.anomalies === undefined ? {} : { anomalies: frozen(options.anomalies) }),
    ...(options.validate === undefined ? {} : { validate: Object.freeze({ ...options.validate }) }),
    allowEmpty: options.allowEmpty ?? false,
    functions: Object.freeze([...(options.functions ?? [])]),
    ...(options.limits === undefined ? {} : { limits: Object.freeze({ ...options.limits }) }),
    ...(options.resource === undefined ? {} : { resource: options.resource }),
    allowTriggers: Object.freeze([...(options.allowTriggers ?? [])]),
    attempts: options.attempts ?? 5,
    timeoutMs: options.timeoutMs ?? 600_000,
    ...deprecations(options),
    ...described(options),
    faults: Object.freeze(faults),
  });
}

function frozen(rule: AnomalyRule | false): AnomalyRule | false {
  return rule === false ? false : Object.freeze({ ...rule });
}

/** Declares what people use: which datasets it reads and how critical it is. Critical work is released first. */
export function exposure(name: string, options: ExposureOptions): Exposure {
  const faults = unknownOptions(options, exposureOptions);
  const reads = Object.freeze([...(options.reads ?? [])]);
  const columns = options.columns?.flatMap((column) => contractColumn(reads, column, faults) ?? []);
  return Object.freeze({
    kind: "exposure",
    name,
    reads,
    ...(columns === undefined ? {} : { columns: Object.freeze(columns) }),
    criticality: options.criticality,
    ...described(options),
    faults: Object.freeze(faults),
  });
}

/** Whether the column exists is not asked here: that it does not any more is for a plan to say. */
function contractColumn(
  reads: readonly Dataset[],
  column: PgColumn | string | undefined,
  faults: string[],
): ExposureColumn | undefined {
  const known = typeof column === "string" ? namedColumn(reads, column) : undefined;
  const of = typeof column === "object" ? reads.find(({ table }) => table === column.table) : undefined;
  if (known !== undefined) return known;
  if (typeof column === "object" && of !== undefined) {
    return Object.freeze({ dataset: of.name, column: column.name, type: null });
  }
  const seen = typeof column === "object" ? column.name : String(column);
  faults.push(
    `columns has "${seen}", which is no column of what it reads; ` +
      'write a column of a dataset in reads, or "dataset.column", with a type where it matters',
  );
  return undefined;
}

/** `daily_revenue.cents bigint`; a dataset's name may have dots itself. */
function namedColumn(reads: readonly Dataset[], text: string): ExposureColumn | undefined {
  const [, dataset, column, type] = /^(\S+)\.([^.\s]+)(?:\s+(\S.*))?$/.exec(text.trim()) ?? [];
  if (dataset === undefined || column === undefined || !reads.some(({ name }) => name === dataset)) return undefined;
  return Object.freeze({ dataset, column, type: type ?? null });
}

/** The table's name, with its schema unless that is public. */
function nameOfTable(table: PgTable): string {
  const { schema, name } = getTableConfig(table);
  return schema === undefined || schema === "public" ? name : `${schema}.${name}`;
}

/** Whether Postgres gives the column a value when an insert leaves it out. */
function isFilled(column: PgColumn): boolean {
  return column.hasDefault || column.generated !== undefined || column.generatedIdentity !== undefined;
}

function ownedOf<Table extends PgTable, Owned extends PgColumn>(
  table: Table,
  chosen: readonly Owned[] | undefined,
): readonly Owned[] {
  if (chosen !== undefined) return Object.freeze([...chosen]);
  // The same rule as the type DefaultOwned, which is where the cast comes from.
  const columns = Object.values<PgColumn>(getTableColumns(table)).filter((column) => !isFilled(column));
  return Object.freeze(columns as Owned[]);
}

function inputsOf(consumer: PartitionScheme, inputs: InputArguments | undefined, faults: string[]): readonly Input[] {
  const entries = Object.entries(inputs ?? {}).filter(([name, argument]) => {
    const known = ["source", "derived", "input"].includes((argument as { kind?: string } | undefined)?.kind ?? "");
    if (!known)
      faults.push(`input ${name} is no dataset; give a source(...) or derived(...), or one wrapped in lookback(...)`);
    return known;
  });
  return Object.freeze(entries.map(([name, argument]) => inputOf(consumer, name, argument, faults)));
}

function inputOf(consumer: PartitionScheme, name: string, argument: Dataset | MappedInput, faults: string[]): Input {
  if (argument.kind === "input") return Object.freeze({ name, dataset: argument.dataset, mapping: argument.mapping });
  const inferred = inferMapping(consumer, argument.partitions);
  if ("fault" in inferred) faults.push(`input ${name}: ${inferred.fault}`);
  // With a fault the catalog is refused, so the stand-in is never used.
  const mapping: Mapping = "fault" in inferred ? { kind: "all" } : inferred;
  return Object.freeze({ name, dataset: argument, mapping: Object.freeze(mapping) });
}

/** The transform's functions with their user-facing types forgotten: the compiler has checked them at the call. */
interface TransformOptions {
  readonly select?: (inputs: Record<string, unknown>) => unknown;
  readonly read?: (inputs: Record<string, unknown>) => unknown;
  readonly map?: MapTransform["map"];
}

const noTransform: SelectTransform = Object.freeze({ kind: "select", statement: "", columns: undefined });

function transformOf(
  table: PgTable,
  owned: readonly PgColumn[],
  inputs: readonly Input[],
  { select, read, map }: TransformOptions,
  faults: string[],
): SelectTransform | MapTransform {
  try {
    const handles = handlesOf(inputs);
    if (select !== undefined && read === undefined && map === undefined)
      return compileSelect(table, owned, select(handles));
    if (read !== undefined && map !== undefined && select === undefined) return compileRead(read(handles), map);
    faults.push("a transform is either `select`, or `read` together with `map`; give one of the two");
  } catch (error) {
    faults.push(messageOf(error));
  }
  return noTransform;
}

type Deprecations = Pick<Dataset, "deprecated" | "deprecatedColumns">;

function deprecations({ deprecated, deprecatedColumns }: Deprecations): Deprecations {
  return {
    ...(deprecated === undefined ? {} : { deprecated: Object.freeze({ ...deprecated }) }),
    ...(deprecatedColumns === undefined ? {} : { deprecatedColumns: Object.freeze([...deprecatedColumns]) }),
  };
}

type Described = Pick<Dataset, "description" | "owner" | "columnDescriptions">;

function described(options: Described): Described {
  return {
    ...(options.columnDescriptions === undefined
      ? {}
      : { columnDescriptions: Object.freeze({ ...options.columnDescriptions }) }),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.owner === undefined ? {} : { owner: options.owner }),
  };
}

function unknownColumns(table: PgTable, { columnDescriptions = {} }: Described): string[] {
  const known = Object.values<PgColumn>(getTableColumns(table)).map(({ name }) => name);
  return Object.keys(columnDescriptions)
    .filter((name) => !known.includes(name))
    .map((name) => `columnDescriptions has "${name}", which is no column of its table${didYouMean(name, known)}`);
}

function unknownOptions(options: object, known: readonly string[]): string[] {
  return Object.keys(options)
    .filter((option) => !known.includes(option))
    .map((option) => `unknown option "${option}"${didYouMean(option, known)}`);
}
