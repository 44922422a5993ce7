CREATE TABLE "rederive"."exposure" (
	"name" text PRIMARY KEY NOT NULL,
	"criticality" text NOT NULL,
	"reads" text[] NOT NULL,
	"upstream" text[] NOT NULL,
	"status" text,
	"changed_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "rederive"."lineage_run" (
	"backfill" text NOT NULL,
	"dataset" text NOT NULL,
	"attempt" integer NOT NULL,
	"run" text NOT NULL,
	"began_at" timestamp with time zone NOT NULL,
	"told_at" timestamp with time zone NOT NULL,
	"ended" text,
	CONSTRAINT "lineage_run_backfill_dataset_attempt_pk" PRIMARY KEY("backfill","dataset","attempt"),
	CONSTRAINT "lineage_run_ended" CHECK ("rederive"."lineage_run"."ended" in ('COMPLETE','FAIL','ABORT'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."message" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."message_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"channel" text NOT NULL,
	"target" text DEFAULT '' NOT NULL,
	"body" text NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"error" text,
	CONSTRAINT "message_channel" CHECK ("rederive"."message"."channel" in ('openlineage','webhook'))
);
--> statement-breakpoint
ALTER TABLE "rederive"."lineage_run" ADD CONSTRAINT "lineage_run_backfill_backfill_id_fk" FOREIGN KEY ("backfill") REFERENCES "rederive"."backfill"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "message_of" ON "rederive"."message" USING btree ("channel","target","id");--> statement-breakpoint
-- How the data behind each exposure is. Whoever feeds on it may pause by this: held, diverged, recomputing, unknown, fresh.
CREATE VIEW "rederive"."exposure_status" AS
SELECT e.name AS exposure, e.criticality, e.reads,
  CASE WHEN w.holding <> '{}' THEN 'held'
    WHEN d.diverged <> '{}' THEN 'diverged'
    WHEN w.working <> '{}' THEN 'recomputing'
    WHEN f.as_of IS NULL AND f.derived > 0 THEN 'unknown'
    ELSE 'fresh' END AS status,
  f.as_of, w.working AS backfills, d.diverged
FROM "rederive"."exposure" e
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(DISTINCT b.id) FILTER (WHERE b.state = 'held' OR bd.held), '{}') AS holding,
    coalesce(array_agg(DISTINCT b.id), '{}') AS working
  FROM "rederive"."backfill" b
  JOIN "rederive"."backfill_dataset" bd ON bd.backfill = b.id AND bd.dataset = any(e.upstream)
  WHERE b.state IN ('running', 'paused', 'held', 'verified', 'promoting')
) w
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(v.dataset ORDER BY v.dataset), '{}') AS diverged
  FROM "rederive"."watch" v WHERE v.dataset = any(e.upstream) AND v.failing > 0
) d
CROSS JOIN LATERAL (
  SELECT min(p.at) AS as_of, count(*) AS derived
  FROM unnest(e.upstream) r (dataset)
  CROSS JOIN LATERAL (SELECT max(l.promoted_at) AS at FROM "rederive"."live" l WHERE l.dataset = r.dataset) p
  WHERE r.dataset = any(e.reads)
) f;
