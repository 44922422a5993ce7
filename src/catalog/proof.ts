/** What can be wrong with the options `anomalies` and `validate`, and the durations of the latter. */
import { didYouMean } from "../suggest.ts";
import type { Derived } from "./model.ts";
import { qualified, tableOf, under } from "./wording.ts";

/** Each in its short and its long form; the long one is that of `check.freshness`. */
const units: Readonly<Record<string, number>> = {
  ...{ s: 1_000, second: 1_000, m: 60_000, minute: 60_000 },
  ...{ h: 3_600_000, hour: 3_600_000, d: 86_400_000, day: 86_400_000 },
};

/** Milliseconds; undefined for a text that is no duration. */
export function everyMs(every: string): number | undefined {
  const [, count, short, long] = /^([1-9]\d{0,5})(?:([smhd])| (second|minute|hour|day)s?)$/.exec(every) ?? [];
  return count === undefined ? undefined : Number(count) * (units[short ?? long ?? ""] as number);
}

export function proofFaults(dataset: Derived): string[] {
  return [...anomalyFaults(dataset), ...validationFaults(dataset)];
}

function anomalyFaults(dataset: Derived): string[] {
  const { anomalies } = dataset;
  if (anomalies === undefined || anomalies === false) return [];
  const { columns = [], severity = "warn", spreads = 1 } = anomalies;
  const foreign = columns.filter((column) => !dataset.owned.includes(column));
  return under("anomalies", [
    ...unknown(anomalies, ["columns", "severity", "spreads"]),
    ...foreign.map((column) => `${qualified(column)} is no owned column of ${tableOf(dataset)}`),
    ...(severity === "warn" || severity === "error" ? [] : [`severity is ${String(severity)}; give error or warn`]),
    ...(spreads > 0 && Number.isFinite(spreads) ? [] : [`spreads is ${spreads}; give a number above 0`]),
  ]);
}

function validationFaults({ validate }: Derived): string[] {
  if (validate === undefined) return [];
  return under("validate", [
    ...unknown(validate, ["every"]),
    ...(everyMs(String(validate.every)) === undefined
      ? [`every is ${JSON.stringify(validate.every)}; give a whole number and a unit, such as "1 hour" or "1h"`]
      : []),
  ]);
}

function unknown(options: object, known: readonly string[]): string[] {
  return Object.keys(options)
    .filter((option) => !known.includes(option))
    .map((option) => `unknown option "${option}"${didYouMean(option, known)}`);
}
