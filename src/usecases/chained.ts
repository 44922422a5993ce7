/**
 * A promotion waits until what was decided before it is chained: an entry that is not could be changed or lost without a
 * trace, and so could the approval that the promotion rests on. A rollback waits for nothing.
 */
import { setTimeout as delay } from "node:timers/promises";
import { RederiveError } from "../errors.ts";
import { chainIfAllowed, chainSome } from "../governance/sequencer.ts";
import { newestPending, pendingThrough } from "../store/audit-chain.ts";
import type { Context } from "./context.ts";

const lookEveryMs = 200;

/** Throws `audit_behind` where nobody has chained it in time. Entries of after the call are not waited for. */
export async function requireChained({ database, settings }: Pick<Context, "database" | "settings">): Promise<void> {
  const { auditWaitMs } = settings.governance;
  if (auditWaitMs === 0) return;
  const through = await newestPending(database);
  if (through === undefined) return;
  const until = performance.now() + auditWaitMs;
  // Who promotes may have the right to chain, where nobody is at it; with the roles of a deployment it is the planner's.
  for (let mayChain = true; ; ) {
    mayChain = mayChain && (await chainIfAllowed(database, chainSome)) > 0;
    const unchained = await pendingThrough(database, through);
    if (unchained === 0) return;
    if (performance.now() >= until) throw behind(unchained, auditWaitMs);
    if (!mayChain) await delay(lookEveryMs);
  }
}

function behind(unchained: number, waitedMs: number): RederiveError {
  return new RederiveError(
    "audit_behind",
    `${unchained} ${unchained === 1 ? "entry" : "entries"} of the audit trail wait to be chained, for more than ${waitedMs} ms; ` +
      "a promotion comes after what it rests on. Start a planner, look at audit in /readyz, and promote again",
    { details: { unchained, waitedMs } },
  );
}
