/**
 * What people say of a plan: approve, ask for another, comment, take it back. Each act is one transaction with its audit
 * row. Whether it is enough is asked again in the transaction that starts or publishes (approved.ts).
 */
import { RederiveError } from "../errors.ts";
import { judge, needsOf } from "../governance/approvals.ts";
import { personOf } from "../governance/roles.ts";
import type { ApprovalEntry, Approvals, VoidReason } from "../report.ts";
import {
  type ApprovalRow,
  type ApprovedAct,
  insertApproval,
  readApprovals,
  type Verdict,
  withdrawApprovals,
} from "../store/approvals.ts";
import { appendAudit } from "../store/audit.ts";
import { type BackfillRow, moveBackfill } from "../store/backfills.ts";
import type { Tx } from "../tx.ts";
import { bindingOf, isApproved, requirementNow, schemaHash } from "./approved.ts";
import { type Context, requireBackfill, requireLocked, requireSameEnvironment, wrongState } from "./context.ts";

export interface ApproveInput {
  /** What is approved: the plan (default), its promotion, or a rollback that overwrites later writes. */
  readonly act?: ApprovedAct | undefined;
  /** For a promotion: `digest` of the diff that was looked at. For a rollback: one of `digests` of its refusal. */
  readonly digest?: string | undefined;
  readonly comment?: string | undefined;
}

export interface CommentInput {
  readonly comment: string;
}

/** Approves as the person behind the actor. Errors: self_approval, usage, wrong_state. */
export async function approve(context: Context, id: string, input: ApproveInput): Promise<void> {
  const act = input.act ?? "start";
  requireDigest(id, act, input.digest);
  await say(context, id, { act, verdict: "approved", diffDigest: input.digest, comment: input.comment }, (row) => {
    requireAwaited(row, act);
    if (personOf(context.actor) === row.requestedBy) {
      throw new RederiveError(
        "self_approval",
        `${row.requestedBy} asked for ${id}, and nobody approves what they asked for; ask somebody else`,
        { details: { requestedBy: row.requestedBy } },
      );
    }
  });
}

/** The plan does not start until whoever says this approves it, or takes it back. */
export async function requestChanges(context: Context, id: string, { comment }: CommentInput): Promise<void> {
  await say(context, id, { act: "start", verdict: "changes_requested", comment: required(comment) });
}

export async function comment(context: Context, id: string, input: CommentInput): Promise<void> {
  await say(context, id, { act: "start", verdict: "commented", comment: required(input.comment) });
}

/** Takes back everything that the actor's person approved or asked for. */
export async function withdraw(context: Context, id: string, input: { readonly reason: string }): Promise<void> {
  await context.database.transaction(async (tx) => {
    const row = await requireLocked(tx, id);
    const taken = await withdrawApprovals(tx, id, personOf(context.actor));
    if (taken.length === 0) {
      throw new RederiveError(
        "wrong_state",
        `${personOf(context.actor)} has said nothing of ${id} that could be taken back`,
      );
    }
    await settle(context, tx, row);
    await audit(context, tx, row, { act: "approval.withdraw", reason: input.reason, details: { approvals: taken } });
  });
}

/** What was said, what counts, and what is still needed. */
export async function approvals(context: Context, id: string): Promise<Approvals> {
  return context.database.transaction(async (tx) => {
    const row = await requireBackfill(tx, id);
    const rows = await readApprovals(tx, id);
    const needed = requirementNow(context, row);
    const binding = await bindingOf(context, tx, row);
    const voids = new Map(
      acts.flatMap((act) => judge(rows, act, binding).void).map((each) => [each.approval.id, each.because]),
    );
    return {
      backfill: id,
      planHash: row.planHash,
      requestedBy: row.requestedBy,
      needed: { start: needed.start, promote: needed.promote, signOff: needed.signOff },
      entries: rows.map((each) => entryOf(each, voids.get(each.id))),
    };
  });
}

interface Said {
  readonly act: ApprovedAct;
  readonly verdict: Verdict;
  readonly diffDigest?: string | undefined;
  readonly comment?: string | undefined;
}

