/** Routes about agreement: what people say of a plan, and what of it counts. */
import { z } from "zod";
import type { Approvals } from "../report.ts";
import { backfillPath, components, noFields, reason, reasonBody } from "./requests.ts";
import { backfillOf, type Route, route } from "./route.ts";

const ofBackfill = { path: backfillPath, query: noFields, body: noFields };

const act = z.enum(["start", "promote", "rollback"]);

const approveBody = z
  .strictObject({
    act: z.exactOptional(act.describe("What is approved; default start")),
    digest: z.exactOptional(
      z
        .string()
        .regex(/^[0-9a-f]{64}$/, "a digest is 64 of 0-9 and a-f")
        .describe(
          "For a promotion: digest of the diff that was looked at; for a rollback: one of the digests of its refusal",
        ),
    ),
    comment: z.exactOptional(reason),
  })
  .register(components, { id: "ApproveRequest" });

const commentBody = z.strictObject({ comment: reason }).register(components, { id: "CommentRequest" });

const approvals: z.ZodType<Approvals> = z
  .object({
    backfill: z.string(),
    planHash: z.string(),
    requestedBy: z.string(),
    needed: z.object({ start: z.int(), promote: z.int(), signOff: z.array(z.string()) }),
    entries: z.array(
      z.object({
        act,
        verdict: z.enum(["approved", "changes_requested", "commented"]),
        approver: z.string(),
        comment: z.string().nullable(),
        at: z.string(),
        expiresAt: z.string(),
        digest: z.exactOptional(z.string()),
        void: z.exactOptional(
          z.enum([
            ...["withdrawn", "expired", "self_approval", "rights_lost"],
            ...["plan_changed", "schema_changed", "difference_changed", "changes_requested"],
          ] as const),
        ),
      }),
    ),
  })
  .register(components, { id: "Approvals" });

export const approvalRoutes: readonly Route[] = [
  route({
    ...ofBackfill,
    operation: "listApprovals",
    method: "get",
    at: "/backfills/:id/approvals",
    useCase: "approval.read",
    summary: "What was said of a plan, what of it counts, and what is needed",
    answer: approvals,
    run: async (call) => (await backfillOf(call)).approvals(),
  }),
  route({
    ...ofBackfill,
    operation: "approve",
    method: "post",
    at: "/backfills/:id/approvals",
    useCase: "approval.approve",
    summary: "Agree to a plan, to its promotion, or to a rollback that overwrites later writes",
    body: approveBody,
    answer: approvals,
    run: async (call) => (await backfillOf(call)).approve(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "requestChanges",
    method: "post",
    at: "/backfills/:id/request-changes",
    useCase: "approval.request_changes",
    summary: "Ask for another plan; this one does not start until the same person approves it",
    body: commentBody,
    answer: approvals,
    run: async (call) => (await backfillOf(call)).requestChanges(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "comment",
    method: "post",
    at: "/backfills/:id/comments",
    useCase: "approval.comment",
    summary: "Say something about a plan",
    body: commentBody,
    answer: approvals,
    run: async (call) => (await backfillOf(call)).comment(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "withdrawApproval",
    method: "post",
    at: "/backfills/:id/withdraw",
    useCase: "approval.withdraw",
    summary: "Take back what one approved or asked for",
    body: reasonBody,
    answer: approvals,
    run: async (call) => (await backfillOf(call)).withdraw(call.body),
  }),
];
