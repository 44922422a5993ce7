/** One look at the checks of one dataset: its partitions one after the other, then the rules about it as a whole. */
import type { CheckedDataset } from "../report.ts";
import { type RuleVersion, rulesAcross, type StampedContent } from "../store/checks.ts";
import type { Database, Tx } from "../tx.ts";
import { judgeDataset } from "../validation/verdict.ts";
import type { DatasetProbe, Probe } from "../warehouse/probe.ts";
import { type Findings, findingsOf, recheck, type Subject, together } from "./recheck.ts";
import { recordAcross } from "./verify.ts";

/** Partitions of one dataset, and the rules about it as a whole. */
export interface Look {
  readonly subject: Subject;
  readonly across: readonly DatasetProbe[];
  /** The backfill under which results about the whole dataset are kept; undefined where nothing is live. */
  readonly keeper: string | undefined;
  /** What is to be looked at; with `notBy` only what was not judged by all of these rules, or broke one. */
  readonly contents: (notBy: readonly RuleVersion[] | undefined) => Promise<readonly StampedContent[]>;
}

export interface LookOptions {
  readonly lockTimeoutMs: number;
  /** Only what was not judged by the rules as they are now, or broke one. */
  readonly stale: boolean;
  /** Ask the rules about the dataset as a whole too. */
  readonly whole: boolean;
  readonly onProgress?: ((dataset: string, done: number, total: number) => void) | undefined;
  /** Asked first in each transaction; throws where the look is to end. */
  readonly enter?: ((tx: Tx) => Promise<void>) | undefined;
}

/** What was found, and why the dataset is to be held; null where it is not. */
export interface Looked {
  readonly dataset: CheckedDataset;
  readonly hold: string | null;
}

export async function lookAt(database: Database, look: Look, options: LookOptions): Promise<Looked> {
  const { subject } = look;
  const { name } = subject.derived;
  const all = await look.contents(undefined);
  const contents = options.stale ? await look.contents(versionsOf(subject.probes)) : all;
  let done = 0;
  const inPartitions = await recheck(database, subject, contents, {
    lockTimeoutMs: options.lockTimeoutMs,
    enter: options.enter,
    onPartition: () => {
      done += 1;
      options.onProgress?.(name, done, contents.length);
    },
  });
  const { failing, failures, hold } = together([inPartitions, await lookAcross(database, look, options)]);
  return {
    dataset: { dataset: name, checked: contents.length, upToDate: all.length - contents.length, failing, failures },
    hold,
  };
}

/** The rules about the dataset as a whole, unless all of them are known to hold. */
async function lookAcross(database: Database, look: Look, { stale, whole, enter }: LookOptions): Promise<Findings> {
  const { keeper, across: probes, subject } = look;
  const nothing: Findings = { failing: 0, failures: [], hold: null };
  if (keeper === undefined || !whole) return nothing;
  const { derived } = subject;
  if (stale) {
    const known = await rulesAcross(database, keeper, derived.name);
    const isKnown = ({ name, rule }: RuleVersion) => known.some((each) => each.name === name && each.rule === rule);
    if (versionsOf(probes).every(isKnown)) return nothing;
  }
  const verdict = await database.transaction(async (tx) => {
    await enter?.(tx);
    const judged = await judgeDataset(tx, derived, probes);
    await recordAcross(tx, { backfill: keeper, dataset: derived.name }, probes, judged);
    return judged;
  });
  return findingsOf(derived.name, null, verdict);
}

export function versionsOf(probes: readonly (Probe | DatasetProbe)[]): RuleVersion[] {
  return probes.map(({ name, rule }) => ({ name, rule: rule ?? "" }));
}
