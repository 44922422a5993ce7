/** What can be wrong with the options `anomalies` and `validate`, and the durations of the latter. */
import { didYouMean } from "../suggest.ts";
import type { Derived } from "./model.ts";
import { qualified, tableOf, under } from "./wording.ts";

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds; undefined for a text that is no duration. */
export function everyMs(every: string): number | undefined {
  const [, count, unit] = /^([1-9]\d{0,5})([smhd])$/.exec(every) ?? [];
  return count === undefined || unit === undefined ? undefined : Number(count) * (units[unit] as number);
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
      ? [`every is ${JSON.stringify(validate.every)}; give a whole number and s, m, h or d, such as "1h"`]
      : []),
  ]);
}

function unknown(options: object, known: readonly string[]): string[] {
  return Object.keys(options)
    .filter((option) => !known.includes(option))
    .map((option) => `unknown option "${option}"${didYouMean(option, known)}`);
}
