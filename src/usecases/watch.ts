/**
 * Continuous validation: the checks of live data, asked when their schedule says so.
 *
 * 1. A look begins by a row in `watch`, under the planner's term.
 * 2. Where Postgres has counted no write to any table that the rules read, and the rules are the same, nothing is read.
 * 3. Otherwise every live partition is checked in a short transaction of its own, each of which first asks whether this
 *    planner still leads. What is found replaces what was known, as with `rederive check`.
 * 4. The result goes to `watch`, to the metrics, and where it is another one than before to the log and the audit trail.
 */
import type { Derived } from "../catalog/dataset.ts";
import { everyMs } from "../catalog/proof.ts";
import { messageOf, RederiveError } from "../errors.ts";
import type { Term } from "../executor/settle.ts";
import type { WatchOptions } from "../executor/watcher.ts";
import { hashOf } from "../hash.ts";
import { appendAudit } from "../store/audit.ts";
import { holdTerm } from "../store/leaders.ts";
import {
  beginLook,
  countLiveFailures,
  dueLooks,
  endLook,
  guardLook,
  type Schedule,
  type WatchRow,
} from "../store/watches.ts";
import type { Logger } from "../telemetry/log.ts";
import { recordLook } from "../telemetry/metrics.ts";
import { withSpan } from "../telemetry/spans.ts";
import type { Tx } from "../tx.ts";
import { readsClock, tablesRead } from "../validation/tables-read.ts";
import { writeState } from "../warehouse/writes.ts";
import { noteValidated } from "./check.ts";
import type { Context } from "./context.ts";
import { type LiveRules, liveLook, livePartitions, liveRules } from "./live-look.ts";
import { lookAt, versionsOf } from "./look.ts";

/** What the planner needs to make looks; undefined where no dataset has a schedule. */
export function watching(context: Context, log: Logger | undefined): WatchOptions | undefined {
  const schedules = schedulesOf(context);
  if (schedules.length === 0) return undefined;
  return {
    due: () => dueLooks(context.database, schedules),
    look: async (dataset, term, signal) => {
      const schedule = schedules.find((each) => each.dataset === dataset);
      if (schedule !== undefined) await look(context, schedule, { term, signal, log });
    },
  };
}

function schedulesOf({ catalog }: Context): Schedule[] {
  return [...catalog.datasets.values()].flatMap((dataset) => {
    const every = dataset.kind === "derived" ? everyMs(dataset.validate?.every ?? "") : undefined;
    return every === undefined ? [] : [{ dataset: dataset.name, everyMs: every }];
  });
}

export interface LookingOptions {
  readonly term: Term;
  readonly signal: AbortSignal;
  readonly log?: Logger | undefined;
}

/** One look, if it is due. Throws what kept it from being made; that it was another's to make is no error. */
export async function look(context: Context, schedule: Schedule, options: LookingOptions): Promise<void> {
  const { database, catalog } = context;
  const { dataset } = schedule;
  const before = await database.transaction(async (tx) =>
    (await holdTerm(tx, options.term)) ? beginLook(tx, schedule) : undefined,
  );
  if (before === undefined) return;
  try {
    const attributes = { "rederive.dataset": dataset };
    const derived = catalog.datasets.get(dataset) as Derived;
    await withSpan("rederive look", attributes, () => lookAndTell(context, derived, before, options));
  } catch (error) {
    // Left as it is: not finished, so the planner that leads makes it again.
    if (error instanceof RederiveError && error.code === "fenced") return;
    recordLook(dataset, "error");
    await endLook(database, { dataset, failing: null, checked: null, error: messageOf(error), seen: null });
    throw error;
  }
}

async function lookAndTell(
  context: Context,
  derived: Derived,
  before: WatchRow,
  options: LookingOptions,
): Promise<void> {
  const { database } = context;
  const dataset = derived.name;
  const { checked, seen } = await lookIfWritten(context, derived, before, options);
  const failing = await countLiveFailures(database, dataset);
  recordLook(dataset, failing > 0 ? "failing" : "passed");
  await database.transaction(async (tx) => {
    await endLook(tx, { dataset, failing, checked, error: null, seen });
    if (failing === (before.failing ?? 0)) return;
    await appendAudit(tx, { actor: "planner", act: "dataset.validate", dataset, details: { failing, checked } });
  });
  if (failing > 0 && (checked > 0 || failing !== before.failing)) {
    options.log?.warn(
      { dataset, failing },
      `${failing === 1 ? "1 check fails" : `${failing} checks fail`} on the live data of ${dataset}`,
    );
  }
}

interface Seen {
  /** Partitions that were read. */
  readonly checked: number;
  readonly seen: string | null;
}

async function lookIfWritten(
  context: Context,
  derived: Derived,
  before: WatchRow,
  options: LookingOptions,
): Promise<Seen> {
  const { database, settings } = context;
  const rules = await liveRules(database, derived);
  // Asked before anything is read: what is written meanwhile is counted for the next look.
  const seen = await seenNow(database, derived, rules);
  const untouched = seen !== null && seen === before.seen;
  if (untouched && !readsClock(derived)) return { checked: 0, seen };
  const live = await liveLook(database, derived, rules, await livePartitions(database), undefined);
  const contents: typeof live.contents = untouched ? async () => [] : live.contents;
  const { dataset } = await lookAt(
    database,
    { ...live, contents },
    {
      lockTimeoutMs: settings.lockTimeoutMs,
      stale: false,
      whole: true,
      enter: (tx) => enter(tx, derived.name, options),
    },
  );
  await noteValidated(context, derived);
  return { checked: dataset.checked, seen };
}

/** The counts of writes to all that the rules read, and the rules. */
async function seenNow(tx: Tx, derived: Derived, { probes, across, constraints }: LiveRules): Promise<string | null> {
  const state = await writeState(tx, tablesRead(derived, probes, constraints));
  return state === null ? null : hashOf({ state, rules: versionsOf([...probes, ...across]) });
}

async function enter(tx: Tx, dataset: string, { term, signal }: LookingOptions): Promise<void> {
  const { leads, alone } = await guardLook(tx, { dataset, term });
  if (leads && alone && !signal.aborted) return;
  throw new RederiveError("fenced", `the look at ${dataset} is another planner's`, { details: { dataset } });
}
