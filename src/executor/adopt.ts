/** Which of the claimed tasks take over rows of an earlier backfill instead of computing them. */
import { contains, union } from "../catalog/ranges.ts";
import { type Adoptable, adoptableTasks } from "../store/adoption.ts";
import type { StampInput } from "../store/claims.ts";
import type { Binding } from "../warehouse/bind.ts";
import { hashAlgorithm } from "../warehouse/digest.ts";
import type { RowsOfEarlier } from "../warehouse/measure.ts";
import type { Session } from "../warehouse/session.ts";
import type { RunDataset } from "./run-plan.ts";
import type { Claimed } from "./task-context.ts";

/** By task. What the plan wants taken over, and is not there or was made of something else, is computed. */
export async function adoptionsOf(
  claimed: readonly Claimed[],
  { step, earlier }: RunDataset,
  session: Session,
): Promise<ReadonlyMap<string, Adoptable>> {
  const planned = claimed.filter(({ claim }) => contains(step.adopted, Number(claim.partition)));
  if (earlier === undefined || planned.length === 0) return new Map();
  const tasks = planned.map(({ ref }) => ref.task);
  const found = await adoptableTasks(session, { tasks, from: earlier.backfill, hashAlgorithm });
  return new Map(found.map((each) => [each.task, each]));
}

/** Where the rows of a task are; undefined where they have to be computed. */
export function rowsOfEarlier(
  { earlier }: RunDataset,
  adoptable: Adoptable | undefined,
  bindings: readonly Binding[],
): RowsOfEarlier | undefined {
  if (earlier === undefined || adoptable === undefined) return undefined;
  if (!bindings.every((binding) => readsTheSame(binding, adoptable.inputs))) return undefined;
  return { table: earlier.candidate, stamp: adoptable.stamp, outputHash: adoptable.outputHash };
}

/** The same partitions, wherever their rows were. */
function readsTheSame(binding: Binding, inputs: readonly StampInput[]): boolean {
  const then = inputs.find(({ input }) => input === binding.input.name);
  if (then === undefined || (then.everything ?? false) !== (binding.everything ?? false)) return false;
  const all = ({ recomputed, live }: Pick<Binding, "recomputed" | "live">) => JSON.stringify(union(recomputed, live));
  return all(then) === all(binding);
}
