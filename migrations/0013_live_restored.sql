ALTER TABLE "rederive"."backfill" ADD COLUMN "rolled_back_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "rederive"."live" ADD COLUMN "restored_at" timestamp with time zone;