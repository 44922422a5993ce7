/** What became of tables since a run last started: columns that came, went, were renamed or have another type. Pure. */
import type { PreflightFinding } from "../report.ts";
import type { DatasetShape, TableColumn } from "./compatibility.ts";

/** One finding a table; none for a table that nobody has looked at before, or that is not there. */
export function driftOf({ dataset, table, live, seen }: DatasetShape): PreflightFinding[] {
  if (seen === undefined || live.length === 0) return [];
  const changes = [...seen.flatMap((before) => fateOf(before, live)), ...additions(seen, live)];
  if (changes.length === 0) return [];
  return [
    {
      code: "schema_drift",
      severity: "warn",
      dataset,
      what: `${table} is not as it was when a run last started`,
      seen: changes.join(", "),
      mitigation: "look whether rows that were computed before still mean the same; the next start takes it as it is",
    },
  ];
}

function fateOf(before: TableColumn, live: readonly TableColumn[]): string[] {
  const now = live.find(({ number }) => number === before.number) ?? live.find(({ name }) => name === before.name);
  if (now === undefined) return [`${before.name} was dropped`];
  return [
    ...(now.name === before.name ? [] : [`${before.name} was renamed to ${now.name}`]),
    ...(now.type === before.type ? [] : [`${now.name} was ${before.type} and is ${now.type}`]),
  ];
}

function additions(seen: readonly TableColumn[], live: readonly TableColumn[]): string[] {
  return live
    .filter(({ name, number }) => !seen.some((before) => before.number === number || before.name === name))
    .map(({ name, type }) => `${name} ${type} was added`);
}
