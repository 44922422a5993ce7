/**
 * The shapes of definitions: frozen plain values that the rest of the program reads. `dataset.ts` makes them, and its
 * option types (`typing.ts`) put a user's drizzle tables in place of the general ones here.
 */
import type { PgColumn, PgTable } from "drizzle-orm/pg-core";
import type { Assumption } from "./assumption.ts";
import type { Check } from "./check.ts";
import type { ColumnDeprecation, Deprecation } from "./deprecation.ts";
import type { Mapping } from "./mapping.ts";
import type { PartitionScheme } from "./scheme.ts";

/** What is told of a dataset of either kind. */
interface Described {
  readonly assumptions: readonly Assumption[];
  readonly deprecated?: Deprecation;
  readonly deprecatedColumns?: readonly ColumnDeprecation[];
  readonly description?: string;
  readonly owner?: string;
  /** By database name. */
  readonly columnDescriptions?: Readonly<Record<string, string>>;
  /** What is wrong with the definition; empty in a catalog. */
  readonly faults: readonly string[];
}

/** A table that others write. */
export interface Source<Table extends PgTable = PgTable> extends Described {
  readonly kind: "source";
  readonly name: string;
  readonly table: Table;
  readonly partitions: PartitionScheme;
  /** What its rows are told apart by, as its author says; a plan looks for duplicates. */
  readonly key?: readonly PgColumn[];
}

/** An input under the handle by which the transform reads it. */
export interface Input {
  readonly name: string;
  readonly dataset: Source | Derived;
  readonly mapping: Mapping;
}

/** A table that a transform computes from inputs. */
export interface Derived<Table extends PgTable = PgTable, Owned extends PgColumn = PgColumn> extends Described {
  readonly kind: "derived";
  readonly name: string;
  readonly table: Table;
  readonly version: number;
  readonly key: readonly PgColumn[];
  /** The columns that the transform writes, in the table's order. */
  readonly owned: readonly Owned[];
  readonly partitions: PartitionScheme;
  readonly inputs: readonly Input[];
  readonly transform: SelectTransform | MapTransform;
  readonly checks: readonly Check[];
  /** Owned columns whose values are shown neither in evidence nor in samples. */
  readonly mask: readonly PgColumn[];
  /** Undefined: partitions are compared with the history by their number of rows alone, which costs nothing. */
  readonly anomalies?: AnomalyRule | false;
  readonly validate?: ValidationRule;
  /** A partition that had rows may come out without any. */
  readonly allowEmpty: boolean;
  /** User functions that Postgres cannot look into and that the author declares to be deterministic. */
  readonly functions: readonly string[];
  readonly limits?: Limits;
  /** A shared resource of the catalog, whose limits hold for all datasets that name it. */
  readonly resource?: string;
  /** User triggers on the table that a promotion may fire. */
  readonly allowTriggers: readonly string[];
  readonly attempts: number;
  readonly timeoutMs: number;
}

/** How partitions are compared with the dataset's own history. */
export interface AnomalyRule {
  /** Whose nulls, distinct values and sums are measured. Default: all owned ones but key, partition and masked columns. */
  readonly columns?: readonly PgColumn[];
  /** "error" holds the dataset. Default "warn". */
  readonly severity?: "error" | "warn";
  /** How many spreads of the history are usual; more tells less. Default 6. */
  readonly spreads?: number;
}

/** How often live content is checked without anybody asking. */
export interface ValidationRule {
  /** A whole number and a unit, from seconds to days: "30 minutes", "1 hour", "1 day", or "30m", "1h", "1d". */
  readonly every: string;
}

/** Limits over the whole fleet. */
export interface Limits {
  /** At most `max` tasks started in `per` milliseconds. */
  readonly rate?: { readonly max: number; readonly per: number };
  /** At most so many tasks at a time. */
  readonly concurrency?: number;
}

/** A column that an exposure relies on. */
export interface ExposureColumn {
  /** Name of the dataset. */
  readonly dataset: string;
  /** Database name of the column. */
  readonly column: string;
  /** The type that it must be able to hold; null where any will do. */
  readonly type: string | null;
}

export type Criticality = "low" | "medium" | "high" | "critical";

/** What people use, and how much it matters. */
export interface Exposure {
  readonly kind: "exposure";
  readonly name: string;
  readonly reads: readonly (Source | Derived)[];
  /** Its contract; undefined where nobody said which columns it reads. */
  readonly columns?: readonly ExposureColumn[];
  readonly criticality: Criticality;
  readonly description?: string;
  readonly owner?: string;
  readonly faults: readonly string[];
}

export type Dataset = Source | Derived;

/** An input with a mapping of its own, made by `lookback`, `lookahead`, `rolling`, `all` or `custom`. */
export interface MappedInput<D extends Dataset = Dataset> {
  readonly kind: "input";
  readonly dataset: D;
  readonly mapping: Mapping;
}

/** Values by the property names of the drizzle table. */
export type Row = Readonly<Record<string, unknown>>;

/** What `map` is told beside the row: nothing that could differ between two runs. */
export interface MapContext {
  readonly dataset: string;
  /** Label of the partition, for example 2001-01-31. */
  readonly partition: string;
  readonly ordinal: number;
}

export interface SelectTransform {
  readonly kind: "select";
  /** The user's SQL with all literals inline; reads the inputs by their handles. */
  readonly statement: string;
  /** Database names of the owned columns by position; undefined for raw SQL, whose columns count by name. */
  readonly columns: readonly string[] | undefined;
}

export interface MapTransform {
  readonly kind: "map";
  /** The SQL of `read`, as in `SelectTransform`. */
  readonly statement: string;
  /** By position: the property of the row, and drizzle's decoder of what node-postgres gives for the column's type. */
  readonly fields: readonly { readonly name: string; readonly decode: (value: unknown) => unknown }[];
  readonly map: (row: Record<string, unknown>, context: MapContext) => Row | readonly Row[] | null | undefined;
}
