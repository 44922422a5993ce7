/** Which tables the rules about live content read: as long as nobody writes to one of them, they find what they found. */
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Check } from "../catalog/check.ts";
import type { Derived } from "../catalog/dataset.ts";
import type { LiveConstraints } from "../warehouse/constraints.ts";
import type { Probe } from "../warehouse/probe.ts";
import { tableName } from "../warehouse/quote.ts";

/** Quoted, qualified names: the dataset's own table, its inputs where a rule may read them, and what rules refer to. */
export function tablesRead(derived: Derived, probes: readonly Probe[], constraints: LiveConstraints): string[] {
  const readsInputs = probes.some(({ kind }) => kind === "aggregate" || kind === "statement");
  const inputs = readsInputs ? derived.inputs.map(({ dataset }) => tableName(dataset.table)) : [];
  const referenced = constraints.foreignKeys.map((key) => key.referenced);
  const declared = derived.checks.flatMap(referredColumn).map((column) => tableName(column.table));
  return [...new Set([tableName(derived.table), ...inputs, ...referenced, ...declared])];
}

/** Whether what the rules find depends on when they are asked. */
export function readsClock(derived: Derived): boolean {
  return derived.checks.some((check) => check.kind === "freshness" && check.input === undefined);
}

/** A column of the live table that a check looks things up in. */
function referredColumn(check: Check): PgColumn[] {
  if (check.kind === "foreignKey" && check.input === undefined) return check.references.slice(0, 1);
  if (check.kind === "category" && "from" in check.mapping) return [check.mapping.from];
  return [];
}
