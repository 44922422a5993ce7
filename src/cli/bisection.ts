/** A divergence as text: its partitions, then row by row what differs, why, and the input rows behind it. */
import type { BisectedInput, BisectedRow, DatasetBisection } from "../report.ts";

const partitionsShown = 10;

export function bisectionLines({ dataset, compared, proven, divergent, partitions, rows }: DatasetBisection): string[] {
  const unread = proven === 0 ? "" : ` (${proven} equal by their stamps)`;
  if (divergent === 0) return [`${dataset}: no difference in ${compared} partitions${unread}`];
  const shown = partitions.slice(0, partitionsShown);
  const more = divergent - shown.length;
  return [
    `${dataset}: differences in ${divergent} of ${compared} partitions${unread}`,
    ...shown.map(({ partition, added, removed, changed, columns, redefined }) => {
      const places = Object.entries(columns).map(([name, count]) => `${name} (${count})`);
      const where = places.length === 0 ? "" : ` in ${places.join(", ")}`;
      const definition = redefined ? "; another definition" : "";
      return `  ${partition}: ${added} added, ${removed} removed, ${changed} changed${where}${definition}`;
    }),
    ...(more > 0 ? [`  and ${more} more`] : []),
    ...rows.flatMap(rowLines),
  ];
}

function rowLines({ partition, kind, key, columns, before, after, causes, inputs }: BisectedRow): string[] {
  return [
    `  ${kind} ${rowText(key)} in ${partition}`,
    ...columns.map((name) => `    ${name}: ${before?.[name] ?? "null"} → ${after?.[name] ?? "null"}`),
    ...causes.map((cause) => `    because ${cause}`),
    ...inputs.flatMap(inputLines),
  ];
}

function inputLines({ dataset, from, partitions, narrowedBy, differing, rows }: BisectedInput): string[] {
  const by = narrowedBy.length === 0 ? "" : ` by ${narrowedBy.join(", ")}`;
  const count = differing === 1 ? "1 row differs" : `${differing ?? 0} rows differ`;
  return [
    `    ${dataset} ${partitions}${by}: ${from === "live" ? (rows.length === 0 ? "no row" : "read") : count}`,
    ...rows.map(({ before, after }) => {
      if (from === "live") return `      ${rowText(after ?? {})}`;
      return `      ${before === null ? "none" : rowText(before)} → ${after === null ? "none" : rowText(after)}`;
    }),
  ];
}

function rowText(row: BisectedRow["key"]): string {
  return Object.entries(row)
    .map(([name, value]) => `${name}=${value ?? "null"}`)
    .join(", ");
}
