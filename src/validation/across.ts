/**
 * What only the whole dataset can show, as it will be after promotion: uniqueness across partitions, foreign keys and
 * freshness. Asked once all of its tasks are done.
 */
import type { FreshnessCheck } from "../catalog/check.ts";
import { namesOf } from "../catalog/check-of.ts";
import type { Derived } from "../catalog/dataset.ts";
import {
  danglingAfterPromotion,
  type LiveConstraints,
  type Recomputed,
  repeatedAfterPromotion,
  rowsAfterPromotion,
  targetOf,
  type UniqueIndex,
} from "../warehouse/constraints.ts";
import type { DatasetProbe } from "../warehouse/probe.ts";
import { identifier, literal } from "../warehouse/quote.ts";
import { instantOf } from "./fragment.ts";
import { ownership, withinPartition } from "./implied.ts";
import { ruleHash } from "./rule-hash.ts";

/** `parts` are all datasets that the backfill recomputes; there is nothing to ask where `derived` is not among them. */
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
        about: key.columns,
        rule: ruleHash({ foreignKey: key }),
        statement: danglingAfterPromotion(own, key, targetOf(key, parts)),
      }),
    ),
    ...derived.checks.flatMap((check) =>
      check.kind === "freshness" && check.input === undefined ? [freshnessProbe(own, check)] : [],
    ),
  ];
}

function freshnessProbe(own: Recomputed, { name, severity, column, maxAge }: FreshnessCheck): DatasetProbe {
  return {
    kind: "dataset",
    name,
    severity,
    message: `the newest ${column.name} is older than ${maxAge}`,
    about: [column.name],
    rule: ruleHash({ freshness: column.name, maxAge, severity }),
    statement: `select newest from (
  select max(${instantOf(column)}) as newest from (${rowsAfterPromotion(own, [column.name])}) as r) as n
where (newest >= clock_timestamp() - interval ${literal(maxAge)}) is not true`,
  };
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
  const checks = derived.checks.flatMap((check) =>
    check.kind === "unique" ? [rule(check.name, namesOf(check.columns), check.severity)] : [],
  );
  return [rule("key_unique", namesOf(derived.key), "error"), ...checks];
}

/** A primary key and the definition's key are one rule, if they name the same columns; the first of them stays. */
function withoutRepeats(rules: readonly UniqueRule[]): UniqueRule[] {
  const identity = (rule: UniqueRule) =>
    JSON.stringify([[...rule.expressions].sort(), rule.predicate, rule.nullsDistinct]);
  return [...new Map([...rules].reverse().map((rule) => [identity(rule), rule])).values()].reverse();
}

function uniqueDatasetProbe(own: Recomputed, rule: UniqueRule): DatasetProbe {
  const severity = rule.severity ?? "error";
  return {
    kind: "dataset",
    name: rule.severity === undefined ? `unique(${rule.name})` : `${rule.name}_in_dataset`,
    severity,
    message: `values that would be there more than once (${rule.expressions.join(", ")})`,
    about: rule.columns,
    // The statement names the tables of a backfill, and would be another one in the next.
    rule: ruleHash({
      unique: rule.expressions,
      predicate: rule.predicate,
      nullsDistinct: rule.nullsDistinct,
      severity,
    }),
    statement: repeatedAfterPromotion(own, rule),
  };
}
