/**
 * Checks asked again without computing anything: after a rule was changed, or because live tables are written by others.
 * Of a backfill it looks at the candidates, and a failed check of severity error holds their dataset as it would have in
 * the task; otherwise it looks at what is live, and only tells.
 */
import type { Derived } from "../catalog/dataset.ts";
import { definitionOf, metadataShape } from "../catalog/definition.ts";
import type { Ranges } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { bindingsOf, type RunPlan, RunPlans } from "../executor/run-plan.ts";
import { hashOf } from "../hash.ts";
import type { CheckedDataset, CheckReport } from "../report.ts";
import { appendAudit } from "../store/audit.ts";
import { moveBackfill, readDatasets } from "../store/backfills.ts";
import { candidateContents, holdDataset, markValidated } from "../store/checks.ts";
import { keepDefinitions } from "../store/definitions.ts";
import { unchangedPartitions } from "../store/live.ts";
import { withSpan } from "../telemetry/spans.ts";
import { type Context, requireBackfill, requireLocked, wrongState } from "./context.ts";
import { liveLook, livePartitions, liveRules } from "./live-look.ts";
import { type Look, type Looked, type LookOptions, lookAt } from "./look.ts";
import { type PartitionChoice, rangesOfChoice } from "./partitions.ts";
import { correctUnwatched } from "./unwatched.ts";
import { across } from "./verify.ts";

export interface CheckInput {
  /** Look at the candidates of this backfill. Default: at what is live. */
  readonly backfill?: string | undefined;
  /** Default: every dataset of the backfill, or every one that has live content. */
  readonly datasets?: readonly (Derived | string)[] | undefined;
  /** Labels or ordinal ranges of one dataset. Default: all, and the rules about the dataset as a whole. */
  readonly partitions?: PartitionChoice | undefined;
  /** Only what was not judged by the rules as they are now, or broke one of them. Default false. */
  readonly stale?: boolean | undefined;
  readonly onProgress?: ((dataset: string, done: number, total: number) => void) | undefined;
}

/** Throws `wrong_state` for a backfill without candidates, `code_drift` where its datasets are defined otherwise now. */
export async function check(context: Context, input: CheckInput): Promise<CheckReport> {
  const { backfill } = input;
  return withSpan("rederive check", backfill === undefined ? {} : { "rederive.backfill": backfill }, () =>
    backfill === undefined ? checkLive(context, input) : checkCandidates(context, input, backfill),
  );
}

const withCandidates = ["running", "paused", "held", "verified", "rolled_back"];

async function checkCandidates(context: Context, input: CheckInput, id: string): Promise<CheckReport> {
  const { database, catalog } = context;
  const row = await requireBackfill(database, id);
  if (!withCandidates.includes(row.state)) {
    throw wrongState(row, "check", "there are candidates between its start and its promotion");
  }
  const computed = (await readDatasets(database, id)).map(({ dataset }) => dataset);
  const names = namesOf(input) ?? computed;
  const strangers = names.filter((name) => !computed.includes(name));
  if (strangers.length > 0) throw absent(strangers, `${id} does not compute it; it computes ${computed.join(", ")}`);
  const plans = new RunPlans(database);
  const plan = await plans.plan(id);
  const whole = await across(database, catalog, id);
  const unchanged = await unchangedPartitions(database, id);
  const checked: Looked[] = [];
  for (const name of names) {
    const derived = sameDefinition(context, plan, name);
    const run = await plans.dataset(plan, derived);
    const partitions = partitionsOf(context, input, name);
    const look: Look = {
      subject: { ...run, relation: run.candidate, bindingsOf: (ordinal) => bindingsOf(plan, run, ordinal, unchanged) },
      across: whole.find(({ dataset }) => dataset === name)?.probes ?? [],
      keeper: id,
      contents: (notBy) => candidateContents(database, id, { dataset: name, partitions, notBy }),
    };
    checked.push(await lookAt(database, look, lookOptions(context, input)));
  }
  await settle(context, id, checked);
  return reportOf(id, checked);
}

