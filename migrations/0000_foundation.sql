CREATE SCHEMA IF NOT EXISTS "rederive";
--> statement-breakpoint
CREATE SCHEMA IF NOT EXISTS "rederive_candidate";
--> statement-breakpoint
CREATE SCHEMA IF NOT EXISTS "rederive_restore";
--> statement-breakpoint
CREATE EXTENSION IF NOT EXISTS "btree_gist";
--> statement-breakpoint
CREATE TABLE "rederive"."api_token" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."api_token_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"name" text NOT NULL,
	"role" text NOT NULL,
	"prefix" text NOT NULL,
	"hash" text NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone,
	"last_used_at" timestamp with time zone,
	"revoked_at" timestamp with time zone,
	CONSTRAINT "api_token_hash_unique" UNIQUE("hash"),
	CONSTRAINT "api_token_role" CHECK ("rederive"."api_token"."role" in ('viewer','operator','approver','admin'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."audit" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."audit_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"actor" text NOT NULL,
	"act" text NOT NULL,
	"backfill" text,
	"dataset" text,
	"reason" text,
	"plan_hash" text,
	"details" jsonb DEFAULT '{}'::jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rederive"."backfill" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text DEFAULT 'planned' NOT NULL,
	"plan_hash" text NOT NULL,
	"decision" text NOT NULL,
	"forecast" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"reason" text NOT NULL,
	"environment" text NOT NULL,
	"requested_by" text NOT NULL,
	"lane" text DEFAULT 'backfill' NOT NULL,
	"traceparent" text,
	"state_reason" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"approved_at" timestamp with time zone,
	"started_at" timestamp with time zone,
	"verified_at" timestamp with time zone,
	"promoted_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	CONSTRAINT "backfill_state" CHECK ("rederive"."backfill"."state" in ('planned','approved','running','paused','held','verified','promoting','promoted','finalized','rolled_back','cancelled','failed'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."backfill_dataset" (
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"ordinal" integer NOT NULL,
	"partitions" "int8multirange" NOT NULL,
	"fingerprint" text NOT NULL,
	"definition" text NOT NULL,
	"queue" text NOT NULL,
	"criticality" integer DEFAULT 0 NOT NULL,
	"candidate" text NOT NULL,
	"restore_point" text NOT NULL,
	"held" boolean DEFAULT false NOT NULL,
	"hold_reason" text,
	"held_at" timestamp with time zone,
	"accepted" boolean DEFAULT false NOT NULL,
	"drifted_at" timestamp with time zone,
	CONSTRAINT "backfill_dataset_backfill_dataset_pk" PRIMARY KEY("backfill","dataset")
);
--> statement-breakpoint
CREATE TABLE "rederive"."check_result" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."check_result_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"partition" bigint,
	"name" text NOT NULL,
	"severity" text NOT NULL,
	"failures" bigint NOT NULL,
	"evidence" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "check_result_severity" CHECK ("rederive"."check_result"."severity" in ('error','warn'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."edge" (
	"producer" bigint NOT NULL,
	"consumer" bigint NOT NULL,
	"done" boolean DEFAULT false NOT NULL,
	CONSTRAINT "edge_producer_consumer_pk" PRIMARY KEY("producer","consumer")
);
--> statement-breakpoint
CREATE TABLE "rederive"."leader" (
	"name" text PRIMARY KEY NOT NULL,
	"holder" text NOT NULL,
	"term" bigint NOT NULL,
	"lease_until" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rederive"."live" (
	"dataset" text NOT NULL,
	"partition" bigint NOT NULL,
	"stamp" bigint NOT NULL,
	"backfill" text NOT NULL,
	"fingerprint" text NOT NULL,
	"output_hash" text NOT NULL,
	"rows" bigint NOT NULL,
	"unchanged" boolean DEFAULT false NOT NULL,
	"promoted_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "live_dataset_partition_pk" PRIMARY KEY("dataset","partition")
);
--> statement-breakpoint
CREATE TABLE "rederive"."live_before" (
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"partition" bigint NOT NULL,
	"prior" jsonb,
	CONSTRAINT "live_before_backfill_dataset_partition_pk" PRIMARY KEY("backfill","dataset","partition")
);
--> statement-breakpoint
CREATE TABLE "rederive"."meta" (
	"key" text PRIMARY KEY NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rederive"."queue_limit" (
	"queue" text PRIMARY KEY NOT NULL,
	"max" integer,
	"per_ms" integer,
	"concurrency" integer,
	"changed_by" text NOT NULL,
	"changed_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rederive"."reservation" (
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"mode" text NOT NULL,
	"keys" "int8multirange" NOT NULL,
	"active" boolean DEFAULT true NOT NULL,
	CONSTRAINT "reservation_backfill_dataset_mode_pk" PRIMARY KEY("backfill","dataset","mode"),
	CONSTRAINT "reservation_mode" CHECK ("rederive"."reservation"."mode" in ('read','write'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."restore_point" (
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"inserted" bigint NOT NULL,
	"updated" bigint NOT NULL,
	"deleted" bigint NOT NULL,
	"was_empty" "int8multirange" NOT NULL,
	"written_by" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "restore_point_backfill_dataset_pk" PRIMARY KEY("backfill","dataset")
);
--> statement-breakpoint
CREATE TABLE "rederive"."stamp" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."stamp_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"task" bigint NOT NULL,
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"partition" bigint NOT NULL,
	"epoch" integer NOT NULL,
	"fingerprint" text NOT NULL,
	"definition" text NOT NULL,
	"inputs" jsonb NOT NULL,
	"snapshot" text NOT NULL,
	"rows_read" bigint,
	"rows_written" bigint NOT NULL,
	"hash_algorithm" text NOT NULL,
	"output_hash" text NOT NULL,
	"checks" jsonb NOT NULL,
	"worker" text NOT NULL,
	"trace_id" text,
	"started_at" timestamp with time zone NOT NULL,
	"finished_at" timestamp with time zone NOT NULL,
	CONSTRAINT "stamp_task" UNIQUE("task")
);
--> statement-breakpoint
CREATE TABLE "rederive"."task" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."task_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"partition" bigint NOT NULL,
	"rank" bigint NOT NULL,
	"state" text NOT NULL,
	"epoch" integer DEFAULT 0 NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"losses" integer DEFAULT 0 NOT NULL,
	"released_at" timestamp with time zone,
	"worker" text,
	"backend_pid" integer,
	"backend_start" text,
	"claimed_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"error" jsonb,
	CONSTRAINT "task_partition" UNIQUE("backfill","dataset","partition"),
	CONSTRAINT "task_state" CHECK ("rederive"."task"."state" in ('waiting','ready','running','done','unchanged','stale','failed','quarantined','cancelled'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."worker" (
	"id" text PRIMARY KEY NOT NULL,
	"kind" text NOT NULL,
	"host" text NOT NULL,
	"pid" integer NOT NULL,
	"concurrency" integer NOT NULL,
	"code_level" integer NOT NULL,
	"definitions" jsonb NOT NULL,
	"draining" boolean DEFAULT false NOT NULL,
	"started_at" timestamp with time zone DEFAULT now() NOT NULL,
	"lease_until" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "rederive"."backfill_dataset" ADD CONSTRAINT "backfill_dataset_backfill_backfill_id_fk" FOREIGN KEY ("backfill") REFERENCES "rederive"."backfill"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "rederive"."reservation" ADD CONSTRAINT "reservation_backfill_backfill_id_fk" FOREIGN KEY ("backfill") REFERENCES "rederive"."backfill"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "rederive"."task" ADD CONSTRAINT "task_dataset" FOREIGN KEY ("backfill","dataset") REFERENCES "rederive"."backfill_dataset"("backfill","dataset") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_backfill" ON "rederive"."audit" USING btree ("backfill");--> statement-breakpoint
CREATE INDEX "backfill_active" ON "rederive"."backfill" USING btree ("state") WHERE "rederive"."backfill"."state" in ('running','paused','held','promoting');--> statement-breakpoint
CREATE INDEX "backfill_created" ON "rederive"."backfill" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "check_result_of" ON "rederive"."check_result" USING btree ("backfill","dataset");--> statement-breakpoint
CREATE INDEX "edge_consumer" ON "rederive"."edge" USING btree ("consumer");--> statement-breakpoint
CREATE INDEX "edge_undone" ON "rederive"."edge" USING btree ("consumer") WHERE not "rederive"."edge"."done";--> statement-breakpoint
CREATE INDEX "stamp_partition" ON "rederive"."stamp" USING btree ("dataset","partition");--> statement-breakpoint
CREATE INDEX "task_unreleased" ON "rederive"."task" USING btree ("backfill","rank") WHERE "rederive"."task"."released_at" is null and "rederive"."task"."state" in ('waiting','ready');--> statement-breakpoint
CREATE INDEX "task_open" ON "rederive"."task" USING btree ("backfill","state") WHERE "rederive"."task"."state" in ('waiting','ready','running','stale','failed','quarantined');--> statement-breakpoint
CREATE INDEX "task_running" ON "rederive"."task" USING btree ("worker") WHERE "rederive"."task"."state" = 'running';
--> statement-breakpoint
ALTER TABLE "rederive"."reservation" ADD CONSTRAINT "reservation_write_write" EXCLUDE USING gist ("dataset" WITH =, "keys" WITH &&) WHERE ("active" AND "mode" = 'write');
--> statement-breakpoint
ALTER TABLE "rederive"."reservation" ADD CONSTRAINT "reservation_write_read" EXCLUDE USING gist ("dataset" WITH =, "keys" WITH &&, "mode" WITH <>) WHERE ("active");
--> statement-breakpoint
INSERT INTO "rederive"."meta" ("key", "value") VALUES ('requires_code', '1');
