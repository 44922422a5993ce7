/** Limits of datasets and shared resources, for the whole fleet, changed while it runs. */
import type { Catalog } from "../catalog/catalog.ts";
import { RederiveError } from "../errors.ts";
import { effectiveLimits } from "../executor/limits.ts";
import { limitsOf } from "../executor/planner-loop.ts";
import type { LimitSetting } from "../report.ts";
import { appendAudit } from "../store/audit.ts";
import { type QueueLimit, readLimits, writeLimit } from "../store/limits.ts";
import { didYouMean } from "../suggest.ts";
import type { Context } from "./context.ts";

export interface LimitInput {
  /** Null takes the limit off; undefined leaves it. `perMs` is in milliseconds. */
  readonly rate?: { readonly max: number; readonly perMs: number } | null | undefined;
  /** Tasks at a time over all workers; 0 stops the queue. Null takes the limit off; undefined leaves it. */
  readonly concurrency?: number | null | undefined;
}

export async function limits(context: Context): Promise<LimitSetting[]> {
  const known = new Set(limitsOf(context.catalog).map((limit) => limit.queue));
  const effective = effectiveLimits(limitsOf(context.catalog), await readLimits(context.database));
  return effective.filter((limit) => known.has(limit.queue)).map(settingOf);
}

/** Takes effect at the planner loop's next turn and outlives Redis. */
export async function setLimit(
  context: Context,
  name: string,
  input: LimitInput,
  reason: string,
): Promise<LimitSetting> {
  if (reason.trim() === "") throw new RederiveError("usage", "a limit needs a reason, for the audit trail");
  const declared = limitsOf(context.catalog);
  const base = declared.find((limit) => limit.queue === queueOfName(name));
  if (!base) throw unlimited(context.catalog, name);
  const changed = await context.database.transaction(async (tx) => {
    const current = effectiveLimits(declared, await readLimits(tx)).find((limit) => limit.queue === base.queue) ?? base;
    const next: QueueLimit = {
      queue: base.queue,
      rate: input.rate === undefined ? current.rate : input.rate,
      concurrency: input.concurrency === undefined ? current.concurrency : input.concurrency,
    };
    await writeLimit(tx, next, context.actor.name);
    await appendAudit(tx, {
      actor: context.actor.name,
      act: "limit.set",
      reason,
      details: { from: current, to: next },
    });
    return next;
  });
  context.wake();
  return settingOf(changed);
}

function unlimited(catalog: Catalog, name: string): RederiveError {
  const names = limitsOf(catalog).map((limit) => settingOf(limit).name);
  const known = catalog.datasets.has(name);
  return new RederiveError(
    known ? "usage" : "not_found",
    known
      ? `${name} has no queue of its own; give it \`limits\` or a \`resource\` in its definition first`
      : `there is no limited dataset or resource ${JSON.stringify(name.slice(0, 80))}${didYouMean(name, names)}`,
  );
}

function queueOfName(name: string): string {
  return `resource-${name}`;
}

function settingOf(limit: QueueLimit): LimitSetting {
  return { name: limit.queue.replace(/^resource-/, ""), rate: limit.rate, concurrency: limit.concurrency };
}