/** Holds what failed, as the task would have, and writes the audit row. */
async function settle(context: Context, id: string, checked: readonly Looked[]): Promise<void> {
  await context.database.transaction(async (tx) => {
    const row = await requireLocked(tx, id);
    const holds: string[] = [];
    // A rolled back backfill has nothing downstream of it; what was found is told, and the next promotion is a person's.
    const holdable = row.state !== "rolled_back" && withCandidates.includes(row.state);
    for (const { dataset, hold } of checked) {
      if (hold === null || !holdable) continue;
      const held = await holdDataset(tx, { backfill: id, dataset: dataset.dataset, reason: hold });
      if (held) holds.push(`${dataset.dataset}: ${hold}`);
    }
    if (holds.length > 0) await moveBackfill(tx, { id, to: "held", reason: holds.join("; "), from: ["verified"] });
    await appendAudit(tx, {
      actor: context.actor.name,
      act: "backfill.check",
      backfill: id,
      planHash: row.planHash,
      details: { datasets: checked.map(({ dataset }) => countsOf(dataset)), holds },
    });
  });
}

async function checkLive(context: Context, input: CheckInput): Promise<CheckReport> {
  const { database, catalog } = context;
  const live = await livePartitions(database);
  const isTheirs = (name: string) => context.sight?.datasets.has(name) ?? true;
  const names =
    namesOf(input) ?? catalog.order.filter((name) => live.has(name) && isDerived(context, name) && isTheirs(name));
  const checked: Looked[] = [];
  for (const name of names) {
    const derived = requireDerived(context, name);
    const partitions = partitionsOf(context, input, name);
    const look = await liveLook(database, derived, await liveRules(database, derived), live, partitions);
    checked.push(await lookAt(database, look, lookOptions(context, input)));
    if (input.partitions === undefined) await noteValidated(context, derived);
  }
  await correctUnwatched(context, names);
  await appendAudit(database, {
    actor: context.actor.name,
    act: "dataset.check",
    details: { datasets: checked.map(({ dataset }) => countsOf(dataset)) },
  });
  return reportOf(null, checked);
}

/** All of the dataset was judged by the checks as they are now, so plans need not ask for it. */
export async function noteValidated({ database, catalog }: Context, derived: Derived): Promise<void> {
  const content = metadataShape(derived, catalog.criticalityOf(derived.name));
  const metadata = hashOf(content);
  await database.transaction(async (tx) => {
    await keepDefinitions(tx, [{ hash: metadata, dataset: derived.name, content }]);
    await markValidated(tx, { dataset: derived.name, metadata });
  });
}

function lookOptions({ settings }: Context, { partitions, stale, onProgress }: CheckInput): LookOptions {
  const { lockTimeoutMs } = settings;
  return { lockTimeoutMs, onProgress, stale: stale === true, whole: partitions === undefined };
}

function namesOf({ datasets }: CheckInput): string[] | undefined {
  return datasets?.map((dataset) => (typeof dataset === "string" ? dataset : dataset.name));
}

function partitionsOf(context: Context, { partitions, datasets }: CheckInput, name: string): Ranges | undefined {
  if (partitions === undefined) return undefined;
  if (datasets?.length === 1) return rangesOfChoice(context.catalog, [name], partitions);
  throw new RederiveError("usage", "partitions were named; name exactly one dataset with them");
}

function isDerived(context: Context, name: string): boolean {
  return context.catalog.datasets.get(name)?.kind === "derived";
}

function requireDerived(context: Context, name: string): Derived {
  const dataset = context.catalog.datasets.get(name);
  if (dataset?.kind === "derived") return dataset;
  throw absent([name], "name a derived dataset of the catalog");
}

/** Candidates can be judged by rules over the columns that they have; those of another definition may have others. */
function sameDefinition(context: Context, plan: RunPlan, name: string): Derived {
  const derived = requireDerived(context, name);
  if (plan.steps.get(name)?.definition === definitionOf(derived, context.lock)) return derived;
  throw new RederiveError(
    "code_drift",
    `${name} is defined otherwise than when ${plan.backfill} was planned; check it with that code, or plan again`,
    { details: { dataset: name } },
  );
}

function absent(names: readonly string[], remedy: string): RederiveError {
  const shown = names.map((name) => JSON.stringify(name.slice(0, 80))).join(", ");
  return new RederiveError("not_found", `there is no derived dataset ${shown}; ${remedy}`, {
    details: { datasets: names },
  });
}

function countsOf({ dataset, checked, failing }: CheckedDataset): Record<string, unknown> {
  return { dataset, checked, failing };
}

function reportOf(backfill: string | null, checked: readonly Looked[]): CheckReport {
  return {
    backfill,
    scope: backfill === null ? "live" : "candidates",
    failed: checked.some(({ hold }) => hold !== null),
    datasets: checked.map(({ dataset }) => dataset),
  };
}
