/** Masked columns: whose values are replaced wherever rows are shown to people. */
import type { Dataset, Derived } from "../catalog/dataset.ts";
import type { DatasetProbe, Probe } from "./probe.ts";

const placeholder = "(masked)";

/** Names that evidence queries give to counts, which tell nothing about a value. */
const counts = ["rows", "repeats", "hours", "expected_hours", "input_rows", "currencies", "problem"];

/** Whether a value may not be shown, by the name that it has in the row. */
export type Hidden = (name: string) => boolean;

/** By the column's own name; a column that an input masks is hidden here under the same name. */
export function columnsHidden(derived: Derived): Hidden {
  const names = maskedNames(derived);
  return (name) => names.has(name);
}

/**
 * In the evidence of a probe. A query may show values under names of its own, so where it may show those of a masked
 * column, only columns that are known not to be masked are left open.
 */
export function valuesHidden(derived: Derived, probe: Probe | DatasetProbe): Hidden {
  const byName = columnsHidden(derived);
  const names = maskedNames(derived);
  const renames = probe.kind === "statement" || probe.kind === "aggregate" || probe.kind === "dataset";
  if (names.size === 0 || !renames) return byName;
  if (probe.about?.every((name) => !names.has(name))) return byName;
  const open = new Set([...derived.owned.map((column) => column.name), ...counts]);
  return (name) => byName(name) || !open.has(name);
}

/**
 * In rows of an input that are shown to explain a row of `derived`. A source has no masks of its own, so what one of its
 * `readers` masks is hidden in it under the same name. The values that `derived` masks may have other names there: where it
 * has masks, only columns of the source are left open that are its own as well.
 */
export function inputHidden(derived: Derived, input: Dataset, readers: readonly Derived[]): Hidden {
  const own = maskedNames(derived);
  if (input.kind === "derived") {
    const byName = columnsHidden(input);
    return (name) => own.has(name) || byName(name);
  }
  const names = new Set([...own, ...readers.flatMap((reader) => [...maskedNames(reader)])]);
  const open = new Set(derived.owned.map((column) => column.name));
  return (name) => names.has(name) || (own.size > 0 && !open.has(name));
}

/** The row with a placeholder for every hidden value; a null stays one. */
export function maskRow<Row extends Readonly<Record<string, string | null>>>(row: Row, hidden: Hidden): Row {
  const values = Object.entries(row).map(([name, value]) => [
    name,
    value !== null && hidden(name) ? placeholder : value,
  ]);
  return Object.fromEntries(values) as Row;
}

function maskedNames(derived: Derived): ReadonlySet<string> {
  const inputs = derived.inputs.flatMap(({ dataset }) => (dataset.kind === "derived" ? dataset.mask : []));
  return new Set([...derived.mask, ...inputs].map((column) => column.name));
}
