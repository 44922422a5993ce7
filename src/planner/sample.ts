/** What a sampled replay found, as people read it. Pure. */
import type { Catalog } from "../catalog/catalog.ts";
import { describePartitions } from "../catalog/label.ts";
import { size } from "../catalog/ranges.ts";
import type { DatasetDiff, Estimate, Sample, SampledDataset } from "../report.ts";
import { count, durationText } from "./labels.ts";
import { listOf } from "./reasons.ts";

const checksShown = 3;

/** A heading, and the lines of each dataset under it. */
export function sampleTexts(catalog: Catalog, sample: Sample): { heading: string; lines: string[] } {
  const heading = `Sample: ${count(sample.tasks, "task")} computed apart and thrown away, in ${durationText(sample.seconds)}`;
  return { heading, lines: sample.datasets.flatMap((each) => datasetTexts(catalog, each)) };
}

function datasetTexts(catalog: Catalog, sampled: SampledDataset): string[] {
  const { dataset, partitions, reads, failures, failedChecks, samples } = sampled;
  const scheme = catalog.datasets.get(dataset)?.partitions;
  const where = scheme === undefined || partitions.length === 0 ? "" : `: ${describePartitions(scheme, partitions)}`;
  const [shownFailures, shownChecks] = [failures.slice(0, checksShown), failedChecks.slice(0, checksShown)];
  const details = [
    ...columnTexts(sampled),
    ...samples.map((row) => `${row.kind}: ${differenceText(row)}`),
    ...(reads.live === 0 ? [] : [understatedText(reads)]),
    ...shownFailures.map(({ partition, code, message }) => `${partition} could not be computed: ${code}: ${message}`),
    ...more(failures.length - shownFailures.length, "more could not be computed"),
    ...shownChecks.map(({ name, partition, severity, evidence }) => {
      return `${severity === "error" ? "check" : "warning"} ${name} in ${partition}: ${evidence.message}`;
    }),
    ...more(failedChecks.length - shownChecks.length, "more checks failed"),
  ];
  const head = `${dataset}, ${size(partitions).toLocaleString("en-US")} of ${count(sampled.of, "partition")}${where}`;
  return [head, `  ${expectedText(sampled)}`, ...details.map((line) => `  ${line}`)];
}

/** `expected: 248 rows changed (240 to 256), none added, none removed; about 2 s of work (1 s to 3 s)`. */
function expectedText({ estimates }: SampledDataset): string {
  if (estimates === undefined) return "nothing can be expected: no partition could be computed";
  const { added, removed, changed, seconds } = estimates;
  const rows = [rowsText(changed, "changed"), rowsText(added, "added"), rowsText(removed, "removed")].join(", ");
  const work = `about ${durationText(seconds.expected)} of work (${durationText(seconds.low)} to ${durationText(seconds.high)})`;
  return `expected of all: ${rows}; ${work}`;
}

function rowsText({ expected, low, high }: Estimate, what: string): string {
  const [most, least, mean] = [high, low, expected].map((each) => each.toLocaleString("en-US"));
  if (high === 0) return `none ${what}`;
  if (low === high) return `${mean} ${what}`;
  return expected === 0 ? `none ${what} (at most ${most})` : `${mean} ${what} (${least} to ${most})`;
}

/** `differs in delay (120), average (118)`. */
function columnTexts({ columns, changed }: SampledDataset): string[] {
  const named = Object.entries(columns).map(([name, rows]) => `${name} (${rows.toLocaleString("en-US")})`);
  return named.length === 0 ? [] : [`of ${count(changed, "changed row")} here, differing in ${listOf(named)}`];
}

function understatedText({ sampled, live }: SampledDataset["reads"]): string {
  const total = (sampled + live).toLocaleString("en-US");
  return (
    `${live.toLocaleString("en-US")} of ${total} recomputed partitions that these read were read as they are live now, ` +
    "not from the sample, so more may change than is expected here"
  );
}

function more(left: number, what: string): string[] {
  return left > 0 ? [`${left.toLocaleString("en-US")} ${what}`] : [];
}

/** `day=2001-01-01, airport=ATL, delay: 5 → 9`. */
export function differenceText({ kind, before, after }: DatasetDiff["samples"][number]): string {
  const columns = Object.keys(after ?? before ?? {});
  return columns
    .map((column) => {
      const old = before?.[column] ?? null;
      const now = after?.[column] ?? null;
      if (kind !== "changed") return `${column}=${(after ?? before)?.[column] ?? "null"}`;
      return old === now ? `${column}=${now ?? "null"}` : `${column}: ${old ?? "null"} → ${now ?? "null"}`;
    })
    .join(", ");
}
