/**
 * From failures to a decision. A failure of severity "error" holds what is downstream; one of severity "warn" is reported.
 * Each comes with a few offending rows, read in the transaction that wrote them.
 */
import type { Derived } from "../catalog/dataset.ts";
import { describePartitions } from "../catalog/label.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { CheckEvidence, Suspect } from "../report.ts";
import type { NewCheckResult, StampedCheck } from "../store/checks.ts";
import type { Tx } from "../tx.ts";
import type { Binding } from "../warehouse/bind.ts";
import { type Evidence, evidenceOf, removeStrays, runDatasetProbe } from "../warehouse/evidence.ts";
import type { Measured, TaskSpec } from "../warehouse/measure.ts";
import type { DatasetProbe, Failure, Probe, Severity } from "../warehouse/probe.ts";

/** One failed check as it is stored. */
export interface Outcome {
  readonly name: string;
  readonly severity: Severity;
  readonly failures: number;
  readonly evidence: CheckEvidence;
}

export interface Verdict {
  /** Failed checks alone, errors first. */
  readonly outcomes: readonly Outcome[];
  /** Why the dataset is to be held, for people; null where it is not. */
  readonly hold: string | null;
}

export const passed: Verdict = { outcomes: [], hold: null };

/**
 * Judges a task's measurements in its own transaction, after the write and before the stamp. Without failures it asks
 * nothing of Postgres. Rows outside of the partition are shown as evidence and then deleted from the candidate.
 */
export async function judgeTask(tx: Tx, spec: TaskSpec, measured: Measured): Promise<Verdict> {
  if (measured.failures.length === 0) return passed;
  const astray = measured.failures.some(({ probe }) => probe.kind === "outside");
  const outcomes: Outcome[] = [];
  for (const { probe, count } of measured.failures) {
    outcomes.push(outcomeOf(probe, count, await evidenceOf(tx, spec, probe, astray), suspectsOf(spec)));
  }
  if (astray) await removeStrays(tx, spec);
  return verdictOf(outcomes);
}

/** What the stamp tells of each probe. Names are unique, so a count belongs to one of them. */
export function stampedChecks(probes: readonly Probe[], failures: readonly Failure[]): StampedCheck[] {
  const failed = new Map(failures.map(({ probe, count }) => [probe.name, count]));
  return probes.map(({ name, severity, rule }) => ({
    name,
    severity,
    failures: failed.get(name) ?? 0,
    ...(rule === undefined ? {} : { rule }),
  }));
}

/** Runs the probes of a whole dataset and judges them. */
export async function judgeDataset(tx: Tx, derived: Derived, probes: readonly DatasetProbe[]): Promise<Verdict> {
  const outcomes: Outcome[] = [];
  for (const probe of probes) {
    const { count, evidence } = await runDatasetProbe(tx, derived, probe);
    if (count > 0) outcomes.push(outcomeOf(probe, count, evidence));
  }
  return verdictOf(outcomes);
}

/** What is stored of the probes of a whole dataset: those that hold are rows too, because no stamp tells of them. */
export function resultsAcross(probes: readonly DatasetProbe[], { outcomes }: Verdict): NewCheckResult[] {
  return probes.map(({ name, severity, rule }) => {
    const found = outcomes.find((outcome) => outcome.name === name);
    const evidence = found?.evidence ?? { message: "holds", rows: [] };
    const failures = found?.failures ?? 0;
    return { name, severity, failures, evidence: { ...evidence, ...(rule === undefined ? {} : { rule }) } };
  });
}

function outcomeOf(
  probe: { readonly name: string; readonly severity: Severity; readonly message: string },
  failures: number,
  { sql, rows }: Evidence,
  suspects?: readonly Suspect[],
): Outcome {
  return {
    name: probe.name,
    severity: probe.severity,
    failures,
    evidence: { message: `${failures} × ${probe.message}`, sql, rows, ...(suspects === undefined ? {} : { suspects }) },
  };
}

/** What the partition was computed from. What was recomputed with it is the more likely cause, so it comes first. */
function suspectsOf({ bindings }: TaskSpec): Suspect[] {
  return [
    ...bindings.flatMap((binding) => suspect(binding, "candidate", binding.recomputed)),
    ...bindings.flatMap((binding) => suspect(binding, "live", binding.live)),
  ];
}

function suspect({ input, everything }: Binding, from: Suspect["from"], ranges: Ranges): Suspect[] {
  const whole = from === "live" && everything === true;
  if (ranges.length === 0 && !whole) return [];
  const partitions = whole ? "all" : describePartitions(input.dataset.partitions, ranges);
  return [{ input: input.name, dataset: input.dataset.name, partitions, from }];
}

/** Failed checks of any kind as one verdict. */
export function verdictOf(found: readonly Outcome[]): Verdict {
  const outcomes = [...found].sort((a, b) => Number(a.severity === "warn") - Number(b.severity === "warn"));
  const errors = outcomes.filter((outcome) => outcome.severity === "error");
  const hold = errors.map((outcome) => `${outcome.name}: ${outcome.evidence.message}`).join("; ");
  return { outcomes, hold: errors.length === 0 ? null : hold };
}
