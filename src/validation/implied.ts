/**
 * The checks that nobody can switch off: rows lie in their partition, keys are whole and unique, and the live table's own
 * constraints hold. What one partition can show is measured as it is written; the rest is asked of the whole dataset
 * (across.ts). Constraints that mention columns which the transform does not own are left to promotion.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { LiveColumn } from "../warehouse/columns.ts";
import type { LiveConstraints, UniqueIndex } from "../warehouse/constraints.ts";
import { partitionColumns } from "../warehouse/predicate.ts";
import type { Probe } from "../warehouse/probe.ts";
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
    ...(derived.allowEmpty ? [] : [emptiedProbe]),
    ...columns.filter((column) => column.notNull && !key.includes(column.name)).map(notNullProbe),
    ...constraints.checks.filter((constraint) => constraint.columns.every(owns)).map(constraintProbe),
    ...constraints.uniques
      .filter((index) => index.columns.every(owns) && withinPartition(derived, index) && !impliedByKey(key, index))
      .map(uniqueProbe),
  ];
}

const emptiedProbe: Probe = {
  kind: "emptied",
  name: "not_emptied",
  severity: "error",
  message: "live rows would go, because the partition came out empty although its inputs have rows; see allowEmpty",
};

/** Whether a column is owned, by name. */
export function ownership(derived: Derived): (name: string) => boolean {
  const owned = new Set(derived.owned.map((column) => column.name));
  return (name) => owned.has(name);
}

/** Rows that agree in the partition column are in one partition, so a rule that includes it can be measured there. */
export function withinPartition(
  derived: Derived,
  index: Pick<UniqueIndex, "plain" | "nullsDistinct" | "columns">,
): boolean {
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
