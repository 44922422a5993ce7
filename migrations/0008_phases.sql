CREATE TABLE "rederive"."phase" (
	"backfill" text NOT NULL,
	"ordinal" integer NOT NULL,
	"name" text NOT NULL,
	"first_rank" bigint NOT NULL,
	"tasks" integer NOT NULL,
	"gate" text NOT NULL,
	"state" text NOT NULL,
	"opened_at" timestamp with time zone,
	"judged_at" timestamp with time zone,
	"passed_at" timestamp with time zone,
	"passed_by" text,
	"found" jsonb,
	CONSTRAINT "phase_backfill_ordinal_pk" PRIMARY KEY("backfill","ordinal"),
	CONSTRAINT "phase_gate" CHECK ("rederive"."phase"."gate" in ('automatic','approval')),
	CONSTRAINT "phase_state" CHECK ("rederive"."phase"."state" in ('waiting','open','judged','passed'))
);
--> statement-breakpoint
ALTER TABLE "rederive"."phase" ADD CONSTRAINT "phase_backfill_backfill_id_fk" FOREIGN KEY ("backfill") REFERENCES "rederive"."backfill"("id") ON DELETE no action ON UPDATE no action;