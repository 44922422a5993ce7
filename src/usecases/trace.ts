/** One differing row: in which columns, what it was computed from, and what is known of why. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset, Derived } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import { contains, type Ranges } from "../catalog/ranges.ts";
import { bindingsOf, type RunDataset, type RunPlan } from "../executor/run-plan.ts";
import type { DatasetChange } from "../plan.ts";
import type { Compared } from "../promotion/diff.ts";
import type { BisectedInput, BisectedRow } from "../report.ts";
import { liveOrigin } from "../store/divergence.ts";
import type { Tx } from "../tx.ts";
import type { DifferingRow, PartitionDifference } from "../warehouse/bisect.ts";
import { hashAlgorithm } from "../warehouse/digest.ts";
import { columnsHidden, inputHidden, maskRow } from "../warehouse/mask.ts";
import type { Target } from "../warehouse/target.ts";
import { liveHash } from "../warehouse/trace.ts";
import { causesOf, type Standing } from "./causes.ts";
import { traceInput } from "./trace-input.ts";

/** What differs in one dataset. */
export interface Divergence {
  readonly target: Target;
  readonly run: RunDataset;
  readonly compared: Compared;
  readonly redefined: Ranges;
  /** How the plan says that the definition changed. */
  readonly change: DatasetChange | undefined;
  /** Partitions in which something differs, worst first. */
  readonly partitions: readonly PartitionDifference[];
}

/** What rows are traced in, all of it under one snapshot. */
export interface Scene {
  readonly tx: Tx;
  readonly catalog: Catalog;
  readonly plan: RunPlan;
  /** Partitions that came out as they were, by dataset: their rows are read live. */
  readonly unchanged: ReadonlyMap<string, Ranges>;
  readonly divergences: ReadonlyMap<string, Divergence>;
}

/** Rows of one dataset, in their order. What is known of a partition is asked once. */
export async function traceRows(
  scene: Scene,
  divergence: Divergence,
  rows: readonly DifferingRow[],
): Promise<BisectedRow[]> {
  const standings = new Map<number, Standing>();
  const traced: BisectedRow[] = [];
  for (const row of rows) {
    const standing = standings.get(row.partition) ?? (await standingOf(scene, divergence, row.partition));
    standings.set(row.partition, standing);
    traced.push(await traceRow(scene, divergence, row, standing));
  }
  return traced;
}

async function standingOf({ tx, plan }: Scene, divergence: Divergence, partition: number): Promise<Standing> {
  const { target, redefined, change } = divergence;
  const origin = await liveOrigin(tx, plan.backfill, target.dataset, partition);
  const comparable = origin?.hashAlgorithm === hashAlgorithm;
  return {
    redefined: contains(redefined, partition),
    change,
    promoted: origin !== undefined,
    edited: comparable && origin.outputHash !== (await liveHash(tx, target, partition)),
    reproduced: origin?.reproduced ?? false,
    movedInputs: origin?.movedInputs ?? [],
  };
}

async function traceRow(
  scene: Scene,
  divergence: Divergence,
  row: DifferingRow,
  standing: Standing,
): Promise<BisectedRow> {
  const { derived, key } = divergence.target;
  const inputs: BisectedInput[] = [];
  for (const binding of bindingsOf(scene.plan, divergence.run, row.partition, scene.unchanged)) {
    const { dataset } = binding.input;
    const recomputed = scene.divergences.get(dataset.name);
    const trace = {
      ...{ derived, binding, row: row.after ?? row.before ?? {} },
      hidden: inputHidden(derived, dataset, readersOf(scene.catalog, dataset)),
      recomputed: recomputed && { target: recomputed.target, found: recomputed.compared.found },
      // Stamps tell that live rows of a derived dataset are those of then; of a source nobody kept them.
      settled: dataset.kind === "derived" && !standing.movedInputs.includes(dataset.name),
    };
    inputs.push(...(await traceInput(scene.tx, trace)));
  }
  const hidden = columnsHidden(derived);
  const [before, after] = [row.before && maskRow(row.before, hidden), row.after && maskRow(row.after, hidden)];
  return {
    partition: labelOf(derived.partitions, row.partition),
    kind: row.kind,
    key: Object.fromEntries(key.map((name) => [name, (after ?? before)?.[name] ?? null])),
    ...{ columns: row.columns, before, after, inputs },
    causes: causesOf(standing, inputs),
  };
}

export function readersOf(catalog: Catalog, input: Dataset): Derived[] {
  return [...catalog.datasets.values()].filter(
    (each): each is Derived => each.kind === "derived" && each.inputs.some(({ dataset }) => dataset === input),
  );
}
