CREATE TABLE "rederive"."table_shape" (
	"dataset" text PRIMARY KEY NOT NULL,
	"columns" jsonb NOT NULL,
	"backfill" text NOT NULL,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL
);
