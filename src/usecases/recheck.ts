/**
 * Asking the checks of one dataset again: each partition in a short transaction of its own, in which what was found
 * replaces what was known, and the stamp takes the new versions of the rules.
 */
import type { Derived } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import { sqlState } from "../errors.ts";
import type { CheckOutcome } from "../report.ts";
import { clearCheckResults, insertCheckResults, restampChecks, type StampedContent } from "../store/checks.ts";
import type { Database, Tx } from "../tx.ts";
import { judgeTask, type Outcome, stampedChecks, type Verdict } from "../validation/verdict.ts";
import type { Binding } from "../warehouse/bind.ts";
import type { LiveColumn } from "../warehouse/columns.ts";
import { pinTransaction } from "../warehouse/locks.ts";
import type { Probe } from "../warehouse/probe.ts";
import { measureCandidate } from "../warehouse/stream.ts";

/** One dataset, as candidates or as it is live. */
export interface Subject {
  readonly derived: Derived;
  /** The quoted, qualified table that has the rows. */
  readonly relation: string;
  readonly columns: readonly LiveColumn[];
  readonly probes: readonly Probe[];
  readonly bindingsOf: (ordinal: number) => Binding[];
}

/** What was found in one dataset: failures with their partition, and why it is to be held. */
export interface Findings {
  readonly failing: number;
  readonly failures: readonly CheckOutcome[];
  readonly hold: string | null;
}

export interface RecheckOptions {
  readonly lockTimeoutMs: number;
  /** Asked first in each transaction; throws where no more partitions are to be looked at. */
  readonly enter?: ((tx: Tx) => Promise<void>) | undefined;
  /** Called after each partition. */
  readonly onPartition?: (() => void) | undefined;
}

const failuresShown = 100;

/** Checks these partitions one after the other. */
export async function recheck(
  database: Database,
  subject: Subject,
  contents: readonly StampedContent[],
  options: RecheckOptions,
): Promise<Findings> {
  const { name, partitions } = subject.derived;
  const found: Findings[] = [];
  for (const content of contents) {
    const verdict = await recheckPartition(database, subject, content, options);
    options.onPartition?.();
    if (verdict !== undefined) found.push(findingsOf(name, labelOf(partitions, content.partition), verdict));
  }
  return together(found);
}

/** Undefined where the partition was computed anew meanwhile: then it was judged by these rules as well. */
async function recheckPartition(
  database: Database,
  subject: Subject,
  content: StampedContent,
  { lockTimeoutMs, enter }: RecheckOptions,
): Promise<Verdict | undefined> {
  const { derived, relation: candidate, columns, probes } = subject;
  const ordinal = content.partition;
  const spec = { derived, ordinal, candidate, bindings: subject.bindingsOf(ordinal), columns, probes, replace: false };
  const checked = { backfill: content.backfill, dataset: derived.name, partition: String(ordinal) };
  const work = async (): Promise<Verdict | undefined> =>
    database.transaction(
      async (tx) => {
        await pinTransaction(tx, { lockTimeoutMs });
        await enter?.(tx);
        const measured = await measureCandidate(tx, spec, null);
        const verdict = await judgeTask(tx, spec, measured);
        if (!(await restampChecks(tx, content.stamp, stampedChecks(probes, measured.failures)))) return undefined;
        await clearCheckResults(tx, checked);
        if (verdict.outcomes.length > 0) await insertCheckResults(tx, { ...checked, results: verdict.outcomes });
        return verdict;
      },
      { isolation: "repeatable read" },
    );
  try {
    return await work();
  } catch (error) {
    if (sqlState(error) === "40001") return undefined;
    throw error;
  }
}

/** `partition` is null for the dataset as a whole. */
export function findingsOf(dataset: string, partition: string | null, verdict: Verdict): Findings {
  const failures = verdict.outcomes.map((outcome: Outcome) => ({ dataset, partition, ...outcome }));
  const hold = verdict.hold === null ? null : `${partition === null ? "" : `${partition}: `}${verdict.hold}`;
  return { failing: failures.length, failures, hold };
}

/** The first hold is the one that is told. */
export function together(found: readonly Findings[]): Findings {
  return {
    failing: found.reduce((sum, { failing }) => sum + failing, 0),
    failures: found.flatMap(({ failures }) => failures).slice(0, failuresShown),
    hold: found.find(({ hold }) => hold !== null)?.hold ?? null,
  };
}
