/** Checks and rules as sentences for people who do not read code. */
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Check } from "./check.ts";

/** One sentence, with a full stop; a warning says that it only tells. */
export function plainRule(check: Check): string {
  const sentence = ruleText(check);
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}${check.severity === "warn" ? " (only a warning)" : ""}.`;
}

function ruleText(check: Check): string {
  switch (check.kind) {
    case "unique":
      return `no two rows have the same ${list(check.columns, "and")}`;
    case "notNull":
      return `${list(check.columns, "and")} ${check.columns.length === 1 ? "is" : "are"} always filled in`;
    case "accepted":
      return `${check.column.name} is one of ${check.values.join(", ")}`;
    case "range":
      return `${check.column.name} is ${between(check.min, check.max)}`;
    case "rowCount":
      return `each partition has ${between(check.min, check.max)} rows`;
    case "conserves":
      return check.column === undefined
        ? `there are as many rows as in ${check.input}`
        : `the sum of ${check.column.name} is that of ${check.inputColumn?.name ?? "the same"} in ${check.input}`;
    case "foreignKey":
      return `every ${list(check.columns, "with")} is found among ${list(check.references, "with")}${check.input === undefined ? "" : ` of ${check.input}`}`;
    case "cardinality":
      return `${cardinalities[check.is]} of ${check.input} by ${list(check.columns, "and")}`;
    case "monotonic":
      return `${check.column.name} never ${check.direction === "increasing" ? "falls" : "rises"} along ${check.by.name}`;
    case "freshness":
      return `the newest ${check.column.name} is at most ${check.maxAge} old`;
    case "currency":
      return `${check.code.name} is a currency${check.amounts.length === 0 ? "" : `, and ${list(check.amounts, "and")} fit it`}`;
    case "unmixed":
      return `${check.column.name} never adds up different currencies`;
    case "timeZone":
      return `${check.column.name} is the date of ${check.instant.name} in ${check.timeZone}`;
    case "completeDays":
      return `every day has all of its hours, in ${check.timeZone}`;
    case "category":
      return `${check.column.name} is assigned as agreed, and no category is left out`;
    case "unit":
      return `${check.column.name} is possible as ${check.unit}`;
    case "conversion":
      return `${check.column.name} is ${check.of.name} in another unit`;
    case "sql":
    case "query":
      return check.name;
  }
}

const cardinalities = {
  oneToOne: "each row belongs to exactly one row",
  oneToMany: "each row belongs to one or more rows",
  manyToOne: "one or more rows belong to each row",
} as const;

function list(columns: readonly PgColumn[], word: string): string {
  const names = columns.map(({ name }) => name);
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} ${word} ${names.at(-1)}`;
}

function between(min: number | string | undefined, max: number | string | undefined): string {
  if (min === undefined) return max === undefined ? "any number of" : `at most ${max}`;
  return max === undefined ? `at least ${min}` : `from ${min} to ${max}`;
}
