/**
 * Which approvals count. Pure: what was said of a plan, against what is true now. Each that does not count is told with
 * its reason, so that people see why theirs is not enough. The database refuses what this lets pass by mistake.
 */
import { RederiveError } from "../errors.ts";
import type { Requirement, VoidReason } from "../report.ts";
import type { ApprovalRow, ApprovedAct } from "../store/approvals.ts";

/** What an approval is bound to, as it is now. */
export interface Binding {
  readonly requester: string;
  readonly planHash: string;
  readonly schemaHash: string;
  /** Of the difference that a promotion would make, or of what a rollback loses; undefined where it is not known yet. */
  readonly diffDigest?: string | undefined;
}

export interface Judged {
  /** The newest of each person. */
  readonly counting: readonly ApprovalRow[];
  readonly void: readonly { readonly approval: ApprovalRow; readonly because: VoidReason }[];
  /** People whose last word is that another plan is wanted. */
  readonly changesRequested: readonly ApprovalRow[];
}

export function judge(rows: readonly ApprovalRow[], act: ApprovedAct, binding: Binding): Judged {
  const changesRequested = rows.filter(
    (row) => row.verdict === "changes_requested" && act !== "rollback" && stands(row) && !isAnswered(row, rows),
  );
  const approvals = rows.filter((row) => row.verdict === "approved" && row.act === act);
  const counting = new Map<string, ApprovalRow>();
  const voided: { approval: ApprovalRow; because: VoidReason }[] = [];
  for (const approval of approvals) {
    const because = voidOf(approval, rows, binding);
    if (because === undefined) counting.set(approval.approver, approval);
    else voided.push({ approval, because });
  }
  return { counting: [...counting.values()], void: voided, changesRequested };
}

/** Throws `changes_requested`, `approval_void` or `approval_required` where an act may not happen. */
export function requireApprovals(judged: Judged, act: ApprovedAct, { needed, signOff }: Needs, digest?: string): void {
  if (needed === 0 && signOff.length === 0) return;
  const [wish] = judged.changesRequested;
  if (wish !== undefined) {
    throw new RederiveError(
      "changes_requested",
      `${wish.approver} asked for another plan: ${wish.comment ?? "without a comment"}; plan again, or have it approved by them`,
      { details: { approver: wish.approver } },
    );
  }
  const unsigned = signOff.filter((owner) => !judged.counting.some((given) => speaksFor(given, owner)));
  const missing = needed - judged.counting.length;
  if (missing <= 0 && unsigned.length === 0) return;
  const what = [
    ...(missing > 0 ? [`${missing} more of ${needed} ${needed === 1 ? "approval" : "approvals"}`] : []),
    ...unsigned.map((owner) => `somebody of ${owner}`),
  ].join(" and ");
  const [last] = judged.void.slice(-1);
  const details = { act, needed, counting: judged.counting.length, unsigned, ...(digest && { digest }) };
  if (last !== undefined) {
    throw new RederiveError(
      "approval_void",
      `the approval of ${last.approval.approver} does not count: ${reasons[last.because]}; ${act} needs ${what}`,
      { details: { ...details, because: last.because } },
    );
  }
  const how =
    act === "rollback"
      ? '"rederive approve --act rollback", with the digest that "rederive rollback" says when it refuses'
      : '"rederive approve"';
  throw new RederiveError("approval_required", `${act} needs ${what}; ask for ${how}`, { details });
}

export interface Needs {
  readonly needed: number;
  readonly signOff: readonly string[];
}

/** A rollback that overwrites later writes needs a second person wherever a promotion does. */
export function needsOf(requirement: Requirement, act: ApprovedAct): Needs {
  switch (act) {
    case "start":
      return { needed: requirement.start, signOff: requirement.signOff };
    case "promote":
      return { needed: requirement.promote, signOff: [] };
    case "rollback":
      return { needed: Math.min(1, requirement.promote), signOff: [] };
  }
}

/** Whoever may not approve any more cannot hold a plan up either, and nobody does for ever. */
function stands({ withdrawnAt, expired, rightsLost }: ApprovalRow): boolean {
  return withdrawnAt === null && !expired && !rightsLost;
}

/** A person who approved after asking for changes has taken that back. */
function isAnswered(wish: ApprovalRow, rows: readonly ApprovalRow[]): boolean {
  return rows.some((row) => row.approver === wish.approver && row.verdict === "approved" && isAfter(row, wish));
}

function isAfter(row: ApprovalRow, other: ApprovalRow): boolean {
  return BigInt(row.id) > BigInt(other.id);
}

function voidOf(row: ApprovalRow, rows: readonly ApprovalRow[], binding: Binding): VoidReason | undefined {
  if (row.withdrawnAt !== null) return "withdrawn";
  if (row.expired) return "expired";
  if (row.approver === binding.requester) return "self_approval";
  if (row.rightsLost) return "rights_lost";
  if (row.planHash !== binding.planHash) return "plan_changed";
  if (row.schemaHash !== binding.schemaHash) return "schema_changed";
  const isOfAnother = binding.diffDigest !== undefined && row.diffDigest !== binding.diffDigest;
  if (row.act !== "start" && isOfAnother) return "difference_changed";
  const wasRevised = rows.some(
    (other) =>
      other.approver === row.approver &&
      other.verdict === "changes_requested" &&
      other.withdrawnAt === null &&
      isAfter(other, row),
  );
  return wasRevised ? "changes_requested" : undefined;
}

function speaksFor({ groups }: ApprovalRow, owner: string): boolean {
  return groups === null || groups.includes(owner);
}

const reasons: Readonly<Record<VoidReason, string>> = {
  withdrawn: "it was taken back",
  expired: "it has expired",
  self_approval: "they asked for it themselves",
  rights_lost: "they may not approve any more",
  plan_changed: "it is for another plan",
  schema_changed: "a table that the plan reads or writes has other columns now",
  difference_changed: "what would change or be lost is not what they saw",
  changes_requested: "they asked for another plan afterwards",
};
