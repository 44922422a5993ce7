/**
 * Checks asked again without computing anything: after a rule was changed, or because live tables are written by others.
 * Of a backfill it looks at the candidates, and a failed check of severity error holds their dataset as it would have in
 * the task; otherwise it looks at what is live, and only tells.
 */
import type { Derived } from "../catalog/dataset.ts";
import { definitionOf, metadataShape } from "../catalog/definition.ts";
import { noRanges, type Ranges, union } from "../catalog/ranges.ts";
import { RederiveError } from "../errors.ts";
import { bindingsOf, type RunPlan, RunPlans } from "../executor/run-plan.ts";
import { hashOf } from "../hash.ts";
import type { CheckedDataset, CheckReport } from "../report.ts";
import { appendAudit } from "../store/audit.ts";
import { moveBackfill, readDatasets } from "../store/backfills.ts";
import {
  candidateContents,
  holdDataset,
  liveStamps,
  markValidated,
  type RuleVersion,
  rulesAcross,
  type StampedContent,
} from "../store/checks.ts";
import { liveContents } from "../store/contents.ts";
import { keepDefinitions } from "../store/definitions.ts";
import { unchangedPartitions } from "../store/live.ts";
import { withSpan } from "../telemetry/spans.ts";
import { datasetProbes } from "../validation/across.ts";
import { taskProbes } from "../validation/compile.ts";
import { judgeDataset } from "../validation/verdict.ts";
import { liveColumns, ownedOf } from "../warehouse/columns.ts";
import { liveConstraints } from "../warehouse/constraints.ts";
import type { DatasetProbe, Probe } from "../warehouse/probe.ts";
import { tableName } from "../warehouse/quote.ts";
import { type Context, requireBackfill, requireLocked, wrongState } from "./context.ts";
import { type PartitionChoice, rangesOfChoice } from "./partitions.ts";
import { type Findings, findingsOf, recheck, type Subject, together } from "./recheck.ts";
import { across, recordAcross } from "./verify.ts";

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

/** Partitions of one dataset, and the rules about it as a whole. */
interface Look {
  readonly subject: Subject;
  readonly across: readonly DatasetProbe[];
  /** The backfill under which results about the whole dataset are kept; undefined where nothing is live. */
  readonly keeper: string | undefined;
  readonly contents: (notBy: readonly RuleVersion[] | undefined) => Promise<StampedContent[]>;
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
  const checked: { dataset: CheckedDataset; hold: string | null }[] = [];
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
    checked.push(await checkDataset(context, input, look));
  }
  await settle(context, id, checked);
  return reportOf(id, checked);
}

/** Holds what failed, as the task would have, and writes the audit row. */
async function settle(
  context: Context,
  id: string,
  checked: readonly { readonly dataset: CheckedDataset; readonly hold: string | null }[],
): Promise<void> {
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
  const live = new Map<string, Ranges>();
  for (const { dataset, partitions } of await liveContents(database)) {
    live.set(dataset, union(live.get(dataset) ?? noRanges, partitions));
  }
  const names = namesOf(input) ?? catalog.order.filter((name) => live.has(name) && isDerived(context, name));
  const checked: { dataset: CheckedDataset; hold: string | null }[] = [];
  for (const name of names) {
    const look = await liveLook(context, input, name, live);
    checked.push(await checkDataset(context, input, look));
    if (input.partitions === undefined) await noteValidated(context, look.subject.derived);
  }
  await appendAudit(database, {
    actor: context.actor.name,
    act: "dataset.check",
    details: { datasets: checked.map(({ dataset }) => countsOf(dataset)) },
  });
  return reportOf(null, checked);
}

/** All of the dataset was judged by the checks as they are now, so plans need not ask for it. */
async function noteValidated({ database, catalog }: Context, derived: Derived): Promise<void> {
  const content = metadataShape(derived, catalog.criticalityOf(derived.name));
  const metadata = hashOf(content);
  await database.transaction(async (tx) => {
    await keepDefinitions(tx, [{ hash: metadata, dataset: derived.name, content }]);
    await markValidated(tx, { dataset: derived.name, metadata });
  });
}

