/**
 * What of one input a row was computed from. The mapping names the partitions; where the input has columns of the key's
 * names and types, the key narrows them down to rows. Of what was recomputed too, the rows are shown that differ; of what
 * is live, those that are read.
 */
import type { Dataset, Derived } from "../catalog/dataset.ts";
import { describePartitions } from "../catalog/label.ts";
import { isEmpty, type Ranges } from "../catalog/ranges.ts";
import type { BisectedInput } from "../report.ts";
import type { Tx } from "../tx.ts";
import { type Binding, readableColumns } from "../warehouse/bind.ts";
import type { TextRow } from "../warehouse/bisect.ts";
import type { Differences } from "../warehouse/compare.ts";
import { type Hidden, maskRow } from "../warehouse/mask.ts";
import type { Target } from "../warehouse/target.ts";
import { differingInput, inputRows, type Narrowing } from "../warehouse/trace.ts";

export interface InputTrace {
  readonly derived: Derived;
  readonly row: TextRow;
  readonly binding: Binding;
  readonly hidden: Hidden;
  /** What differs in the input, where the backfill recomputes it. */
  readonly recomputed: { readonly target: Target; readonly found: Differences } | undefined;
  /** The input's live content is that from which the live row was computed. */
  readonly settled: boolean;
}

const rowsShown = 3;

/** Of a part that was recomputed and a part that is live, those that there are. */
export async function traceInput(tx: Tx, trace: InputTrace): Promise<BisectedInput[]> {
  const { binding, recomputed } = trace;
  const traced: BisectedInput[] = [];
  if (recomputed !== undefined && !isEmpty(binding.recomputed)) traced.push(await differing(tx, trace, recomputed));
  if (binding.everything === true) traced.push(await read(tx, trace, null));
  else if (!isEmpty(binding.live)) traced.push(await read(tx, trace, binding.live));
  return traced;
}

async function differing(
  tx: Tx,
  trace: InputTrace,
  { target, found }: NonNullable<InputTrace["recomputed"]>,
): Promise<BisectedInput> {
  const partitions = trace.binding.recomputed;
  const { result, narrowedBy } = await narrowed(trace, ({ narrowing, limit }) =>
    differingInput(tx, target, found, { partitions, narrowing, limit }),
  );
  const rows = result.rows.map(({ before, after }) => ({ before: shown(trace, before), after: shown(trace, after) }));
  return { ...about(trace, partitions), from: "candidate", narrowedBy, differing: result.count, rows };
}

async function read(tx: Tx, trace: InputTrace, partitions: Ranges | null): Promise<BisectedInput> {
  const { dataset } = trace.binding.input;
  const { result, narrowedBy } = await narrowed(trace, async ({ narrowing, limit }) => {
    const rows = await inputRows(tx, dataset, { partitions, narrowing, limit });
    return { rows, count: rows.length };
  });
  const rows = result.rows.map((row) => ({ before: null, after: shown(trace, row) }));
  return { ...about(trace, partitions), from: "live", narrowedBy, differing: trace.settled ? 0 : null, rows };
}

function about({ binding: { input } }: InputTrace, partitions: Ranges | null) {
  const labels = partitions === null ? "all" : describePartitions(input.dataset.partitions, partitions);
  return { input: input.name, dataset: input.dataset.name, partitions: labels };
}

/** Equal names need not mean the same thing: where the key leads to nothing, the whole partitions are looked at. */
async function narrowed<Result extends { readonly count: number }>(
  { derived, row, binding }: InputTrace,
  find: (by: { readonly narrowing: Narrowing; readonly limit: number }) => Promise<Result>,
): Promise<{ result: Result; narrowedBy: string[] }> {
  const narrowing = narrowingOf(derived, binding.input.dataset, row);
  const narrowedBy = Object.keys(narrowing);
  const result = await find({ narrowing, limit: rowsShown });
  if (narrowedBy.length === 0 || result.count > 0) return { result, narrowedBy };
  return { result: await find({ narrowing: {}, limit: rowsShown }), narrowedBy: [] };
}

/** The key's values for columns that the input has under the same name and type. */
function narrowingOf(derived: Derived, dataset: Dataset, row: TextRow): Narrowing {
  const readable = readableColumns(dataset);
  const shared = derived.key.flatMap((column) => {
    const value = row[column.name];
    const same = readable.find((other) => other.name === column.name)?.getSQLType() === column.getSQLType();
    return same && value !== null && value !== undefined ? [[column.name, value] as const] : [];
  });
  return Object.fromEntries(shared);
}

function shown({ hidden }: InputTrace, row: TextRow | null): TextRow | null {
  return row === null ? null : maskRow(row, hidden);
}
