/**
 * Declared checks as probes, so that a partition is checked in the pass that writes it. As in a CHECK constraint, a rule
 * about a value is broken where it is false; a null breaks only `notNull`.
 */
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Check } from "../catalog/check.ts";
import { namesOf } from "../catalog/check-of.ts";
import type { Derived } from "../catalog/dataset.ts";
import { isRule } from "../catalog/rule.ts";
import type { LiveColumn } from "../warehouse/columns.ts";
import type { LiveConstraints } from "../warehouse/constraints.ts";
import type { Probe } from "../warehouse/probe.ts";
import { constant, identifier, identifiers, literal, tableName } from "../warehouse/quote.ts";
import { compileRule } from "./compile-rule.ts";
import { apart, filtered, instantOf } from "./fragment.ts";
import { impliedProbes } from "./implied.ts";
import { ruleHash } from "./rule-hash.ts";

type Of<Kind extends Check["kind"]> = Extract<Check, { kind: Kind }>;

/** Everything that a partition is measured for: implied checks first, then declared ones. The same for every partition. */
export function taskProbes(
  derived: Derived,
  columns: readonly LiveColumn[],
  constraints: LiveConstraints,
): readonly Probe[] {
  const declared = derived.checks.flatMap((check) => compileCheck(check) ?? []);
  return [...impliedProbes(derived, columns, constraints), ...declared].map(versioned);
}

/** With the hash of what is asked; how it is worded for people does not count. */
function versioned(probe: Probe): Probe {
  const { message: _message, about: _about, ...asked } = probe;
  return { ...probe, rule: ruleHash(asked) };
}

/** The probe of one partition; undefined where a check is about the whole dataset alone. */
export function compileCheck(check: Check): Probe | undefined {
  if (isRule(check)) return compileRule(check);
  const { name, severity } = check;
  switch (check.kind) {
    case "unique": {
      const columns = namesOf(check.columns);
      return { kind: "unique", name, severity, message: `rows that repeat ${columns.join(", ")}`, columns };
    }
    case "notNull": {
      const columns = namesOf(check.columns);
      const failing = columns.map((column) => `${identifier(column)} is null`).join(" or ");
      return { kind: "row", name, severity, message: `rows with a null in ${columns.join(" or ")}`, failing };
    }
    case "accepted": {
      const accepted = check.values.map(constant).join(", ");
      const failing = `(${identifier(check.column.name)} in (${accepted})) is false`;
      return { kind: "row", name, severity, message: `rows with another value in ${check.column.name}`, failing };
    }
    case "range":
      return rangeProbe(check);
    case "rowCount":
      return rowCountProbe(check);
    case "conserves":
      return conservesProbe(check);
    case "foreignKey":
      return foreignKeyProbe(check);
    case "cardinality":
      return cardinalityProbe(check);
    case "monotonic":
      return monotonicProbe(check);
    case "freshness":
      return check.input === undefined ? undefined : freshnessProbe(check, check.input, check.inputColumn as PgColumn);
    case "sql":
      return {
        kind: "row",
        name,
        severity,
        message: `rows that break ${name}`,
        failing: `(${check.expression}\n) is false`,
      };
    case "query":
      return { kind: "statement", name, severity, message: `rows found by ${name}`, statement: check.statement };
  }
}

function rangeProbe({ name, severity, column, min, max }: Of<"range">): Probe {
  const reference = identifier(column.name);
  const bounds = [
    ...(min === undefined ? [] : [`${reference} >= ${constant(min)}`]),
    ...(max === undefined ? [] : [`${reference} <= ${constant(max)}`]),
  ];
  const failing = bounds.length === 0 ? "false" : `(${bounds.join(" and ")}) is false`;
  const message = `rows with ${column.name} outside of ${min ?? "-∞"} to ${max ?? "∞"}`;
  return { kind: "row", name, severity, message, failing };
}

function rowCountProbe({ name, severity, min, max }: Of<"rowCount">): Probe {
  const bounds = [
    ...(min === undefined ? [] : [`count(*) < ${constant(min)}`]),
    ...(max === undefined ? [] : [`count(*) > ${constant(max)}`]),
  ];
  return {
    kind: "aggregate",
    name,
    severity,
    message: `the number of rows is not within ${min ?? 0} to ${max ?? "∞"}`,
    about: [],
    failures: bounds.length === 0 ? "0" : `(${bounds.join(" or ")})::int`,
    evidence: "select count(*) as rows from candidate",
  };
}

function conservesProbe(check: Of<"conserves">): Probe {
  const { name, severity, column, input, inputColumn, tolerance } = check;
  const output = total(column?.name, check.where);
  const given = `(select ${total(inputColumn?.name, check.inputWhere)} from ${identifier(input)})`;
  const message =
    column === undefined || inputColumn === undefined
      ? `the number of rows is not that of ${input}`
      : `the sum of ${column.name} is not the sum of ${input}.${inputColumn.name}`;
  return {
    kind: "aggregate",
    name,
    severity,
    message,
    about: namesOf([column, inputColumn].filter((each) => each !== undefined)),
    failures: `(${apart(output, given, tolerance)})::int`,
    evidence: `select ${output} as output, ${given} as input from candidate`,
  };
}

