/**
 * Ends what is at its end: a backfill without open tasks is verified, one that cannot go on is held with the reason,
 * and so is one whose code no worker has. Changes of state are made under the leader's term, with their audit row.
 */
import { appendAudit } from "../store/audit.ts";
import { lockBackfill, moveBackfill } from "../store/backfills.ts";
import { readyPage } from "../store/edges.ts";
import { holdTerm, type Leadership } from "../store/leaders.ts";
import type { RunningBackfill } from "../store/release.ts";
import { driftedDatasets, isStuck, type Obstacle, obstaclesOf, progressOf } from "../store/settle.ts";
import type { Database, Tx } from "../tx.ts";
import { cutOff } from "./cutoff.ts";

export type Term = Leadership & { readonly term: string };

/** Where a backfill stands: it goes on, all of its tasks are settled (or all before a gate), or it was held. */
export type Standing = "going" | "finished" | "held";

export async function settle(
  database: Database,
  term: Term,
  backfill: RunningBackfill,
  blocked: readonly string[],
): Promise<Standing> {
  const progress = await progressOf(database, backfill.id, blocked);
  if (!progress.open || progress.atGate) return "finished";
  if (progress.moving) return "going";
  // Perhaps a worker died between its commit and the news to its consumers.
  if ((await makeAllReady(database, backfill.id)) > 0) return "going";
  const reason = reasonOf(await obstaclesOf(database, backfill.id));
  const stuck = (tx: Tx) => isStuck(tx, backfill.id, blocked);
  return (await hold(database, term, backfill.id, "hold", reason, stuck)) ? "held" : "going";
}

/** Holds backfills that wait for a definition which no live worker has had for `forMs`. Returns how many. */
export async function holdDrifted(database: Database, term: Term, forMs: number): Promise<number> {
  const byBackfill = new Map<string, string[]>();
  for (const { backfill, dataset } of await driftedDatasets(database, forMs)) {
    byBackfill.set(backfill, [...(byBackfill.get(backfill) ?? []), dataset]);
  }
  let held = 0;
  for (const [backfill, datasets] of byBackfill) {
    const reason =
      `code_drift: no live worker has the planned definition of ${datasets.join(", ")}; ` +
      "deploy workers with the planned code and resume, or plan again";
    if (await hold(database, term, backfill, "code_drift", reason)) held += 1;
  }
  return held;
}

/** One sentence for people: what stands in the way, and what they can do. */
export function reasonOf(obstacles: readonly Obstacle[]): string {
  const parts = obstacles.flatMap((each) => [
    ...(each.failed > 0 ? [`${partitions(each.failed)} of ${each.dataset} failed`] : []),
    ...(each.quarantined > 0 ? [`${partitions(each.quarantined)} of ${each.dataset} quarantined`] : []),
    ...(each.held ? [`${each.dataset} is held${each.holdReason === null ? "" : ` (${each.holdReason})`}`] : []),
  ]);
  if (parts.length === 0) return "the remaining tasks wait for upstreams that nothing will compute; retry or cancel";
  return `${parts.join("; ")}; retry, resume or cancel`;
}

function partitions(count: number): string {
  return count === 1 ? "1 partition" : `${count} partitions`;
}

async function makeAllReady(database: Database, backfill: string): Promise<number> {
  let ready = 0;
  let after: string | null = "0";
  while (after !== null) {
    const page: Awaited<ReturnType<typeof readyPage>> = await readyPage(database, { backfill, after, limit: 10_000 });
    const decided = await cutOff(database, backfill, page.prunable, { release: 0, graceMs: 0 });
    ready += page.ready.length + decided.moved;
    after = page.next;
  }
  return ready;
}

/** `still` is asked with the backfill's row locked, so that neither a worker nor a person was faster. */
async function hold(
  database: Database,
  term: Term,
  backfill: string,
  act: string,
  reason: string,
  still: (tx: Tx) => Promise<boolean> = async () => true,
): Promise<boolean> {
  return database.transaction(async (tx) => {
    if (!(await holdTerm(tx, term))) return false;
    await lockBackfill(tx, backfill);
    if (!(await still(tx))) return false;
    if (!(await moveBackfill(tx, { id: backfill, to: "held", reason, from: ["running"] }))) return false;
    await appendAudit(tx, { actor: "planner", act, backfill, reason });
    return true;
  });
}
