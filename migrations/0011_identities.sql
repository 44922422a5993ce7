CREATE TABLE "rederive"."identity" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."identity_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"issuer" text NOT NULL,
	"subject" text NOT NULL,
	"person" text NOT NULL,
	"role" text,
	"groups" text[],
	"first_seen_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"seen_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "identity_person_unique" UNIQUE("person"),
	CONSTRAINT "identity_subject" UNIQUE("issuer","subject"),
	CONSTRAINT "identity_role" CHECK ("rederive"."identity"."role" in ('viewer','operator','approver','admin'))
);
--> statement-breakpoint
CREATE TABLE "rederive"."keyed_request" (
	"person" text NOT NULL,
	"key" text NOT NULL,
	"hash" text NOT NULL,
	"status" integer,
	"location" text,
	"body" text,
	"at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "keyed_request_person_key_pk" PRIMARY KEY("person","key")
);
--> statement-breakpoint
ALTER TABLE "rederive"."approval" ADD COLUMN "identity" bigint;--> statement-breakpoint
CREATE INDEX "keyed_request_at" ON "rederive"."keyed_request" USING btree ("at");--> statement-breakpoint
ALTER TABLE "rederive"."approval" ADD CONSTRAINT "approval_identity_identity_id_fk" FOREIGN KEY ("identity") REFERENCES "rederive"."identity"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
-- As in 0007, and by an identity that still has the right.
CREATE OR REPLACE FUNCTION "rederive"."counting_approvals"(of_backfill text, of_act text)
RETURNS TABLE (approver text, groups text[])
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  select distinct on (a.approver) a.approver, a.groups
  from rederive.approval a
  join rederive.backfill b on b.id = a.backfill and b.plan_hash = a.plan_hash
  where a.backfill = of_backfill and a.act = of_act and a.verdict = 'approved' and a.approver <> b.requested_by
    and a.withdrawn_at is null and a.expires_at > clock_timestamp()
    and (a.token is null or exists (
      select from rederive.api_token t
      where t.id = a.token and t.revoked_at is null and (t.expires_at is null or t.expires_at > clock_timestamp())
        and t.role in ('approver', 'admin')))
    and (a.identity is null or exists (
      select from rederive.identity i where i.id = a.identity and i.role in ('approver', 'admin')))
    and not exists (
      select from rederive.approval later
      where later.backfill = a.backfill and later.approver = a.approver and later.id > a.id
        and later.verdict = 'changes_requested' and later.withdrawn_at is null)
  order by a.approver, a.id desc
$$;
