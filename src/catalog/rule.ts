/**
 * Rules: checks of what values mean. Currencies, local dates, categories and units are wrong in ways that no type and no
 * constraint can see, and in the same ways everywhere. They are listed among a dataset's `checks` and behave like them.
 */
import type { PgColumn } from "drizzle-orm/pg-core";
import {
  type CheckOf,
  type CheckOptions,
  type ColumnOrColumns,
  checkOf,
  columnList,
  type FilterOptions,
  type Filters,
  filtersOf,
} from "./check-of.ts";

/** Codes are those of ISO 4217, and amounts have no more decimals than the currency. */
export interface CurrencyRule extends CheckOf {
  readonly kind: "currency";
  readonly code: PgColumn;
  readonly amounts: readonly PgColumn[];
  /** "major": 12.34 EUR. "minor": 1234 cents. */
  readonly unit: "major" | "minor";
  /** Further codes and the decimal places of their minor unit. */
  readonly also: Readonly<Record<string, number>>;
}

/** No sum mixes currencies. */
export interface UnmixedRule extends CheckOf, Filters {
  readonly kind: "unmixed";
  readonly column: PgColumn;
  /** The dataset's own currency; undefined where it has none. */
  readonly code?: PgColumn;
  readonly input: string;
  readonly inputColumn: PgColumn;
  readonly inputCode: PgColumn;
  /** Columns of the input by which the sum is grouped; only without `code`. */
  readonly by: readonly PgColumn[];
  readonly tolerance: number;
}

/** A local date is that of an instant in a zone. */
export interface TimeZoneRule extends CheckOf {
  readonly kind: "timeZone";
  readonly column: PgColumn;
  readonly instant: PgColumn;
  /** IANA name. */
  readonly timeZone: string;
}

/** Every local day has all of its hours. */
export interface CompleteDaysRule extends CheckOf {
  readonly kind: "completeDays";
  readonly instant: PgColumn;
  readonly timeZone: string;
  readonly by: readonly PgColumn[];
}

/** Two columns of a table, or pairs as an object. */
export type CategoryMapping = { readonly from: PgColumn; readonly to: PgColumn } | Readonly<Record<string, string>>;

/** Categories are mapped as declared, and none is left out. */
export interface CategoryRule extends CheckOf {
  readonly kind: "category";
  readonly column: PgColumn;
  /** The column of the same row that holds the category before it was mapped. */
  readonly from?: PgColumn;
  readonly input?: string;
  readonly inputColumn?: PgColumn;
  /** Pairs of category and what it is mapped to, or the two columns of the table that has them. */
  readonly mapping: { readonly from: PgColumn; readonly to: PgColumn } | readonly (readonly [string, string])[];
}

/** What a number can be in a unit: inclusive bounds, and whether it is whole. */
interface UnitBounds {
  readonly min?: number;
  readonly max?: number;
  readonly whole?: boolean;
}

/** The unit "quantity" stands for lengths, weights, durations and all else that cannot be negative. */
export const unitBounds = Object.freeze({
  percent: { min: 0, max: 100 },
  ratio: { min: 0, max: 1 },
  latitude: { min: -90, max: 90 },
  longitude: { min: -180, max: 180 },
  bearing: { min: 0, max: 360 },
  celsius: { min: -273.15 },
  fahrenheit: { min: -459.67 },
  kelvin: { min: 0 },
  count: { min: 0, whole: true },
  quantity: { min: 0 },
  // Up to the year 2100. Milliseconds begin in 1973, so that seconds taken for milliseconds fall below them.
  epochSeconds: { min: 0, max: 4_102_444_800 },
  epochMilliseconds: { min: 100_000_000_000, max: 4_102_444_800_000 },
}) satisfies Readonly<Record<string, UnitBounds>>;

export type Unit = keyof typeof unitBounds;

/** A number is possible in its unit. */
export interface UnitRule extends CheckOf, UnitBounds {
  readonly kind: "unit";
  readonly column: PgColumn;
  readonly unit: Unit;
}

