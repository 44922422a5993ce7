/**
 * The checks that nobody can switch off: rows lie in their partition, keys are whole and unique, and the live table's own
 * constraints hold. What one partition can show is measured as it is written; the rest is asked of the whole dataset once
 * all of its tasks are done. Constraints that mention columns which the transform does not own are left to promotion.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { LiveColumn } from "../warehouse/columns.ts";
import {
  danglingAfterPromotion,
  type LiveConstraints,
  type Recomputed,
  repeatedAfterPromotion,
  targetOf,
  type UniqueIndex,
} from "../warehouse/constraints.ts";
import { partitionColumns } from "../warehouse/predicate.ts";
import type { DatasetProbe, Probe } from "../warehouse/probe.ts";
import { identifier } from "../warehouse/quote.ts";

/** What every partition of the dataset is measured for, besides its declared checks. `columns` are the owned ones. */
export function impliedProbes(
  derived: Derived,
  columns: readonly LiveColumn[],
  constraints: LiveConstraints,
): readonly Probe[] {
  const key = derived.key.map((column) => column.name);
  const owns = ownership(derived);
  return [
    { kind: "outside", name: "row_outside_partition", severity: "error", message: "rows outside of their partition" },
    {
      kind: "row",
      name: "key_not_null",
      severity: "error",
      message: `rows with a null in their key (${key.join(", ")})`,
      failing: key.map((name) => `${identifier(name)} is null`).join(" or "),
    },
    {
      kind: "unique",
      name: "key_unique",
      severity: "error",
      message: `rows that repeat a key (${key.join(", ")})`,
      columns: key,
    },
    ...columns.filter((column) => column.notNull && !key.includes(column.name)).map(notNullProbe),
    ...constraints.checks.filter((constraint) => constraint.columns.every(owns)).map(constraintProbe),
    ...constraints.uniques
      .filter((index) => index.columns.every(owns) && withinPartition(derived, index) && !impliedByKey(key, index))
      .map(uniqueProbe),
  ];
}

/**
 * What can only be seen over the whole dataset, as it will be after promotion: uniqueness across partitions and foreign
 * keys. `parts` are all datasets that the backfill recomputes; none where `derived` is not among them.
 */
export function datasetProbes(
  derived: Derived,
  constraints: LiveConstraints,
  parts: readonly Recomputed[],
): readonly DatasetProbe[] {
  const own = parts.find((part) => part.derived.name === derived.name);
  if (own === undefined) return [];
  const owns = ownership(derived);
  const rules = [...constraints.uniques.filter((index) => index.columns.every(owns)), ...declaredRules(derived)];
  const uniques = rules.filter((rule) => !withinPartition(derived, rule));
  const keys = constraints.foreignKeys.filter((key) => key.columns.every(owns));
  return [
    ...withoutRepeats(uniques).map((rule): DatasetProbe => uniqueDatasetProbe(own, rule)),
    ...keys.map(
      (key): DatasetProbe => ({
        kind: "dataset",
        name: `foreign_key(${key.name})`,
        severity: "error",
        message: `rows that refer to nothing in ${key.referenced} (${key.columns.join(", ")})`,
        statement: danglingAfterPromotion(own, key, targetOf(key, parts)),
      }),
    ),
  ];
}

interface UniqueRule extends UniqueIndex {
  readonly severity?: "error" | "warn";
}

/** The key itself, which need not have an index, and every declared `check.unique`: both are about the whole dataset. */
function declaredRules(derived: Derived): UniqueRule[] {
  const rule = (name: string, columns: readonly string[], severity: "error" | "warn"): UniqueRule => ({
    name,
    expressions: columns.map(identifier),
    columns,
    predicate: null,
    nullsDistinct: true,
    plain: true,
    severity,
  });
  const names = derived.key.map((column) => column.name);
  const checks = derived.checks.flatMap((check) =>
    check.kind === "unique"
      ? [
          rule(
            check.name,
            check.columns.map((column) => column.name),
            check.severity,
          ),
        ]
      : [],
  );
  return [rule("key_unique", names, "error"), ...checks];
}

/** A primary key and the definition's key are one rule, if they name the same columns; the first of them stays. */
function withoutRepeats(rules: readonly UniqueRule[]): UniqueRule[] {
  const identity = (rule: UniqueRule) =>
    JSON.stringify([[...rule.expressions].sort(), rule.predicate, rule.nullsDistinct]);
  return [...new Map([...rules].reverse().map((rule) => [identity(rule), rule])).values()].reverse();
}

function uniqueDatasetProbe(own: Recomputed, rule: UniqueRule): DatasetProbe {
  return {
    kind: "dataset",
    name: rule.severity === undefined ? `unique(${rule.name})` : `${rule.name}_in_dataset`,
    severity: rule.severity ?? "error",
    message: `values that would be there more than once (${rule.expressions.join(", ")})`,
    statement: repeatedAfterPromotion(own, rule),
  };
}

function ownership(derived: Derived): (name: string) => boolean {
  const owned = new Set(derived.owned.map((column) => column.name));
  return (name) => owned.has(name);
}

/** Rows that agree in the partition column are in one partition, so a rule that includes it can be measured there. */
function withinPartition(derived: Derived, index: Pick<UniqueIndex, "plain" | "nullsDistinct" | "columns">): boolean {
  if (!index.plain || !index.nullsDistinct) return false;
  return partitionColumns(derived.partitions).every((name) => index.columns.includes(name));
}

function impliedByKey(key: readonly string[], index: UniqueIndex): boolean {
  return key.every((name) => index.columns.includes(name));
}

function notNullProbe({ name }: LiveColumn): Probe {
  return {
    kind: "row",
    name: `not_null(${name})`,
    severity: "error",
    message: `rows with a null in ${name}, which the live table does not take`,
    failing: `${identifier(name)} is null`,
  };
}

function constraintProbe({ name, expression }: LiveConstraints["checks"][number]): Probe {
  return {
    kind: "row",
    name: `constraint(${name})`,
    severity: "error",
    message: `rows that violate the live table's constraint ${name}`,
    failing: `(${expression}) is false`,
  };
}

function uniqueProbe({ name, columns }: UniqueIndex): Probe {
  return {
    kind: "unique",
    name: `unique(${name})`,
    severity: "error",
    message: `rows that repeat a value of the unique index ${name} (${columns.join(", ")})`,
    columns,
  };
}
