/** What can be wrong with checks, rules, masks and assumptions: small functions from definitions to sentences. */
import type { PgColumn } from "drizzle-orm/pg-core";
import { didYouMean } from "../suggest.ts";
import type { Assumption } from "./assumption.ts";
import { isTimeZone } from "./calendar.ts";
import { type Check, columnsOfCheck } from "./check.ts";
import type { Dataset, Derived } from "./model.ts";
import { type CompleteDaysRule, isRule, type Rule, unitBounds } from "./rule.ts";
import { isColumnOf, qualified, repeated, tableOf, under } from "./wording.ts";

/** `datasets` are all of the catalog: a check that reads a table of theirs may have to go through an input. */
export function checkFaults(dataset: Derived, datasets: readonly Dataset[]): string[] {
  const twice = repeated(dataset.checks.map((rule) => rule.name));
  return [
    ...twice.map((name) => `check ${name}: defined twice; give one the option name`),
    ...dataset.checks.flatMap((rule) => under(`check ${rule.name}`, checkFault(dataset, rule, datasets))),
  ];
}

export function maskFaults(dataset: Derived): string[] {
  return dataset.mask
    .filter((column) => !dataset.owned.includes(column))
    .map((column) => `mask: ${qualified(column)} is no owned column of ${tableOf(dataset)}`);
}

export function assumptionFaults(assumptions: readonly Assumption[]): string[] {
  const strangers = assumptions.filter((each) => each?.kind !== "assumption");
  if (strangers.length > 0) return ["assumptions holds something else; list assume(...) there"];
  const twice = repeated(assumptions.map((each) => each.description));
  return [
    ...twice.map((description) => `assumption "${description}": made twice; leave one out`),
    ...assumptions.flatMap(({ description, statement }) => [
      ...(description.trim() === "" ? ["an assumption has no description; say what is taken for granted"] : []),
      ...(statement.trim() === "" ? [`assumption "${description}": has no query; give one whose rows break it`] : []),
    ]),
  ];
}

const severities: readonly string[] = ["error", "warn"];

function checkFault(dataset: Derived, rule: Check, datasets: readonly Dataset[]): string[] {
  const unowned = columnsOfCheck(rule).filter((column) => !dataset.owned.includes(column));
  return [
    ...unowned.map((column) => `${qualified(column)} is no owned column of ${tableOf(dataset)}`),
    ...(severities.includes(rule.severity) ? [] : [`severity is ${rule.severity}; give error or warn`]),
    ...ownFaults(dataset, rule, datasets),
  ];
}

function ownFaults(dataset: Derived, rule: Check, datasets: readonly Dataset[]): string[] {
  if (isRule(rule)) return ruleFaults(dataset, rule, datasets);
  switch (rule.kind) {
    case "unique":
    case "notNull":
      return rule.columns.length === 0 ? ["names no column"] : [];
    case "accepted":
      return rule.values.length === 0 ? ["accepts no value; name at least one"] : [];
    case "range":
    case "rowCount":
      return rule.min === undefined && rule.max === undefined ? ["has no bound; give min, max or both"] : [];
    case "conserves":
      return [...inputFaults(dataset, rule.input, columnsOf(rule.inputColumn)), ...toleranceFaults(rule.tolerance)];
    case "foreignKey":
      return [
        ...pairFaults(rule.columns, rule.references),
        ...(rule.input === undefined
          ? referenceFaults(rule.references, datasets)
          : inputFaults(dataset, rule.input, rule.references)),
      ];
    case "cardinality":
      return [
        ...pairFaults(rule.columns, rule.references),
        ...inputFaults(dataset, rule.input, rule.references),
        ...oneOf("is", rule.is, ["oneToOne", "oneToMany", "manyToOne"]),
      ];
    case "monotonic":
      return oneOf("direction", rule.direction, ["increasing", "decreasing"]);
    case "freshness":
      return [...freshnessFaults(rule.maxAge), ...optionalInputFaults(dataset, rule.input, rule.inputColumn)];
    case "sql":
    case "query":
      return [];
  }
}