async function say(
  context: Context,
  id: string,
  said: Said,
  refuse: (row: BackfillRow) => void = () => undefined,
): Promise<void> {
  const { actor, settings } = context;
  await context.database.transaction(async (tx) => {
    const row = await requireLocked(tx, id);
    requireSameEnvironment(context, row);
    refuse(row);
    const approvalId = await insertApproval(tx, {
      ...said,
      backfill: id,
      planHash: row.planHash,
      requester: row.requestedBy,
      approver: personOf(actor),
      groups: actor.groups,
      token: actor.token,
      identity: actor.identity,
      schemaHash: await schemaHash(context, tx, row),
      diffDigest: said.diffDigest,
      comment: said.comment,
      hours: settings.governance.approvalHours,
    });
    await settle(context, tx, row);
    await audit(context, tx, row, {
      act: auditActs[said.verdict],
      reason: said.comment,
      details: {
        approval: approvalId,
        act: said.act,
        ...(said.diffDigest === undefined ? {} : { digest: said.diffDigest }),
      },
    });
  });
}

/** A plan that needs approval shows in its state whether it has it; what counts at its start is asked then. */
async function settle(context: Context, tx: Tx, row: BackfillRow): Promise<void> {
  if (row.state !== "planned" && row.state !== "approved") return;
  const needs = needsOf(requirementNow(context, row), "start");
  if (needs.needed === 0 && needs.signOff.length === 0) return;
  const enough = await isApproved(context, tx, row);
  if (enough && row.state === "planned") await moveBackfill(tx, { id: row.id, to: "approved", reason: null });
  if (!enough && row.state === "approved") await moveBackfill(tx, { id: row.id, to: "planned", reason: null });
}

async function audit(
  context: Context,
  tx: Tx,
  row: BackfillRow,
  entry: {
    readonly act: string;
    readonly reason: string | undefined;
    readonly details: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  await appendAudit(tx, { actor: context.actor.name, backfill: row.id, planHash: row.planHash, ...entry });
}

const acts = ["start", "promote", "rollback"] as const satisfies readonly ApprovedAct[];

const auditActs = {
  approved: "approval.approve",
  changes_requested: "approval.request_changes",
  commented: "approval.comment",
} as const satisfies Record<Verdict, string>;

function requireDigest(id: string, act: ApprovedAct, digest: string | undefined): void {
  if (act === "promote" && digest === undefined) {
    throw new RederiveError(
      "usage",
      `approve the promotion of ${id} with the digest of the diff that you looked at; "rederive diff ${id}" prints it`,
    );
  }
  if (act === "rollback" && digest === undefined) {
    throw new RederiveError(
      "usage",
      `approve the rollback of ${id} with the digest of what you saw that it does to later writes; "rederive rollback ${id}" refuses and says it`,
    );
  }
  if (act === "start" && digest !== undefined) {
    throw new RederiveError(
      "usage",
      "a digest belongs to the approval of a promotion or of a rollback, not of a start",
    );
  }
}

function requireAwaited(row: BackfillRow, act: ApprovedAct): void {
  const states: Readonly<Record<ApprovedAct, readonly BackfillRow["state"][]>> = {
    start: ["planned", "approved"],
    promote: ["verified", "rolled_back"],
    rollback: ["promoted"],
  };
  if (states[act].includes(row.state)) return;
  throw wrongState(row, `approve the ${act} of`, `that is possible while it is ${states[act].join(" or ")}`);
}

function required(comment: string): string {
  if (comment.trim() !== "") return comment;
  throw new RederiveError("usage", "say what should change, or what you think");
}

function entryOf(row: ApprovalRow, because: VoidReason | undefined): ApprovalEntry {
  const { act, verdict, approver, comment, at, expiresAt, diffDigest } = row;
  const isVoid = because ?? (row.withdrawnAt === null ? undefined : "withdrawn");
  return {
    act,
    verdict,
    approver,
    comment,
    at,
    expiresAt,
    ...(diffDigest === null ? {} : { digest: diffDigest }),
    ...(isVoid === undefined ? {} : { void: isVoid }),
  };
}
