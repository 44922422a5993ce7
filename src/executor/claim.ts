/** Claims tasks for a lane, and first ends the attempts of workers that are gone. */
import { type ClaimRow, claimTasks, terminateBackend } from "../store/claims.ts";
import type { Session } from "../warehouse/session.ts";
import type { TaskRef } from "./outcome.ts";
import { type RunPlan, upstreamsOf } from "./run-plan.ts";
import { type Claimed, derivedOf, type TaskContext } from "./task-context.ts";

/** The task with its claim, where it was won. */
export function claimedOf(ref: TaskRef, claim: ClaimRow | undefined): Claimed[] {
  return claim?.outcome === "claimed" ? [{ ref, epoch: claim.epoch, claim }] : [];
}

/**
 * Claims tasks of one dataset of one backfill; by task. The backend of an attempt whose worker is gone is ended first:
 * frozen inside COPY it would survive any timeout.
 */
export async function claimFor(
  refs: readonly TaskRef[],
  context: TaskContext,
  plan: RunPlan,
  session: Session,
): Promise<Map<string, ClaimRow>> {
  const [{ backfill, dataset }] = refs as readonly [TaskRef];
  const derived = derivedOf(context.catalog, dataset);
  const args = {
    backfill,
    dataset,
    worker: context.worker,
    backendPid: session.pid,
    backendStart: session.startedAt,
    planHash: plan.planHash,
    definition: plan.samePins ? (context.definitions[dataset] ?? null) : null,
    upstreams: derived === undefined ? [] : upstreamsOf(derived),
    maxLosses: context.maxLosses,
    alone: context.alone ?? true,
  };
  const claims = new Map<string, ClaimRow>();
  const claim = async (tasks: readonly string[]) => {
    for (const row of await claimTasks(session, { ...args, tasks })) claims.set(row.task, row);
  };
  await claim(refs.map(({ task }) => task));
  for (const lost of [...claims.values()].filter(({ outcome }) => outcome === "lost")) {
    if (lost.backendPid === null || lost.backendStart === null) continue;
    const gone = await terminateBackend(context.database, { pid: lost.backendPid, start: lost.backendStart });
    if (gone) await claim([lost.task]);
    else claims.set(lost.task, { ...lost, outcome: "busy" });
  }
  return claims;
}
