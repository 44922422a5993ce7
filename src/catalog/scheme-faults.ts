/** What is wrong with a partition scheme, in sentences, for `defineCatalog` to report with all other faults. */
import { didYouMean } from "../suggest.ts";
import { isTimeZone } from "./calendar.ts";
import {
  adverbs,
  type ListScheme,
  type PartitionScheme,
  type RangeScheme,
  type TimeScheme,
  timeTypeOf,
} from "./scheme.ts";

/** What is wrong with a scheme, one sentence each; empty when it can be used. */
export function schemeFaults(scheme: PartitionScheme): string[] {
  switch (scheme.kind) {
    case "time":
      return timeFaults(scheme);
    case "range":
      return rangeFaults(scheme);
    case "hash": {
      const usable = Number.isInteger(scheme.buckets) && scheme.buckets >= 1 && scheme.buckets <= 65_536;
      return usable ? [] : [`buckets is ${scheme.buckets}; give a whole number from 1 to 65536`];
    }
    case "list":
      return listFaults(scheme);
    case "whole":
      return [];
  }
}

function timeFaults(scheme: TimeScheme): string[] {
  const faults: string[] = [];
  const type = timeTypeOf(scheme.column);
  if (type === undefined) {
    const seen = `${scheme.column.name} is ${scheme.column.getSQLType()}`;
    faults.push(`${seen}; ${adverbs[scheme.unit]} needs a timestamptz, timestamp or date column`);
  } else if (type === "date" && scheme.unit === "hour") {
    faults.push(`${scheme.column.name} is a date, which has no hours; use daily(${scheme.column.name})`);
  }
  if (!isTimeZone(scheme.timeZone)) {
    const hint = didYouMean(scheme.timeZone, ["UTC", ...Intl.supportedValuesOf("timeZone")]);
    faults.push(`unknown time zone "${scheme.timeZone}"${hint}; give an IANA name such as Europe/Bratislava`);
  }
  return faults;
}

function rangeFaults(scheme: RangeScheme): string[] {
  const faults: string[] = [];
  const type = scheme.column.getSQLType();
  if (!/^(small|big)?(int|serial)|^integer|^numeric|^decimal|^real|^double/.test(type)) {
    faults.push(`${scheme.column.name} is ${type}; range needs a number column`);
  }
  if (!Number.isSafeInteger(scheme.width) || scheme.width < 1) {
    faults.push(`width is ${scheme.width}; give a whole number of at least 1`);
  }
  return faults;
}

function listFaults(scheme: ListScheme): string[] {
  if (scheme.values.length === 0) return ["values is empty; name at least one value"];
  const texts = scheme.values.map(String);
  const repeated = [...new Set(texts.filter((text, index) => texts.indexOf(text) !== index))];
  return repeated.map((text) => `value "${text}" is listed twice; name each value once`);
}