/** A number is another column's in a different unit. */
export interface ConversionRule extends CheckOf {
  readonly kind: "conversion";
  readonly column: PgColumn;
  readonly of: PgColumn;
  readonly factor: number;
  readonly offset: number;
  readonly tolerance: number;
}

export type Rule =
  | CurrencyRule
  | UnmixedRule
  | TimeZoneRule
  | CompleteDaysRule
  | CategoryRule
  | UnitRule
  | ConversionRule;

export interface CurrencyOptions extends CheckOptions {
  /** Amounts in this currency. Default: none, the codes alone are looked at. */
  readonly amounts?: ColumnOrColumns;
  /** "major" for 12.34 EUR, "minor" for 1234 cents, which must be whole. Default "major". */
  readonly unit?: "major" | "minor";
  /** Further codes with the decimal places of their minor unit, such as withdrawn ones: `{ DEM: 2 }`. */
  readonly also?: Readonly<Record<string, number>>;
}

export interface UnmixedOptions extends CheckOptions, FilterOptions {
  /** The dataset's own currency. Leave it out where a row has none: then what is summed up must be of one currency. */
  readonly code?: PgColumn;
  /** Handle of the input whose amounts are summed up. */
  readonly input: string;
  /** The amount in the input's table. */
  readonly column: PgColumn;
  /** The currency in the input's table. */
  readonly inputCode: PgColumn;
  /** Without `code`: columns of the input by which the sum is grouped. Default: the partition is one group. */
  readonly by?: ColumnOrColumns;
  /** With `code`: how far the two sums of a currency may be apart. Default 0. */
  readonly tolerance?: number;
}

export interface TimeZoneOptions extends CheckOptions {
  /** The column of the instant: timestamptz, or timestamp in UTC. */
  readonly instant: PgColumn;
  /** IANA name, for example "Europe/Bratislava". */
  readonly timeZone: string;
}

export interface CompleteDaysOptions extends CheckOptions {
  /** IANA name, for example "Europe/Bratislava". */
  readonly timeZone: string;
  /** Each combination of these columns has days of its own. Default: the partition has one set of days. */
  readonly by?: ColumnOrColumns;
}

export interface CategoryOptions extends CheckOptions {
  /** What each category is mapped to: an object, or the two columns of a live table `{ from, to }`. */
  readonly mapping: CategoryMapping;
  /** The column of the same row with the category before the mapping. With it, each row is compared with the mapping. */
  readonly from?: PgColumn;
  /** Handle of the input whose categories must all be mapped. */
  readonly input?: string;
  /** The category in the input's table; needed with `input`. */
  readonly column?: PgColumn;
}

export interface UnitOptions extends CheckOptions {
  /** Narrower bounds than those of the unit, both inclusive. */
  readonly min?: number;
  readonly max?: number;
}

export interface ConversionOptions extends CheckOptions {
  /** The column that the value is converted from. */
  readonly of: PgColumn;
  /** value = of × factor + offset. */
  readonly factor: number;
  /** Default 0. */
  readonly offset?: number;
  /** How far the value may be away from that, in its own unit. Default 0. */
  readonly tolerance?: number;
}

/**
 * Codes are active ones of ISO 4217, in capitals; an amount has a code, is a finite number, and has no more decimals than
 * the currency's minor unit (JPY none, EUR 2, KWD 3).
 */
function currency(code: PgColumn, options: CurrencyOptions = {}): CurrencyRule {
  return Object.freeze({
    kind: "currency",
    ...checkOf("currency", [code.name], options),
    code,
    amounts: columnList(options.amounts ?? []),
    unit: options.unit ?? "major",
    also: Object.freeze({ ...options.also }),
  });
}

/**
 * A sum never mixes currencies: for each currency it is the sum of the input's amounts in that currency; and where rows
 * have no currency of their own, all that is summed up together has the same one.
 */
function unmixed(column: PgColumn, options: UnmixedOptions): UnmixedRule {
  return Object.freeze({
    kind: "unmixed",
    ...checkOf("unmixed", [column.name, `${options.input}.${options.inputCode.name}`], options),
    column,
    ...(options.code === undefined ? {} : { code: options.code }),
    input: options.input,
    inputColumn: options.column,
    inputCode: options.inputCode,
    by: columnList(options.by ?? []),
    tolerance: options.tolerance ?? 0,
    ...filtersOf(options),
  });
}

