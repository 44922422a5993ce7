CREATE TABLE "rederive"."definition" (
	"hash" text PRIMARY KEY NOT NULL,
	"dataset" text NOT NULL,
	"content" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "rederive"."live" ADD COLUMN "reads" jsonb;--> statement-breakpoint
ALTER TABLE "rederive"."live" ADD COLUMN "reads_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "rederive"."live" ADD COLUMN "metadata" text;