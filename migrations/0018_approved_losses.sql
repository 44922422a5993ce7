ALTER TABLE "rederive"."approval" DROP CONSTRAINT "approval_of_difference";--> statement-breakpoint
-- Approvals of rollbacks that were given before stay as they were said; they are bound to nothing, and count no more.
ALTER TABLE "rederive"."approval" ADD CONSTRAINT "approval_of_difference" CHECK (("rederive"."approval"."act" in ('promote', 'rollback') and "rederive"."approval"."verdict" = 'approved') = ("rederive"."approval"."diff_digest" is not null)) NOT VALID;
