/** What the run found: its checks, and how its rows differ from what is live. */
import type { Backfill, Status } from "rederive";
import type { Stage } from "../stage.ts";
import { columns, count, plural } from "../story.ts";

/** Shows the checks and the difference; returns how many rows a promotion would change. */
export async function compare(stage: Stage, backfill: Backfill, status: Status): Promise<number> {
  const { story } = stage;
  const errors = status.failedChecks.filter(({ severity }) => severity === "error").length;
  const warnings = status.failedChecks.length - errors;
  story.line(`checks of every partition: ${errors} failed, ${plural(warnings, "warning")}`);
  const diff = await story.timed("compared with what is live, by key:", () => backfill.diff({ samples: 1 }));
  const table = diff.datasets.map(({ dataset, added, removed, changed, unchanged }) => [
    dataset,
    ...[added, removed, changed, unchanged].map(count),
  ]);
  for (const line of columns([["", "added", "removed", "changed", "unchanged"], ...table])) story.line(`  ${line}`);
  const samples = diff.datasets.flatMap(({ dataset, samples: some }) => some.map((sample) => ({ dataset, ...sample })));
  story.line("for example:");
  // The first and the last of the chain: a cause, and what people see of it.
  for (const sample of [samples.at(0), samples.at(-1)]) {
    if (sample) story.line(`  ${sample.dataset}  ${sampleText(sample.before, sample.after)}`);
  }
  return diff.datasets.reduce((sum, { added, removed, changed }) => sum + added + removed + changed, 0);
}

type Sample = Readonly<Record<string, string | null>> | null;

/** Columns that stay as `name value`, columns that change as `name old → new`. */
function sampleText(before: Sample, after: Sample): string {
  const names = Object.keys(after ?? before ?? {});
  return names
    .map((name) => {
      const [old, now] = [before?.[name] ?? "none", after?.[name] ?? "none"];
      return old === now ? `${name} ${now}` : `${name} ${old} → ${now}`;
    })
    .join(", ");
}
