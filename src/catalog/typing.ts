/**
 * The types that check a definition against its drizzle tables while the user writes it: handles with the readable
 * columns of each input, and a transform that gives exactly the owned columns with their types.
 */
import type { SQL } from "drizzle-orm";
import type { PgColumn, PgTable, QueryBuilder, WithSubqueryWithSelection } from "drizzle-orm/pg-core";
import type { Assumption } from "./assumption.ts";
import type { Check } from "./check.ts";
import type { ColumnDeprecation, Deprecation } from "./deprecation.ts";
import type {
  AnomalyRule,
  Criticality,
  Dataset,
  Derived,
  Limits,
  MapContext,
  MappedInput,
  Source,
  ValidationRule,
} from "./model.ts";
import type { PartitionScheme } from "./scheme.ts";

type Columns<Table extends PgTable> = Table["_"]["columns"];

/** Any column of a table; columns of other tables do not fit. */
export type ColumnOf<Table extends PgTable> = Extract<Columns<Table>[keyof Columns<Table>], PgColumn>;

/** Columns that Postgres does not fill by itself: without default, identity or generation expression. */
export type DefaultOwned<Table extends PgTable> = Extract<
  {
    [Key in keyof Columns<Table>]: Columns<Table>[Key]["_"]["hasDefault"] extends true ? never : Columns<Table>[Key];
  }[keyof Columns<Table>],
  PgColumn
>;

/** The columns of a table that are among those owned, by their property names. */
type PickOwned<Table extends PgTable, Owned extends PgColumn> = {
  [Key in keyof Columns<Table> as Columns<Table>[Key]["_"]["name"] extends Owned["_"]["name"]
    ? Key
    : never]: Columns<Table>[Key];
};

type ValueOf<Column extends PgColumn> = Column["_"]["notNull"] extends true
  ? Column["_"]["data"]
  : Column["_"]["data"] | null;

/** A row of exactly the owned columns. */
export type OwnedRow<Table extends PgTable, Owned extends PgColumn> = {
  [Key in keyof PickOwned<Table, Owned>]: PickOwned<Table, Owned>[Key] extends PgColumn
    ? ValueOf<PickOwned<Table, Owned>[Key]>
    : never;
};

export type InputArguments = Readonly<Record<string, Dataset | MappedInput>>;

type DatasetOf<Argument> = Argument extends MappedInput<infer D> ? D : Argument;

/** A source shows all its columns; of a derived dataset only the owned ones can be read. */
type Readable<D> =
  D extends Derived<infer Table, infer Owned>
    ? PickOwned<Table, Owned>
    : D extends Source<infer Table>
      ? Columns<Table>
      : never;

type Handle<Columns, Name extends string> =
  Columns extends Record<string, PgColumn> ? WithSubqueryWithSelection<Columns, Name> : never;

/** What `select` and `read` are called with: `db`, drizzle's query builder, and one handle an input. */
export type Handles<Inputs> = { readonly db: QueryBuilder } & {
  readonly [Name in keyof Inputs & string]: Handle<Readable<DatasetOf<Inputs[Name]>>, Name>;
};

/** A drizzle query that has not been run. */
interface TypedQuery<Row> {
  readonly _: { readonly result: Row[] };
}

/** The row that drizzle infers for a query. */
export type RowOfQuery<Query> = Query extends TypedQuery<infer Row> ? Row : never;

/** Names of properties that stand in the way of `Given` being exactly `Wanted`. */
type Missing<Given, Wanted> = Exclude<keyof Wanted, keyof Given>;
type Surplus<Given, Wanted> = Exclude<keyof Given, keyof Wanted>;
type WronglyTyped<Given, Wanted> = {
  [Key in keyof Given & keyof Wanted]: Given[Key] extends Wanted[Key] ? never : Key;
}[keyof Given & keyof Wanted];

/** What the compiler prints where a transform does not fit: the columns at fault by name. */
export interface ColumnFault<MissingColumns, SurplusColumns, WronglyTypedColumns> {
  readonly missing: MissingColumns;
  readonly surplus: SurplusColumns;
  readonly wronglyTyped: WronglyTypedColumns;
}

type Exactly<Given, Wanted, Accepted> = [
  Missing<Given, Wanted> | Surplus<Given, Wanted> | WronglyTyped<Given, Wanted>,
] extends [never]
  ? Accepted
  : ColumnFault<Missing<Given, Wanted>, Surplus<Given, Wanted>, WronglyTyped<Given, Wanted>>;

/** A query itself where it gives exactly the wanted row, raw SQL always, else a type that nothing satisfies. */
type Selecting<Query, Wanted> = Query extends SQL
  ? Query
  : Query extends TypedQuery<infer Row>
    ? Exactly<Row, Wanted, Query>
    : TypedQuery<Wanted> | SQL;

/** What a map may return for a row. */
export type MapResult<Row> = Row | readonly Row[] | null | undefined;

type RowsIn<Mapped> = Mapped extends readonly (infer Row)[] ? Row : Exclude<Mapped, null | undefined>;

/**
 * A map's result where none of its rows has a surplus property; what is missing or wrongly typed fails by the
 * constraint on `Mapped` already, and the compiler then names the property.
 */
type Mapping<Mapped, Wanted> =
  Exclude<KeysOfUnion<RowsIn<Mapped>>, keyof Wanted> extends never
    ? Mapped
    : ColumnFault<never, Exclude<KeysOfUnion<RowsIn<Mapped>>, keyof Wanted>, never>;

