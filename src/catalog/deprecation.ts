/** What will go away: a dataset or one of its columns, since when, what to read instead, and until when it stays. */
import type { PgColumn, PgTable } from "drizzle-orm/pg-core";
import { didYouMean } from "../suggest.ts";
import { isColumnOf, qualified, repeated, tableOf, under } from "./wording.ts";

export interface Deprecation {
  /** A date: 2001-01-31. */
  readonly since: string;
  /** What to read instead, in words: a dataset, a column. Default: nothing takes its place. */
  readonly replacedBy?: string;
  /** The last date on which it is there for certain: 2001-07-31. Default: nothing is said. */
  readonly removeAfter?: string;
}

export interface ColumnDeprecation extends Deprecation {
  readonly column: PgColumn;
}

interface Deprecating {
  readonly table: PgTable;
  readonly deprecated?: Deprecation;
  readonly deprecatedColumns?: readonly ColumnDeprecation[];
}

const options = ["since", "replacedBy", "removeAfter"];

export function deprecationFaults(dataset: Deprecating): string[] {
  const { deprecated, deprecatedColumns = [] } = dataset;
  const known = deprecatedColumns.filter(({ column }) => column !== undefined && isColumnOf(dataset, column));
  const strangers = deprecatedColumns.filter((each) => !known.includes(each));
  return [
    ...(deprecated === undefined ? [] : under("deprecated", faultsOf(deprecated, options))),
    ...strangers.map(({ column }) => {
      const name = (column as PgColumn | undefined) === undefined ? "an undefined column" : qualified(column);
      return `deprecatedColumns: ${name} is not in ${tableOf(dataset)}`;
    }),
    ...repeated(known.map(({ column }) => column.name)).map((name) => `deprecatedColumns: ${name} is listed twice`),
    ...known.flatMap((each) => under(`deprecatedColumns: ${each.column.name}`, faultsOf(each, [...options, "column"]))),
  ];
}

function faultsOf(deprecation: Deprecation, known: readonly string[]): string[] {
  const { since, removeAfter } = deprecation;
  const dates = Object.entries({ since, ...(removeAfter === undefined ? {} : { removeAfter }) });
  const wrong = dates.filter(([, date]) => !isDate(date));
  return [
    ...Object.keys(deprecation)
      .filter((option) => !known.includes(option))
      .map((option) => `unknown option "${option}"${didYouMean(option, known)}`),
    ...wrong.map(([option, date]) => `${option} is ${JSON.stringify(date)}; write a date such as 2001-01-31`),
    ...(wrong.length === 0 && removeAfter !== undefined && removeAfter < since
      ? [`removeAfter is ${removeAfter}, before ${since}; give a later date`]
      : []),
  ];
}

function isDate(text: string): boolean {
  // A day that a month does not have is read as one of the next month.
  const read = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(text) : undefined;
  return read !== undefined && !Number.isNaN(read.getTime()) && read.toISOString().startsWith(text);
}
