/**
 * What a person needs to understand a failed check: a few offending rows as text, and the query that finds them.
 * It runs in the work transaction of a task that failed, before strays are removed. Values of masked columns are
 * replaced before they leave this file.
 */
import type { Derived } from "../catalog/dataset.ts";
import type { Tx } from "../tx.ts";
import { bindInputs } from "./bind.ts";
import { maskRow, valuesHidden } from "./mask.ts";
import { livePartition, ownedList, partitionOf, repeated, type TaskSpec } from "./measure.ts";
import type { DatasetProbe, Probe } from "./probe.ts";

export const evidenceLimit = 10;

export type EvidenceRow = Readonly<Record<string, string | null>>;

export interface Evidence {
  /** The query that gives the offending rows; null where they are removed in the transaction that found them. */
  readonly sql: string | null;
  readonly rows: readonly EvidenceRow[];
}

/** At most ten rows that make the probe fail, every value as text. `astray` where the task wrote rows outside too. */
export async function evidenceOf(tx: Tx, spec: TaskSpec, probe: Probe, astray: boolean): Promise<Evidence> {
  const sql = evidenceQuery(spec, probe, astray);
  const rows = await textRows(tx, sql);
  return { sql: probe.kind === "outside" ? null : sql, rows: masked(rows, spec.derived, probe) };
}

/** How many rows a query gives. It cannot write: Postgres takes no such part inside a query. */
export async function countRows(tx: Tx, statement: string): Promise<number> {
  const [row] = await tx.query<{ rows: string }>(`select count(*)::text as rows from (\n${statement}\n) as counted`);
  return Number((row as { rows: string }).rows);
}

/** Runs a probe of the whole dataset: how many rows fail, and a few of them. */
export async function runDatasetProbe(
  tx: Tx,
  derived: Derived,
  probe: DatasetProbe,
): Promise<{ count: number; evidence: Evidence }> {
  const count = await countRows(tx, probe.statement);
  const rows = count === 0 ? [] : await textRows(tx, probe.statement);
  return { count, evidence: { sql: probe.statement, rows: masked(rows, derived, probe) } };
}

function masked(rows: readonly EvidenceRow[], derived: Derived, probe: Probe | DatasetProbe): EvidenceRow[] {
  const hidden = valuesHidden(derived, probe);
  return rows.map((row) => maskRow(row, hidden));
}

/**
 * Deletes the rows that this transaction wrote outside of its partition. They are evidence, never output: left there,
 * they would be counted in a partition that another task owns, and a retry of this one could not find them.
 */
export async function removeStrays(tx: Tx, spec: TaskSpec): Promise<void> {
  await tx.query(`delete from ${spec.candidate} where ${strays(spec)}`);
}

function strays(spec: TaskSpec): string {
  return `xmin = pg_current_xact_id()::xid and (${partitionOf(spec)}) is not true`;
}

function evidenceQuery(spec: TaskSpec, probe: Probe, astray: boolean): string {
  const owned = ownedList(spec);
  // What was measured are all rows that the task wrote, wherever they lie.
  const written = astray ? `(${partitionOf(spec)} or ${strays(spec)})` : partitionOf(spec);
  const own = `select ${owned} from ${spec.candidate} where ${written}`;
  switch (probe.kind) {
    case "outside":
      return `select ${owned} from ${spec.candidate} where ${strays(spec)}`;
    case "emptied":
      return `select ${owned} from ${livePartition(spec)}`;
    case "row":
      return `${own} and (${probe.failing}\n)`;
    case "unique":
      return repeated(`(${own}) as written`, probe.columns);
    case "aggregate":
      return withHandles(spec, own, probe.evidence);
    case "statement":
      return withHandles(spec, own, probe.statement);
  }
}

function withHandles(spec: TaskSpec, own: string, statement: string): string {
  const inputs = bindInputs(spec.derived, spec.bindings);
  const candidate = `candidate as not materialized (${own})`;
  return `with ${inputs === "" ? "" : `${inputs},\n`}${candidate}\nselect * from (\n${statement}\n) as failing`;
}

/** Every value as Postgres prints it: numbers and timestamps would not survive JavaScript. */
async function textRows(tx: Tx, sql: string): Promise<EvidenceRow[]> {
  const rows = await tx.query<{ row: EvidenceRow }>(
    `select (select jsonb_object_agg(key, value) from jsonb_each_text(to_jsonb(evidence))) as row
       from (select * from (\n${sql}\n) as found limit ${evidenceLimit}) as evidence`,
  );
  return rows.map((each) => each.row);
}
