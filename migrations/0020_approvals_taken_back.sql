ALTER TABLE "rederive"."approval" DROP CONSTRAINT "approval_of_difference";--> statement-breakpoint
-- Approvals of rollbacks from before 0018 are bound to nothing and count for nothing. They are taken back, which is all that may
-- be done to what somebody said, so that the constraint holds for every row and an update of them does not fail.
WITH "void" AS (
  UPDATE "rederive"."approval" SET "withdrawn_at" = clock_timestamp()
  WHERE "act" = 'rollback' AND "verdict" = 'approved' AND "diff_digest" IS NULL AND "withdrawn_at" IS NULL
  RETURNING "id", "backfill", "plan_hash", "approver"
)
INSERT INTO "rederive"."audit" ("actor", "act", "backfill", "reason", "plan_hash", "details")
SELECT 'migrate', 'approval.withdraw', "backfill", 'approvals of rollbacks are bound to what was seen, and this one was not',
  "plan_hash", jsonb_build_object('approvals', jsonb_agg("id"::text ORDER BY "id"), 'approver', "approver")
FROM "void" GROUP BY "backfill", "plan_hash", "approver";--> statement-breakpoint
ALTER TABLE "rederive"."approval" ADD CONSTRAINT "approval_of_difference" CHECK ("rederive"."approval"."withdrawn_at" is not null or
        ("rederive"."approval"."act" in ('promote', 'rollback') and "rederive"."approval"."verdict" = 'approved') = ("rederive"."approval"."diff_digest" is not null));
