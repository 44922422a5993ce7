/**
 * Computes some partitions of a plan as its backfill would, compares them with what is live, and throws them away.
 *
 * 1. a schema of its own, held by the session that computes; one that a killed process left is dropped first
 * 2. upstreams first, each partition in a transaction of its own: inputs are bound to the sample where it has the
 *    partition, and to what is live where not; checks are asked
 * 3. compared partition by partition, under one snapshot
 * 4. the schema is dropped, whatever happened
 */
import type { Derived } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import { intersect, noRanges, ordinalsOf, type Ranges, rangesOfOrdinals, size } from "../catalog/ranges.ts";
import { dropAbandonedScratch } from "../executor/candidates.ts";
import { classify } from "../executor/classify.ts";
import { Lane } from "../executor/lane.ts";
import { bindingsOf, knownOf, type RunDataset, type RunPlan, RunPlans } from "../executor/run-plan.ts";
import { computeSpecs, remeasured } from "../executor/work.ts";
import { type Plan, type RecomputeStep, recomputeSteps } from "../plan.ts";
import { comparePartitions } from "../replay/compare.ts";
import type { CheckOutcome, DatasetDiff, SampledDataset } from "../report.ts";
import type { Tx } from "../tx.ts";
import { judgeTask, type Outcome } from "../validation/verdict.ts";
import { analyzeTable, createCandidateTable } from "../warehouse/candidate.ts";
import { pinTransaction } from "../warehouse/locks.ts";
import type { Measured, TaskSpec } from "../warehouse/measure.ts";
import {
  createScratchSchema,
  dropScratchSchema,
  holdScratchSchema,
  newScratchSchema,
  scratchTable,
} from "../warehouse/scratch.ts";
import type { Session } from "../warehouse/session.ts";
import { loadTarget } from "../warehouse/target.ts";
import { type Context, requireDatabase } from "./context.ts";

/** What became of the chosen partitions of one dataset. */
export interface Tried {
  readonly derived: Derived;
  readonly step: RecomputeStep;
  /** Those that were computed, in order, with what differs in them. */
  readonly partitions: readonly TriedPartition[];
  readonly reads: SampledDataset["reads"];
  readonly failedChecks: readonly CheckOutcome[];
  readonly failures: SampledDataset["failures"];
}

export interface TriedPartition {
  readonly partition: number;
  readonly seconds: number;
  readonly diff: DatasetDiff;
}

/** Rows of each kind that are shown of a dataset. */
const rowsShown = 2;
/** Autovacuum may be at work on a table; it makes way after a second. */
const dropWaitMs = 5_000;

/** Tries these partitions, by dataset. Writes nothing but the schema that it drops. */
export async function tryPartitions(
  context: Context,
  plan: Plan,
  chosen: ReadonlyMap<string, Ranges>,
  signal: AbortSignal,
): Promise<Tried[]> {
  const { database, settings } = context;
  await dropAbandonedScratch(database);
  const schema = newScratchSchema();
  const lane = new Lane({ databaseUrl: requireDatabase(settings), database, applicationName: "rederive sample" });
  const onAbort = (): void => void lane.cut();
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    const session = await lane.writer();
    await holdScratchSchema(session, schema);
    const stage = await stageOf(context, plan, chosen, schema);
    return await tryAll({ ...stage, context, lane, session, signal });
  } catch (error) {
    // Cutting the connection makes errors of its own.
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Where this fails as well, nobody holds the schema any more, and the planner drops it.
    await database.transaction((tx) => dropScratchSchema(tx, schema, dropWaitMs)).catch(() => undefined);
    await lane.close();
  }
}

interface Stage {
  /** The plan with the sample's tables as candidates; a dataset's step has the partitions that were computed so far. */
  readonly plan: RunPlan;
  readonly steps: Map<string, RecomputeStep>;
  /** What the plan recomputes, whether it is in the sample or not. */
  readonly recomputed: ReadonlyMap<string, Ranges>;
  readonly runs: readonly { readonly run: RunDataset; readonly step: RecomputeStep; readonly chosen: Ranges }[];
}

type Trial = Stage & {
  readonly context: Context;
  readonly lane: Lane;
  readonly session: Session;
  readonly signal: AbortSignal;
};

