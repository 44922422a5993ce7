/**
 * Input handles as common table expressions, bound partition by partition: of each input, the candidate's rows for the
 * partitions that this backfill recomputed, and live rows for those that it reuses.
 */

import { getTableColumns } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import type { Dataset, Derived, Input } from "../catalog/dataset.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { predicateOf } from "./predicate.ts";
import { identifier, identifiers, tableName } from "./quote.ts";

/** Where one input's rows come from, for one task. */
export interface Binding {
  readonly input: Input;
  /** Partitions read from the candidate. Always empty for a source. */
  readonly recomputed: Ranges;
  /** The candidate's quoted, qualified name; used only where `recomputed` is not empty. */
  readonly candidate: string;
  /** Partitions read from the live table. */
  readonly live: Ranges;
  /** A source that is read as a whole: every row that lies in any partition, whatever came since the plan. */
  readonly everything?: boolean;
}

/** `"orders" as not materialized (…), …`: one expression an input, or an empty text where there are none. */
export function bindInputs(derived: Derived, bindings: readonly Binding[]): string {
  return derived.inputs
    .map((input) => {
      const binding = bindings.find((candidate) => candidate.input.name === input.name);
      return `${identifier(input.name)} as not materialized (\n  ${rowsOf(input, binding)}\n)`;
    })
    .join(", ");
}

/** An input without a binding has no partitions for this task, and so no rows; its columns must still be there. */
function rowsOf(input: Input, binding: Binding | undefined): string {
  const columns = identifiers(readableColumns(input.dataset).map((column) => column.name));
  const scheme = input.dataset.partitions;
  const select = (table: string, ranges: Ranges) =>
    `select ${columns} from ${table} where ${predicateOf(scheme, ranges)}`;
  if (binding?.everything === true) {
    const inAny = scheme.kind === "whole" ? "true" : `${identifier(scheme.column.name)} is not null`;
    return `select ${columns} from ${tableName(input.dataset.table)} where ${inAny}`;
  }
  const parts: string[] = [];
  if (binding && binding.recomputed.length > 0) parts.push(select(binding.candidate, binding.recomputed));
  const live = binding?.live ?? [];
  if (live.length > 0 || parts.length === 0) parts.push(select(tableName(input.dataset.table), live));
  return parts.join("\n  union all ");
}

/** A candidate has the owned columns alone, so those are all that can be read of a derived dataset. */
export function readableColumns(dataset: Dataset): readonly PgColumn[] {
  return dataset.kind === "derived" ? dataset.owned : Object.values<PgColumn>(getTableColumns(dataset.table));
}
