/**
 * Declared checks as probes, so that a partition is checked in the pass that writes it. As in a CHECK constraint, a rule
 * about a value is broken where it is false; a null breaks only `notNull`.
 */
import type { Check } from "../catalog/check.ts";
import type { Derived } from "../catalog/dataset.ts";
import type { LiveColumn } from "../warehouse/columns.ts";
import type { LiveConstraints } from "../warehouse/constraints.ts";
import type { Probe } from "../warehouse/probe.ts";
import { constant, identifier } from "../warehouse/quote.ts";
import { impliedProbes } from "./implied.ts";

/** Everything that a partition is measured for: implied checks first, then declared ones. The same for every partition. */
export function taskProbes(
  derived: Derived,
  columns: readonly LiveColumn[],
  constraints: LiveConstraints,
): readonly Probe[] {
  return [...impliedProbes(derived, columns, constraints), ...derived.checks.map(compileCheck)];
}

export function compileCheck(check: Check): Probe {
  const { name, severity } = check;
  switch (check.kind) {
    case "unique": {
      const columns = check.columns.map((column) => column.name);
      return { kind: "unique", name, severity, message: `rows that repeat ${columns.join(", ")}`, columns };
    }
    case "notNull": {
      const columns = check.columns.map((column) => column.name);
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

function rangeProbe({ name, severity, column, min, max }: Extract<Check, { kind: "range" }>): Probe {
  const reference = identifier(column.name);
  const bounds = [
    ...(min === undefined ? [] : [`${reference} >= ${constant(min)}`]),
    ...(max === undefined ? [] : [`${reference} <= ${constant(max)}`]),
  ];
  const failing = bounds.length === 0 ? "false" : `(${bounds.join(" and ")}) is false`;
  const message = `rows with ${column.name} outside of ${min ?? "-∞"} to ${max ?? "∞"}`;
  return { kind: "row", name, severity, message, failing };
}

function rowCountProbe({ name, severity, min, max }: Extract<Check, { kind: "rowCount" }>): Probe {
  const bounds = [
    ...(min === undefined ? [] : [`count(*) < ${constant(min)}`]),
    ...(max === undefined ? [] : [`count(*) > ${constant(max)}`]),
  ];
  return {
    kind: "aggregate",
    name,
    severity,
    message: `the number of rows is not within ${min ?? 0} to ${max ?? "∞"}`,
    failures: bounds.length === 0 ? "0" : `(${bounds.join(" or ")})::int`,
    evidence: "select count(*) as rows from candidate",
  };
}

function conservesProbe(check: Extract<Check, { kind: "conserves" }>): Probe {
  const { name, severity, column, input, inputColumn, tolerance } = check;
  const sum = (reference: string) => `coalesce(sum((${reference})::text::numeric), 0)`;
  const output = sum(identifier(column.name));
  const handle = identifier(input);
  const given = `(select ${sum(`${handle}.${identifier(inputColumn.name)}`)} from ${handle})`;
  // Not a number equals itself here, and its distance to anything is no distance.
  const apart = `${output} <> ${given}${tolerance === 0 ? "" : ` and abs(${output} - ${given}) > ${constant(tolerance)}`}`;
  return {
    kind: "aggregate",
    name,
    severity,
    message: `the sum of ${column.name} is not the sum of ${input}.${inputColumn.name}`,
    failures: `(${apart})::int`,
    evidence: `select ${output} as output, ${given} as input from candidate`,
  };
}
