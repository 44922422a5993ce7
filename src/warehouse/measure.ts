/**
 * One task's write, measured in the pass that writes it: the number of rows, the content hash and every probe as columns
 * of a single statement (docs/decisions/0004-measure-in-the-same-pass.md has the figures).
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Binding } from "./bind.ts";
import type { LiveColumn } from "./columns.ts";
import { contentHash, isHashable } from "./digest.ts";
import { predicateOf } from "./predicate.ts";
import type { Failure, Probe } from "./probe.ts";
import { identifier, identifiers, tableName } from "./quote.ts";

/** Everything that the computation of one partition needs; a plain value. */
export interface TaskSpec {
  readonly derived: Derived;
  readonly ordinal: number;
  /** The candidate's quoted, qualified name. */
  readonly candidate: string;
  readonly bindings: readonly Binding[];
  /** The owned columns as the live table has them (`ownedOf(derived, await liveColumns(tx, derived))`). */
  readonly columns: readonly LiveColumn[];
  readonly probes: readonly Probe[];
  /** Rows of an earlier attempt may be in the candidate; they are deleted first. */
  readonly replace: boolean;
  /** Where the rows are taken over, and not computed. */
  readonly adopts?: RowsOfEarlier;
}

/** Rows that an earlier backfill has computed for the same partition. */
export interface RowsOfEarlier {
  /** Its candidate's quoted, qualified name. */
  readonly table: string;
  /** Of those who computed them. */
  readonly stamp: string;
  /** The content hash that it has measured. */
  readonly outputHash: string;
}

export interface Measured {
  readonly rowsWritten: number;
  /** Rows that `map` was given; null for `select`, which reads inside Postgres. */
  readonly rowsRead: number | null;
  readonly outputHash: string;
  readonly failures: readonly Failure[];
  /** When the measuring statement ended: an instant of Postgres as text. */
  readonly measuredAt: string;
}

/** The row that `measurement` gives. */
export interface MeasuredRow {
  readonly measured: readonly (string | null)[];
  readonly measuredAt: string;
}

/** The task's own partition as a condition on its rows. */
export function partitionOf(spec: TaskSpec): string {
  return predicateOf(spec.derived.partitions, [[spec.ordinal, spec.ordinal + 1]]);
}

/** The owned columns' quoted names. */
export function ownedList(spec: TaskSpec): string {
  return identifiers(spec.columns.map((column) => column.name));
}

/** `select` of all measurements over the relation `candidate`, a common table expression of the owned columns. */
export function measurement(spec: TaskSpec): string {
  const columns = ["count(*)::text", contentHash(spec.columns), ...spec.probes.map((probe) => failuresOf(spec, probe))];
  return `select array[${columns.join(",\n  ")}] as measured, clock_timestamp()::text as "measuredAt" from candidate`;
}

export function measuredOf(spec: TaskSpec, row: MeasuredRow, rowsRead: number | null): Measured {
  const [rows, outputHash, ...counts] = row.measured;
  const failures = spec.probes
    .map((probe, index) => ({ probe, count: Number(counts[index] ?? 0) }))
    .filter((failure) => failure.count > 0);
  return {
    rowsWritten: Number(rows),
    rowsRead,
    outputHash: outputHash as string,
    failures,
    measuredAt: row.measuredAt,
  };
}

function failuresOf(spec: TaskSpec, probe: Probe): string {
  switch (probe.kind) {
    case "row":
      return `(count(*) filter (where ${probe.failing}\n))::text`;
    case "outside":
      return `(count(*) filter (where (${partitionOf(spec)}) is not true))::text`;
    case "emptied":
      return `(case when count(*) = 0 and ${hasInput(spec)} then (select count(*) from ${livePartition(spec)}) else 0 end)::text`;
    case "unique":
      return `(${surplus(spec, probe.columns)})::text`;
    case "aggregate":
      return `(${probe.failures})::text`;
    case "statement":
      return `(select count(*) from (${probe.statement}\n) as failing)::text`;
  }
}

/** Whether there is anything to compute from. */
function hasInput({ derived }: TaskSpec): string {
  if (derived.inputs.length === 0) return "true";
  return `(${derived.inputs.map((input) => `exists (select from ${identifier(input.name)})`).join(" or ")})`;
}

/** The rows that a promotion of this partition replaces, as what follows `from`. */
export function livePartition(spec: TaskSpec): string {
  return `${tableName(spec.derived.table)} where ${partitionOf(spec)}`;
}

/**
 * Rows beyond the first of each value. Equal values have equal hashes, so as many hashes as rows prove that there are
 * none, in the scan that is made anyway; only otherwise does Postgres come to the query that counts them exactly.
 */
function surplus(spec: TaskSpec, columns: readonly string[]): string {
  const [only, ...others] = columns.map(identifier);
  if (others.length === 0) return `count(${only}) - count(distinct ${only})`;
  const exact = `(select coalesce(sum(repeats - 1), 0) from (${repeated("candidate", columns)}) as keys)`;
  if (!columns.every((name) => spec.columns.some((column) => column.name === name && isHashable(column.type))))
    return exact;
  const names = identifiers(columns);
  const present = `filter (where (${names}) is not null)`;
  const hashes = `count(distinct hash_record_extended(row(${names}), 0)) ${present}`;
  return `case when count(*) ${present} = ${hashes} then 0 else ${exact} end`;
}

/** Values that more than one row has, and how many rows have them. Nulls are no value, as in a unique index. */
export function repeated(relation: string, columns: readonly string[]): string {
  const names = identifiers(columns);
  const present = `(${names}) is not null`;
  return `select ${names}, count(*) as repeats from ${relation} where ${present} group by ${names} having count(*) > 1`;
}