async function stageOf(
  { database, catalog }: Context,
  { hash, decision }: Plan,
  chosen: ReadonlyMap<string, Ranges>,
  schema: string,
): Promise<Stage> {
  const all = recomputeSteps(decision);
  const sampled = all.filter(({ dataset }) => chosen.has(dataset));
  const steps = new Map(sampled.map((step) => [step.dataset, { ...step, partitions: noRanges }]));
  const candidates = new Map(sampled.map(({ dataset }, index) => [dataset, scratchTable(schema, dataset, index)]));
  const common = { backfill: schema, planHash: hash, traceparent: null, samePins: true };
  const plan: RunPlan = { ...common, steps, known: knownOf(decision), candidates };
  const plans = new RunPlans(database);
  const runs: Stage["runs"][number][] = [];
  for (const step of sampled) {
    const run = await plans.dataset(plan, catalog.datasets.get(step.dataset) as Derived);
    runs.push({ run, step, chosen: chosen.get(step.dataset) ?? noRanges });
  }
  await database.transaction(async (tx) => {
    await createScratchSchema(tx, schema);
    for (const { run } of runs) await createCandidateTable(tx, run.derived, run.columns, run.candidate);
  });
  const recomputed = new Map(all.map(({ dataset, partitions }) => [dataset, partitions]));
  return { plan, steps, recomputed, runs };
}

/** The steps of a plan come upstreams first. */
async function tryAll(trial: Trial): Promise<Tried[]> {
  const attempted: Attempted[] = [];
  for (const each of trial.runs) attempted.push(await tryDataset(trial, each));
  return trial.context.database.transaction(
    async (tx) => {
      await pinTransaction(tx, { lockTimeoutMs: 500 });
      const tried: Tried[] = [];
      for (const [index, each] of attempted.entries()) {
        trial.signal.throwIfAborted();
        tried.push(await compared(tx, each, `pg_temp.rederive_sample_${index}`));
      }
      return tried;
    },
    { isolation: "repeatable read" },
  );
}

interface Attempted extends Omit<Tried, "partitions" | "derived"> {
  readonly run: RunDataset;
  readonly computed: readonly { readonly partition: number; readonly rows: number; readonly seconds: number }[];
}

async function tryDataset(trial: Trial, { run, step, chosen }: Stage["runs"][number]): Promise<Attempted> {
  const { derived, candidate, columns, probes } = run;
  const computed: Attempted["computed"][number][] = [];
  const failedChecks: CheckOutcome[] = [];
  const failures: SampledDataset["failures"][number][] = [];
  const reads = { sampled: 0, live: 0 };
  for (const ordinal of ordinalsOf(chosen)) {
    const bindings = bindingsOf(trial.plan, run, ordinal);
    const found = await tryPartition(trial, { derived, ordinal, candidate, bindings, columns, probes, replace: false });
    const partition = labelOf(derived.partitions, ordinal);
    if ("message" in found) {
      failures.push({ partition, ...found });
      continue;
    }
    computed.push({ partition: ordinal, ...found });
    failedChecks.push(...found.outcomes.map((outcome) => checkOf(derived.name, partition, outcome)));
    for (const { input, recomputed, live } of bindings) {
      reads.sampled += size(recomputed);
      reads.live += size(intersect(live, trial.recomputed.get(input.dataset.name) ?? noRanges));
    }
  }
  trial.steps.set(step.dataset, { ...step, partitions: rangesOfOrdinals(computed.map(({ partition }) => partition)) });
  await trial.context.database.transaction((tx) => analyzeTable(tx, candidate));
  return { run, step, computed, reads, failedChecks, failures };
}

/** The tables that the query read are gone when somebody looks at it. */
function checkOf(dataset: string, partition: string, outcome: Outcome): CheckOutcome {
  return { dataset, partition, ...outcome, evidence: { ...outcome.evidence, sql: null } };
}

type Found =
  | { readonly rows: number; readonly seconds: number; readonly outcomes: readonly Outcome[] }
  | { readonly code: string; readonly message: string };

/** One partition as its task would compute it. An error of the transform is a finding; one of the connection is not. */
async function tryPartition({ lane, session, signal }: Trial, spec: TaskSpec): Promise<Found> {
  const started = performance.now();
  try {
    const [computed] = (await computeSpecs({ lane, session, signal }, [spec])) as [Measured];
    const { outcomes } = await judgeTask(session, spec, computed);
    const { rowsWritten } = await remeasured({ session }, { spec }, computed);
    await session.query("commit");
    return { rows: rowsWritten, seconds: (performance.now() - started) / 1000, outcomes };
  } catch (error) {
    signal.throwIfAborted();
    if (!session.usable) throw error;
    await session.query("rollback");
    const { code, message, sqlstate } = classify(error);
    return { code: sqlstate ?? code, message };
  }
}

async function compared(tx: Tx, attempted: Attempted, restorePoint: string): Promise<Tried> {
  const { run, step, computed, reads, failedChecks, failures } = attempted;
  const { derived, candidate } = run;
  const target = await loadTarget(tx, { derived, candidate, restorePoint });
  const diffs = await comparePartitions(tx, target, computed, rowsShown);
  const partitions = computed.map(({ partition, seconds }, index) => ({
    partition,
    seconds,
    diff: diffs[index] as DatasetDiff,
  }));
  return { derived, step, partitions, reads, failedChecks, failures };
}