/** The sum of a column, or the number of rows, over those that a filter lets through. */
function total(column: string | undefined, filter: string | undefined): string {
  if (column === undefined) return filtered("count(*)", filter);
  return `coalesce(${filtered(`sum((${identifier(column)})::text::numeric)`, filter)}, 0)`;
}

function foreignKeyProbe({ name, severity, columns, references, input }: Of<"foreignKey">): Probe {
  const target = input === undefined ? tableName((references[0] as PgColumn).table) : identifier(input);
  const own = columns.map((column) => `candidate.${identifier(column.name)}`);
  const match = own.map((column, at) => `there.${identifier((references[at] as PgColumn).name)} = ${column}`);
  return {
    kind: "statement",
    name,
    severity,
    message: `rows that refer to nothing in ${input ?? target} (${namesOf(columns).join(", ")})`,
    about: [],
    statement: `select candidate.* from candidate where num_nulls(${own.join(", ")}) = 0
  and not exists (select from ${target} as there where ${match.join(" and ")})`,
  };
}

const brokenBy = {
  oneToOne: "own.rows is distinct from 1 or given.rows is distinct from 1",
  oneToMany: "own.rows is null or given.rows is distinct from 1",
  manyToOne: "own.rows is distinct from 1 or given.rows is null",
} as const;

function cardinalityProbe(check: Of<"cardinality">): Probe {
  const { name, severity, columns, references, input, is } = check;
  const keys = columns.map((_, at) => `k${at + 1}`);
  const counted = (relation: string, key: readonly PgColumn[], filter: string | undefined) => {
    const names = namesOf(key).map(identifier);
    const present = [`num_nulls(${names.join(", ")}) = 0`, ...(filter === undefined ? [] : [`(${filter})`])];
    const list = names.map((column, at) => `${column} as k${at + 1}`).join(", ");
    return `(select ${list}, count(*) as rows from ${relation} where ${present.join(" and ")} group by ${names.join(", ")})`;
  };
  const shown = keys.map(
    (key, at) => `coalesce(own.${key}, given.${key}) as ${identifier((columns[at] as PgColumn).name)}`,
  );
  return {
    kind: "statement",
    name,
    severity,
    message: `keys that are not ${is} with ${input} (${namesOf(columns).join(", ")})`,
    about: [...namesOf(columns), ...namesOf(references)],
    statement: `select ${shown.join(", ")}, coalesce(own.rows, 0) as rows, coalesce(given.rows, 0) as input_rows
from ${counted("candidate", columns, check.where)} own
full join ${counted(identifier(input), references, check.inputWhere)} given
  on ${keys.map((key) => `own.${key} = given.${key}`).join(" and ")}
where ${brokenBy[is]}`,
  };
}

function monotonicProbe({ name, severity, column, by, within, direction, strict }: Of<"monotonic">): Probe {
  const value = identifier(column.name);
  const previous = identifier(`previous_${column.name}`);
  const shown = identifiers([...new Set(namesOf([...within, by, column]))]);
  const falling = direction === "increasing";
  const group = within.length === 0 ? "" : `partition by ${identifiers(namesOf(within))} `;
  // Rows that are equal in the order are put so that only a strict rule can fail among them.
  const order = `order by ${identifier(by.name)}, ${value}${falling ? "" : " desc"}`;
  return {
    kind: "statement",
    name,
    severity,
    message: `rows in which ${column.name} ${falling ? "falls" : "rises"}${strict ? " or stays" : ""} along ${by.name}`,
    about: namesOf([...within, by, column]),
    statement: `select * from (
  select ${shown}, lag(${value}) over (${group}${order}) as ${previous} from candidate
  where ${value} is not null and ${identifier(by.name)} is not null) as followed
where ${value} ${falling ? "<" : ">"}${strict ? "=" : ""} ${previous}`,
  };
}

function freshnessProbe(check: Of<"freshness">, input: string, inputColumn: PgColumn): Probe {
  const { name, severity, column, maxAge } = check;
  const newest = `max(${instantOf(column)})`;
  const given = `(select max(${instantOf(inputColumn)}) from ${identifier(input)})`;
  return {
    kind: "aggregate",
    name,
    severity,
    message: `the newest ${column.name} lies more than ${maxAge} behind ${input}.${inputColumn.name}`,
    about: namesOf([column, inputColumn]),
    failures: `coalesce(${newest} < ${given} - interval ${literal(maxAge)}, ${given} is not null)::int`,
    evidence: `select ${newest} as newest, ${given} as input_newest from candidate`,
  };
}