function ruleFaults(dataset: Derived, rule: Rule, datasets: readonly Dataset[]): string[] {
  switch (rule.kind) {
    case "currency":
      return [...oneOf("unit", rule.unit, ["major", "minor"]), ...alsoFaults(rule.also)];
    case "unmixed":
      return [
        ...inputFaults(dataset, rule.input, [rule.inputColumn, rule.inputCode, ...rule.by]),
        ...(rule.code !== undefined && rule.by.length > 0 ? ["has both code and by; by is for sums without one"] : []),
        ...toleranceFaults(rule.tolerance),
      ];
    case "timeZone":
      return zoneFaults(rule.timeZone);
    case "completeDays":
      return [...zoneFaults(rule.timeZone), ...wholeDayFaults(dataset, rule)];
    case "category":
      return [
        ...optionalInputFaults(dataset, rule.input, rule.inputColumn),
        ...("from" in rule.mapping
          ? referenceFaults([rule.mapping.from, rule.mapping.to], datasets)
          : rule.mapping.length === 0
            ? ["maps nothing; name at least one category"]
            : []),
      ];
    case "unit":
      return oneOf("unit", rule.unit, Object.keys(unitBounds));
    case "conversion":
      return [
        ...(Number.isFinite(rule.factor) && rule.factor !== 0 ? [] : [`factor is ${rule.factor}; give a number`]),
        ...toleranceFaults(rule.tolerance),
      ];
  }
}

function columnsOf(column: PgColumn | undefined): PgColumn[] {
  return column === undefined ? [] : [column];
}

/** The handle is an input's, and the columns can be read through it. */
function inputFaults(dataset: Derived, handle: string, columns: readonly PgColumn[]): string[] {
  const input = dataset.inputs.find((candidate) => candidate.name === handle);
  const handles = dataset.inputs.map((candidate) => candidate.name);
  if (input === undefined)
    return [`unknown input "${handle}"${didYouMean(handle, handles)}; inputs are ${handles.join(", ")}`];
  const read = input.dataset;
  const readable = (column: PgColumn) =>
    read.kind === "source" ? isColumnOf(read, column) : read.owned.includes(column);
  return columns
    .filter((column) => !readable(column))
    .map((column) => `${qualified(column)} cannot be read through ${handle}`);
}

function optionalInputFaults(dataset: Derived, handle: string | undefined, column: PgColumn | undefined): string[] {
  if ((handle === undefined) !== (column === undefined)) return ["has one of input and column; give both or none"];
  return handle === undefined ? [] : inputFaults(dataset, handle, columnsOf(column));
}

/**
 * A live table is read as it is. What this catalog derives may be computed anew in the same backfill, so that its live
 * table tells of yesterday.
 */
function referenceFaults(references: readonly PgColumn[], datasets: readonly Dataset[]): string[] {
  const tables = [...new Set(references.map((column) => column.table))];
  if (tables.length > 1) return ["refers to columns of several tables; name those of one"];
  const computed = datasets.find((dataset) => dataset.kind === "derived" && dataset.table === tables[0]);
  if (computed === undefined) return [];
  return [
    `${tableOf(computed)} is the derived dataset ${computed.name}; read it through an input, ` +
      "or declare a foreign key on the table, which every backfill checks",
  ];
}

function pairFaults(columns: readonly PgColumn[], references: readonly PgColumn[]): string[] {
  if (columns.length === 0) return ["names no column"];
  if (columns.length === references.length) return [];
  return [`has ${columns.length} columns and ${references.length} references; give as many of both`];
}

function oneOf(option: string, value: string, values: readonly string[]): string[] {
  return values.includes(value)
    ? []
    : [`${option} is ${value}${didYouMean(String(value), values)}; give ${values.join(", ")}`];
}

function toleranceFaults(tolerance: number): string[] {
  return Number.isFinite(tolerance) && tolerance >= 0 ? [] : [`tolerance is ${tolerance}; give 0 or more`];
}

function freshnessFaults(maxAge: string): string[] {
  if (/^\d+ (second|minute|hour|day|week|month|year)s?$/.test(maxAge)) return [];
  return [`maxAge is ${JSON.stringify(maxAge)}; write a number and a unit, such as "90 minutes" or "2 days"`];
}

function zoneFaults(timeZone: string): string[] {
  return isTimeZone(timeZone) ? [] : [`unknown time zone "${timeZone}"; write it like "Europe/Bratislava"`];
}

/** A partition that ends within a local day would have an incomplete one by its nature. */
function wholeDayFaults({ partitions }: Derived, rule: CompleteDaysRule): string[] {
  if (partitions.kind !== "time") return [];
  if (partitions.unit === "hour") return ["the partitions are hours, and a day has many; partition by the day"];
  if (partitions.timeZone === rule.timeZone || !isTimeZone(rule.timeZone)) return [];
  return [`the partitions are days of ${partitions.timeZone} and not of ${rule.timeZone}; use one zone`];
}

function alsoFaults(also: Readonly<Record<string, number>>): string[] {
  return Object.entries(also)
    .filter(([code, digits]) => !/^[A-Z]{3}$/.test(code) || !Number.isInteger(digits) || digits < 0 || digits > 6)
    .map(([code, digits]) => `also has ${code}: ${digits}; give codes of three capitals and 0 to 6 decimal places`);
}
