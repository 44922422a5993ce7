/**
 * A `select` task: one statement deletes what an earlier attempt left, binds the inputs, runs the user's statement,
 * writes the rows and measures them. Rows that are taken over from an earlier backfill come the same way, whatever made
 * them. The caller ends the transaction.
 */
import type { SelectTransform } from "../catalog/dataset.ts";
import { RederiveError } from "../errors.ts";
import { bindInputs } from "./bind.ts";
import {
  type Measured,
  type MeasuredRow,
  measuredOf,
  measurement,
  ownedList,
  partitionOf,
  type RowsOfEarlier,
  type TaskSpec,
} from "./measure.ts";
import { identifiers } from "./quote.ts";
import type { Session } from "./session.ts";

/**
 * Writes partitions of one `select` dataset, or such that are taken over, into its candidate, a statement each, all in one round trip; `before` are
 * statements that are sent ahead of them, such as `begin`. Errors of Postgres pass through as they are.
 */
export async function computeSelect(
  session: Pick<Session, "queryEach">,
  specs: readonly TaskSpec[],
  before: readonly string[] = [],
): Promise<Measured[]> {
  const statements = specs.map((spec) =>
    spec.adopts === undefined ? selectStatement(spec, selectOf(spec)) : adoptStatement(spec, spec.adopts),
  );
  const answers = await session.queryEach<MeasuredRow>([...before, ...statements].join(";\n"));
  return specs.map((spec, index) => {
    const [row] = answers[before.length + index] as [MeasuredRow];
    return measuredOf(spec, row, null);
  });
}

function selectOf({ derived }: TaskSpec): SelectTransform {
  if (derived.transform.kind === "select") return derived.transform;
  throw new RederiveError("internal", `${derived.name} is a ${derived.transform.kind} dataset, not a select`);
}

export function selectStatement(spec: TaskSpec, transform: SelectTransform): string {
  return writeStatement(spec, `(\n${transform.statement}\n) as r${positions(transform)}`);
}

function adoptStatement(spec: TaskSpec, { table }: RowsOfEarlier): string {
  return writeStatement(spec, `${table} where ${partitionOf(spec)}`);
}

/** The whole statement. Parts that write do not see one another's rows, so deleting and inserting can be one. */
function writeStatement(spec: TaskSpec, rows: string): string {
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
  select ${owned} from ${rows}
  returning ${owned}
)`,
  ];
  return `with ${parts.join(",\n")}\n${measurement(spec)}`;
}

/** A builder's columns are matched by position, whatever it calls them; raw SQL names its columns itself. */
function positions(transform: SelectTransform): string {
  return transform.columns === undefined ? "" : ` (${identifiers(transform.columns)})`;
}