/** The local date is the one that calendars in the zone show at the instant of the same row. */
function timeZone(column: PgColumn, options: TimeZoneOptions): TimeZoneRule {
  return Object.freeze({
    kind: "timeZone",
    ...checkOf("timeZone", [column.name, options.instant.name], options),
    column,
    instant: options.instant,
    timeZone: options.timeZone,
  });
}

/**
 * Every local day from the first to the last of a partition has a row in each of its hours: 24, or 23 and 25 where the
 * clock changes. The partitions must be made of whole days of the same zone.
 */
function completeDays(instant: PgColumn, options: CompleteDaysOptions): CompleteDaysRule {
  return Object.freeze({
    kind: "completeDays",
    ...checkOf("completeDays", [instant.name], options),
    instant,
    timeZone: options.timeZone,
    by: columnList(options.by ?? []),
  });
}

/**
 * Categories are mapped as declared: every category that the partition reads of an input is in the mapping, no category
 * is mapped to two, and each row has what its category is mapped to (or, without `from`, something that one is mapped to).
 */
function category(column: PgColumn, options: CategoryOptions): CategoryRule {
  return Object.freeze({
    kind: "category",
    ...checkOf("category", [column.name], options),
    column,
    ...(options.from === undefined ? {} : { from: options.from }),
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.column === undefined ? {} : { inputColumn: options.column }),
    mapping: mappingOf(options.mapping),
  });
}

function mappingOf(mapping: CategoryMapping): CategoryRule["mapping"] {
  const { from, to } = mapping;
  if (typeof from === "object" && typeof to === "object") return Object.freeze({ from, to });
  return Object.freeze(Object.entries(mapping as Readonly<Record<string, string>>));
}

/** The number is finite and possible in its unit: a percentage from 0 to 100, a count whole and not negative. */
function unit(column: PgColumn, name: Unit, options: UnitOptions = {}): UnitRule {
  const bounds: UnitBounds = unitBounds[name] ?? {};
  const { min = bounds.min, max = bounds.max } = options;
  return Object.freeze({
    kind: "unit",
    ...checkOf("unit", [column.name, name], options),
    column,
    unit: name,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(bounds.whole === undefined ? {} : { whole: bounds.whole }),
  });
}

/** The number is that of another column in a different unit: kilometres of miles, degrees Fahrenheit of Celsius. */
function conversion(column: PgColumn, options: ConversionOptions): ConversionRule {
  return Object.freeze({
    kind: "conversion",
    ...checkOf("conversion", [column.name, options.of.name], options),
    column,
    of: options.of,
    factor: options.factor,
    offset: options.offset ?? 0,
    tolerance: options.tolerance ?? 0,
  });
}

export const rule = Object.freeze({ currency, unmixed, timeZone, completeDays, category, unit, conversion });

const ruleKinds: Readonly<Record<Rule["kind"], true>> = {
  currency: true,
  unmixed: true,
  timeZone: true,
  completeDays: true,
  category: true,
  unit: true,
  conversion: true,
};

/** Tells rules from the other checks. */
export function isRule<Other extends CheckOf & { readonly kind: string }>(check: Other | Rule): check is Rule {
  return Object.hasOwn(ruleKinds, check.kind);
}

/** The columns of the dataset's own table that a rule is about. */
export function columnsOfRule(about: Rule): readonly PgColumn[] {
  switch (about.kind) {
    case "currency":
      return [about.code, ...about.amounts];
    case "unmixed":
      return about.code === undefined ? [about.column] : [about.column, about.code];
    case "timeZone":
      return [about.column, about.instant];
    case "completeDays":
      return [about.instant, ...about.by];
    case "category":
      return about.from === undefined ? [about.column] : [about.column, about.from];
    case "unit":
      return [about.column];
    case "conversion":
      return [about.column, about.of];
  }
}
