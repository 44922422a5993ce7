/** Row-level lineage as it is reported, and as lines for people. Pure. */

import { RederiveError } from "../errors.ts";

type TextRow = Readonly<Record<string, string | null>>;

export interface RowLineage {
  readonly dataset: string;
  /** Label. */
  readonly partition: string;
  readonly key: Readonly<Record<string, string>>;
  /** The live row, as text; values of masked columns are "(masked)". */
  readonly row: TextRow;
  /** The backfill that computed its partition; null where none did. */
  readonly backfill: string | null;
  /** What the inputs are now may not be what they were when it was computed; sentences. */
  readonly warnings: readonly string[];
  readonly inputs: readonly RowInput[];
}

export interface RowInput {
  /** Handle of the input. */
  readonly input: string;
  readonly dataset: string;
  /** Labels of the partitions that the row's partition reads. */
  readonly partitions: string;
  /** Columns whose values narrow it down. */
  readonly narrowedBy: readonly string[];
  /** These rows and no others. Where false they are among the rows that are found. */
  readonly exact: boolean;
  /** Why it is not exact; sentences. */
  readonly doubts: readonly string[];
  /** How many rows were found. */
  readonly count: number;
  /** The first of them, as text. */
  readonly rows: readonly TextRow[];
}

/** `day=2001-01-05,airport=ORD`, or a JSON object where a value has a comma. Throws `usage`. */
export function parseKey(text: string): Record<string, string> {
  if (text.trimStart().startsWith("{")) return keyOfJson(text);
  const parts = text.split(",").map((part) => part.split(/=(.*)/s, 2));
  if (parts.some(([name, value]) => !name || value === undefined)) throw unreadable(text);
  return Object.fromEntries(parts.map(([name = "", value = ""]) => [name.trim(), value]));
}

function keyOfJson(text: string): Record<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable(text);
  }
  const entries = Object.entries(value as object);
  if (entries.some(([, each]) => each === null || typeof each === "object")) throw unreadable(text);
  return Object.fromEntries(entries.map(([name, each]) => [name, String(each)]));
}

function unreadable(text: string): RederiveError {
  return new RederiveError(
    "usage",
    `"${text.slice(0, 80)}" is no key; write column=value,column=value or a JSON object`,
  );
}

export function rowText({ dataset, partition, row, backfill, warnings, inputs }: RowLineage): string[] {
  return [
    `${dataset} ${partition}: ${shown(row)}`,
    `  computed by ${backfill ?? "no backfill"}; "rederive lineage ${dataset} --partition ${partition}" says more`,
    ...warnings.map((warning) => `  note: ${warning}`),
    ...inputs.flatMap(inputLines),
  ];
}

function inputLines({ input, dataset, partitions, narrowedBy, exact, doubts, count, rows }: RowInput): string[] {
  const found = `${count.toLocaleString("en-US")} ${count === 1 ? "row" : "rows"}`;
  const by = narrowedBy.length === 0 ? "all" : `by ${narrowedBy.join(", ")}`;
  return [
    `  from ${dataset} (${input}) in ${partitions}, ${by}: ${exact ? "exactly" : "among"} ${found}`,
    ...doubts.map((doubt) => `    not exact: ${doubt}`),
    ...rows.map((row) => `    ${shown(row)}`),
    ...(count > rows.length ? [`    and ${(count - rows.length).toLocaleString("en-US")} more`] : []),
  ];
}

function shown(row: TextRow): string {
  return Object.entries(row)
    .map(([name, value]) => `${name}=${value ?? "null"}`)
    .join(" ");
}
