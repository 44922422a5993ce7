/**
 * A `select` task: one statement deletes what an earlier attempt left, binds the inputs, runs the user's statement,
 * writes the rows and measures them. The caller holds the transaction.
 */
import type { SelectTransform } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { bindInputs } from "./bind.ts";
import { type Measured, measuredOf, measurement, ownedList, partitionOf, type TaskSpec } from "./measure.ts";
import { identifiers } from "./quote.ts";

/** Writes one partition of a `select` dataset into its candidate. Errors of Postgres pass through as they are. */
export async function computeSelect(tx: Tx, spec: TaskSpec): Promise<Measured> {
  const { transform } = spec.derived;
  if (transform.kind !== "select") {
    throw new RederiveError("internal", `${spec.derived.name} is a ${transform.kind} dataset, not a select`);
  }
  const [row] = await tx.query<{ measured: (string | null)[] }>(selectStatement(spec, transform));
  return measuredOf(spec, (row as { measured: (string | null)[] }).measured, null);
}

/** The whole statement. Parts that write do not see one another's rows, so deleting and inserting can be one. */
export function selectStatement(spec: TaskSpec, transform: SelectTransform): string {
  const owned = ownedList(spec);
  const removal = spec.replace
    ? [`rederive_removed as (delete from ${spec.candidate} where ${partitionOf(spec)})`]
    : [];
  const inputs = bindInputs(spec.derived, spec.bindings);
  const parts = [
    ...(inputs === "" ? [] : [inputs]),
    ...removal,
    `candidate as (
  insert into ${spec.candidate} (${owned})
  select ${owned} from (\n${transform.statement}\n) as r${positions(transform)}
  returning ${owned}
)`,
  ];
  return `with ${parts.join(",\n")}\n${measurement(spec)}`;
}

/** A builder's columns are matched by position, whatever it calls them; raw SQL names its columns itself. */
function positions(transform: SelectTransform): string {
  return transform.columns === undefined ? "" : ` (${identifiers(transform.columns)})`;
}