type KeysOfUnion<Union> = Union extends unknown ? keyof Union : never;

interface DatasetOptions {
  /** Default: the table's name, `schema.table` outside of public. At most 40 of a-z, 0-9, _ and dot. */
  readonly name?: string;
  /** What is taken for granted about tables, tested before each plan and each start; does not enter the fingerprint. */
  readonly assumptions?: readonly Assumption[];
  /** The dataset will go away: `{ since: "2001-01-31", replacedBy: "…", removeAfter: "2001-07-31" }`. Plans warn its readers. */
  readonly deprecated?: Deprecation;
  /** The same of single columns: `[{ column: t.orders.total, since: "2001-01-31", replacedBy: "cents" }]`. */
  readonly deprecatedColumns?: readonly ColumnDeprecation[];
  /** For people; does not enter the fingerprint. */
  readonly description?: string;
  readonly owner?: string;
  /** What columns mean, by their database names: `{ delay_minutes: "Minutes late, early ones as 0" }`. For people too. */
  readonly columnDescriptions?: Readonly<Record<string, string>>;
}

export interface SourceOptions<Table extends PgTable> extends DatasetOptions {
  /** Identifies a row. Plans look for rows that share one, unless a unique index forbids them. Default: none. */
  readonly key?: readonly ColumnOf<Table>[];
  /** Default whole(). */
  readonly partitions?: PartitionScheme<ColumnOf<Table>>;
}

interface DerivedBase<Table extends PgTable, Owned extends PgColumn, Inputs> extends DatasetOptions {
  /** A positive whole number; raise it when the meaning of the data changes in a way that the definition does not show. */
  readonly version: number;
  /** Identifies a row; the columns must be owned. */
  readonly key: readonly ColumnOf<Table>[];
  /** Default: all columns without a default, an identity or a generation expression. */
  readonly owned?: readonly (Owned & ColumnOf<Table>)[];
  /** Default whole(). The column must be owned. */
  readonly partitions?: PartitionScheme<ColumnOf<Table>>;
  /** What the transform reads, by handle. Same and rollup mappings are inferred; wrap others in lookback, all or custom. */
  readonly inputs: Inputs;
  readonly checks?: readonly Check[];
  /** Owned columns whose values nobody may see in evidence and samples; shown as "(masked)". */
  readonly mask?: readonly ColumnOf<Table>[];
  /**
   * Compare what a partition holds with the dataset's own history before the backfill is verified: rows, nulls, distinct
   * values and sums per row. Default: rows alone, which are known anyway, with severity "warn"; false: nothing.
   */
  readonly anomalies?: (Omit<AnomalyRule, "columns"> & { readonly columns?: readonly ColumnOf<Table>[] }) | false;
  /** Check what is live again and again: `{ every: "1h" }`. The leading planner does it. Default: nobody does. */
  readonly validate?: ValidationRule;
  /**
   * Take it as right when a partition that has live rows, and reads rows of its inputs, comes out empty. Default false:
   * it is held.
   */
  readonly allowEmpty?: boolean;
  /** User functions in the transform that Postgres cannot analyse and that are deterministic, as `schema.name`. */
  readonly functions?: readonly string[];
  /** Limits over the whole fleet for this dataset alone. */
  readonly limits?: Limits;
  /** Name of a resource of the catalog whose limits are shared. Not together with `limits`. */
  readonly resource?: string;
  /** User triggers on the table that a promotion may fire, by name. */
  readonly allowTriggers?: readonly string[];
  /** How often a task is tried when an error may pass. Default 5. */
  readonly attempts?: number;
  /** Longest time that one attempt may take, in milliseconds. Default 600,000. */
  readonly timeoutMs?: number;
}

export interface SelectOptions<Table extends PgTable, Owned extends PgColumn, Inputs, Query>
  extends DerivedBase<Table, Owned, Inputs> {
  /** One statement over the handles: `({ db, orders }) => db.select({ … }).from(orders)`, or raw `sql`. */
  readonly select: (inputs: Handles<Inputs>) => Selecting<Query, OwnedRow<Table, Owned>>;
  readonly read?: never;
  readonly map?: never;
}

export interface MapOptions<Table extends PgTable, Owned extends PgColumn, Inputs, Query, Mapped>
  extends DerivedBase<Table, Owned, Inputs> {
  /** The rows that `map` gets: `({ db, orders }) => db.select({ … }).from(orders)`. */
  readonly read: (inputs: Handles<Inputs>) => Query;
  /** Pure and synchronous; returns the row, several rows, or null for none. */
  readonly map: (row: RowOfQuery<Query>, context: MapContext) => Mapping<Mapped, OwnedRow<Table, Owned>>;
  readonly select?: never;
}

export type DerivedOptions<Table extends PgTable, Owned extends PgColumn, Inputs, Query, Mapped> =
  | SelectOptions<Table, Owned, Inputs, Query>
  | MapOptions<Table, Owned, Inputs, Query, Mapped>;

export interface ExposureOptions {
  /** Datasets of the catalog. */
  readonly reads: readonly Dataset[];
  /**
   * The columns that it relies on, as drizzle columns or as texts `dataset.column`, with the type where that matters:
   * `"daily_revenue.cents bigint"`. A plan stops where one is gone or narrower. Default: nothing is looked at.
   */
  readonly columns?: readonly (PgColumn | string)[];
  readonly criticality: Criticality;
  /** For people; does not enter the fingerprint. */
  readonly description?: string;
  readonly owner?: string;
}
