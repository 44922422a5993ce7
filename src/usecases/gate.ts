/**
 * The gate after a phase: what is computed so far is judged as all of it will be in the end (rules across partitions,
 * what the plan expects, baselines, history) and compared with what is live. Where something is found, the backfill is
 * held with it, as it would be at the end; else an automatic gate opens the next phase, and one that asks for approval
 * waits for somebody.
 */
import type { Catalog } from "../catalog/catalog.ts";
import { RederiveError } from "../errors.ts";
import { personOf } from "../governance/roles.ts";
import { foundText, reachedIn } from "../planner/phases.ts";
import { diff } from "../promotion/diff.ts";
import { appendAudit } from "../store/audit.ts";
import { type BackfillRow, decisionOf, lockBackfill, moveBackfill, readBackfill } from "../store/backfills.ts";
import {
  holdPhase,
  judgedPhase,
  notePhase,
  type PhaseFound,
  type PhaseRow,
  passPhase,
  readPhases,
} from "../store/phases.ts";
import { progressOf } from "../store/settle.ts";
import type { Database, Tx } from "../tx.ts";
import { type Context, requireLocked, requireSameEnvironment, wrongState } from "./context.ts";
import type { Reasoned } from "./control.ts";
import { mergeInputs } from "./publish.ts";
import { judge, record, standingHolds } from "./verify.ts";

export interface ApprovePhaseInput extends Reasoned {
  /** The phase that waits, by its name: `pilot`, `10%`. */
  readonly phase: string;
}

/** Judges the phase that is computed. False where no phase is waiting behind it: then everything is to be verified. */
export async function judgeGate(database: Database, catalog: Catalog, backfill: string): Promise<boolean> {
  const phase = await phaseAtGate(database, backfill);
  const row = phase && (await readBackfill(database, backfill));
  if (phase === undefined || row === undefined) return false;
  // As at the end, the queries run outside of the transaction that locks the backfill's row.
  const within = reachedIn(decisionOf(row).phases ?? [], phase.ordinal);
  const judged = await judge(database, catalog, backfill, within);
  const found = await foundIn({ database, catalog }, backfill, within);
  await database.transaction(async (tx) => {
    if (!(await stillThere(tx, backfill, phase))) return;
    await record(tx, backfill, judged);
    await notePhase(tx, { backfill, ordinal: phase.ordinal, found });
    const holds = await standingHolds(tx, backfill);
    const outcome = await settleGate(tx, row, phase, { holds, found });
    const details = { phase: phase.name, outcome, found, holds };
    await appendAudit(tx, { actor: "planner", act: "backfill.gate", backfill, planHash: row.planHash, details });
  });
  return true;
}

/** Lets a phase pass that waits for it. Throws `wrong_state` where it does not, `approval_required` for the requester. */
export async function approvePhase(context: Context, id: string, { phase, reason }: ApprovePhaseInput): Promise<void> {
  if (reason.trim() === "") throw new RederiveError("usage", "an approval needs a reason, for the audit trail");
  const { actor, database } = context;
  await database.transaction(async (tx) => {
    const row = await requireLocked(tx, id);
    const waiting = await judgedPhase(tx, id);
    if (waiting?.name !== phase || row.state !== "held") {
      const possible =
        waiting === undefined ? "no phase of it waits for approval" : `${waiting.name} waits for approval`;
      throw wrongState(row, `let ${phase} pass in`, possible);
    }
    requireSameEnvironment(context, row);
    if (row.environment === "production" && personOf(actor) === row.requestedBy) {
      throw new RederiveError(
        "approval_required",
        `${row.requestedBy} asked for ${id}; somebody else has to approve its phases`,
      );
    }
    await passPhase(tx, { backfill: id, ordinal: waiting.ordinal, by: actor.name });
    await moveBackfill(tx, { id, to: "running", reason: null, from: ["held"] });
    const details = { phase, found: waiting.found };
    const audited = { actor: actor.name, act: "backfill.approve_phase", backfill: id, reason };
    await appendAudit(tx, { ...audited, planHash: row.planHash, details });
  });
  context.wake();
}

/** The phase whose gate holds others back, where it was not judged yet. */
async function phaseAtGate(tx: Tx, backfill: string): Promise<PhaseRow | undefined> {
  const phases = await readPhases(tx, backfill);
  return phases.some(({ state }) => state === "waiting") ? phases.find(({ state }) => state === "open") : undefined;
}

/** With the backfill's row locked: neither a person was faster, nor is something of the phase computed again. */
async function stillThere(tx: Tx, backfill: string, phase: PhaseRow): Promise<boolean> {
  const row = await lockBackfill(tx, backfill);
  if (row?.state !== "running") return false;
  const now = await phaseAtGate(tx, backfill);
  const { open, atGate } = await progressOf(tx, backfill, []);
  return now?.ordinal === phase.ordinal && (atGate || !open);
}

async function foundIn(
  context: Pick<Context, "database" | "catalog">,
  backfill: string,
  within: ReadonlyMap<string, unknown>,
): Promise<PhaseFound[]> {
  const datasets = (await mergeInputs(context, backfill)).filter(({ derived }) => within.has(derived.name));
  const found = await diff(context.database, { backfill, datasets, samples: 0 });
  return found.datasets.map(({ dataset, added, removed, changed, unchanged }) => {
    return { dataset, added, removed, changed, unchanged };
  });
}

async function settleGate(
  tx: Tx,
  { id }: BackfillRow,
  phase: PhaseRow,
  { holds, found }: { readonly holds: readonly string[]; readonly found: readonly PhaseFound[] },
): Promise<"held" | "passed" | "waits"> {
  if (holds.length > 0) {
    await moveBackfill(tx, { id, to: "held", reason: `after ${phase.name}: ${holds.join("; ")}` });
    return "held";
  }
  if (phase.gate === "automatic") {
    await passPhase(tx, { backfill: id, ordinal: phase.ordinal, by: "planner" });
    return "passed";
  }
  await holdPhase(tx, id, phase.ordinal);
  const reason = `${phase.name} is done and waits for approval: ${foundText(found)}`;
  await moveBackfill(tx, { id, to: "held", reason });
  return "waits";
}