async function liveLook(
  context: Context,
  input: CheckInput,
  name: string,
  live: ReadonlyMap<string, Ranges>,
): Promise<Look> {
  const { database } = context;
  const derived = requireDerived(context, name);
  const partitions = partitionsOf(context, input, name);
  const columns = ownedOf(derived, await liveColumns(database, derived));
  const constraints = await liveConstraints(database, derived);
  const relation = tableName(derived.table);
  const nothing = { steps: new Map(), candidates: new Map() };
  const bound = { derived, extents: live };
  const all = { derived, candidate: relation, partitions: noRanges, everything: true };
  const contents = (notBy: readonly RuleVersion[] | undefined, of: Ranges | undefined) =>
    liveStamps(database, { dataset: name, partitions: of, notBy });
  return {
    subject: {
      derived,
      relation,
      columns,
      probes: taskProbes(derived, columns, constraints),
      bindingsOf: (ordinal) => bindingsOf(nothing, bound, ordinal),
    },
    across: datasetProbes(derived, constraints, [all]),
    keeper: await newestKeeper(context, name),
    contents: (notBy) => contents(notBy, partitions),
  };
}

async function checkDataset(
  context: Context,
  input: CheckInput,
  look: Look,
): Promise<{ dataset: CheckedDataset; hold: string | null }> {
  const { subject } = look;
  const { name } = subject.derived;
  const all = await look.contents(undefined);
  const contents = input.stale === true ? await look.contents(versionsOf(subject.probes)) : all;
  let done = 0;
  const inPartitions = await recheck(context.database, subject, contents, {
    lockTimeoutMs: context.settings.lockTimeoutMs,
    onPartition: () => {
      done += 1;
      input.onProgress?.(name, done, contents.length);
    },
  });
  const { failing, failures, hold } = together([inPartitions, await recheckAcross(context, input, look)]);
  return {
    dataset: { dataset: name, checked: contents.length, upToDate: all.length - contents.length, failing, failures },
    hold,
  };
}

/** The rules about the dataset as a whole, unless partitions were named or all of these rules are known to hold. */
async function recheckAcross(context: Context, input: CheckInput, look: Look): Promise<Findings> {
  const { keeper, across: probes, subject } = look;
  const nothing: Findings = { failing: 0, failures: [], hold: null };
  if (keeper === undefined || input.partitions !== undefined) return nothing;
  const { derived } = subject;
  if (input.stale === true) {
    const known = await rulesAcross(context.database, keeper, derived.name);
    const isKnown = ({ name, rule }: RuleVersion) => known.some((each) => each.name === name && each.rule === rule);
    if (versionsOf(probes).every(isKnown)) return nothing;
  }
  const verdict = await judgeDataset(context.database, derived, probes);
  await context.database.transaction((tx) =>
    recordAcross(tx, { backfill: keeper, dataset: derived.name }, probes, verdict),
  );
  return findingsOf(derived.name, null, verdict);
}

function versionsOf(probes: readonly (Probe | DatasetProbe)[]): RuleVersion[] {
  return probes.map(({ name, rule }) => ({ name, rule: rule ?? "" }));
}

/** What is live came from several backfills; the newest one looked at the dataset as it is now. */
async function newestKeeper(context: Context, dataset: string): Promise<string | undefined> {
  const contents = await liveStamps(context.database, { dataset, partitions: undefined, notBy: undefined });
  const newest = contents.toSorted((a, b) => (BigInt(a.stamp) < BigInt(b.stamp) ? 1 : -1))[0];
  return newest?.backfill;
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

function reportOf(
  backfill: string | null,
  checked: readonly { readonly dataset: CheckedDataset; readonly hold: string | null }[],
): CheckReport {
  return {
    backfill,
    scope: backfill === null ? "live" : "candidates",
    failed: checked.some(({ hold }) => hold !== null),
    datasets: checked.map(({ dataset }) => dataset),
  };
}
