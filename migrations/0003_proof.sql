CREATE TABLE "rederive"."baseline" (
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"dataset" text NOT NULL,
	"partitions" "int8multirange",
	"query" text,
	"key" text[] NOT NULL,
	"columns" text[] NOT NULL,
	"tolerance" jsonb NOT NULL,
	"severity" text NOT NULL,
	"rows_in" text NOT NULL,
	"rows" bigint NOT NULL,
	"content_hash" text NOT NULL,
	"hash_algorithm" text NOT NULL,
	"provenance" jsonb NOT NULL,
	"state" text DEFAULT 'captured' NOT NULL,
	"reason" text NOT NULL,
	"captured_by" text NOT NULL,
	"captured_at" timestamp with time zone DEFAULT now() NOT NULL,
	"decided_by" text,
	"decided_at" timestamp with time zone,
	CONSTRAINT "baseline_name_version_pk" PRIMARY KEY("name","version"),
	CONSTRAINT "baseline_state" CHECK ("rederive"."baseline"."state" in ('captured','approved','retired')),
	CONSTRAINT "baseline_severity" CHECK ("rederive"."baseline"."severity" in ('error','warn'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."live_writes" (
	"dataset" text PRIMARY KEY NOT NULL,
	"storage" text NOT NULL,
	"writes" bigint NOT NULL,
	"since" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rederive"."metric" (
	"stamp" bigint PRIMARY KEY NOT NULL,
	"dataset" text NOT NULL,
	"partition" bigint NOT NULL,
	"values" jsonb NOT NULL,
	"measured_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rederive"."watch" (
	"dataset" text PRIMARY KEY NOT NULL,
	"started_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone,
	"failing" integer,
	"checked" integer,
	"error" text
);
--> statement-breakpoint
CREATE UNIQUE INDEX "baseline_approved" ON "rederive"."baseline" USING btree ("name") WHERE "rederive"."baseline"."state" = 'approved';--> statement-breakpoint
CREATE INDEX "metric_partition" ON "rederive"."metric" USING btree ("dataset","partition");