CREATE TABLE "rederive"."approval" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."approval_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"backfill" text NOT NULL,
	"plan_hash" text NOT NULL,
	"requester" text NOT NULL,
	"act" text NOT NULL,
	"verdict" text NOT NULL,
	"approver" text NOT NULL,
	"groups" text[],
	"token" bigint,
	"schema_hash" text NOT NULL,
	"diff_digest" text,
	"comment" text,
	"at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"withdrawn_at" timestamp with time zone,
	CONSTRAINT "approval_act" CHECK ("rederive"."approval"."act" in ('start','promote','rollback')),
	CONSTRAINT "approval_verdict" CHECK ("rederive"."approval"."verdict" in ('approved','changes_requested','commented')),
	CONSTRAINT "approval_by_another" CHECK ("rederive"."approval"."verdict" <> 'approved' or "rederive"."approval"."approver" <> "rederive"."approval"."requester"),
	CONSTRAINT "approval_of_difference" CHECK (("rederive"."approval"."act" = 'promote' and "rederive"."approval"."verdict" = 'approved') = ("rederive"."approval"."diff_digest" is not null))
);
--> statement-breakpoint
ALTER TABLE "rederive"."api_token" ADD COLUMN "person" text;
--> statement-breakpoint
ALTER TABLE "rederive"."api_token" ADD COLUMN "groups" text[];
--> statement-breakpoint
ALTER TABLE "rederive"."backfill" ADD COLUMN "start_approvals" integer DEFAULT 0 NOT NULL;
--> statement-breakpoint
ALTER TABLE "rederive"."backfill" ADD COLUMN "promotion_approvals" integer DEFAULT 0 NOT NULL;
--> statement-breakpoint
ALTER TABLE "rederive"."backfill" ADD COLUMN "sign_off" text[] DEFAULT '{}' NOT NULL;
--> statement-breakpoint
ALTER TABLE "rederive"."approval" ADD CONSTRAINT "approval_token_api_token_id_fk" FOREIGN KEY ("token") REFERENCES "rederive"."api_token"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "rederive"."backfill" ADD CONSTRAINT "backfill_asked" UNIQUE("id","plan_hash","requested_by");
--> statement-breakpoint
ALTER TABLE "rederive"."approval" ADD CONSTRAINT "approval_plan" FOREIGN KEY ("backfill","plan_hash","requester") REFERENCES "rederive"."backfill"("id","plan_hash","requested_by") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "approval_backfill" ON "rederive"."approval" USING btree ("backfill");
--> statement-breakpoint
-- Approvals of an act that count now: of the stored plan, by different people, not expired, not taken back, not followed by
-- a request for changes, and with a token that still has the right. Each owner group of the plan needs one of its own.
CREATE FUNCTION "rederive"."counting_approvals"(of_backfill text, of_act text)
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
    and not exists (
      select from rederive.approval later
      where later.backfill = a.backfill and later.approver = a.approver and later.id > a.id
        and later.verdict = 'changes_requested' and later.withdrawn_at is null)
  order by a.approver, a.id desc
$$;
--> statement-breakpoint
-- What was planned stays as it was, and nothing starts or becomes live without the approvals that it needs, whoever asks.
CREATE FUNCTION "rederive"."guard_backfill"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
begin
  if (new.plan_hash, new.decision, new.reason, new.environment, new.requested_by, new.start_approvals,
      new.promotion_approvals, new.sign_off)
     is distinct from
     (old.plan_hash, old.decision, old.reason, old.environment, old.requested_by, old.start_approvals,
      old.promotion_approvals, old.sign_off) then
    raise exception 'the plan of backfill % cannot be changed', old.id using errcode = 'check_violation', constraint = 'backfill_plan_stands';
  end if;
  if new.state = 'running' and old.state in ('planned', 'approved') and (
       new.start_approvals > (select count(*) from rederive.counting_approvals(new.id, 'start'))
       or exists (
         select from unnest(new.sign_off) as needed(owner)
         where not exists (
           select from rederive.counting_approvals(new.id, 'start') given
           where given.groups is null or needed.owner = any (given.groups)))) then
    raise exception 'backfill % does not have the approvals that its plan needs', old.id using errcode = 'check_violation', constraint = 'backfill_approved';
  end if;
  if new.state = 'promoted' and old.state = 'promoting'
     and new.promotion_approvals > (select count(*) from rederive.counting_approvals(new.id, 'promote')) then
    raise exception 'backfill % does not have the approvals that its promotion needs', old.id using errcode = 'check_violation', constraint = 'backfill_approved';
  end if;
  return new;
end
$$;
--> statement-breakpoint
CREATE TRIGGER "backfill_guard" BEFORE UPDATE ON "rederive"."backfill"
FOR EACH ROW EXECUTE FUNCTION "rederive"."guard_backfill"();
--> statement-breakpoint
-- An approval is taken back, never edited or removed.
CREATE FUNCTION "rederive"."guard_approval"() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
begin
  if tg_op = 'UPDATE' and old.withdrawn_at is null and new.withdrawn_at is not null
     and (to_jsonb(new) - 'withdrawn_at') = (to_jsonb(old) - 'withdrawn_at') then
    return new;
  end if;
  raise exception 'what was said of a plan stays; it can only be taken back' using errcode = 'check_violation', constraint = 'approval_stands';
end
$$;
--> statement-breakpoint
CREATE TRIGGER "approval_guard" BEFORE UPDATE OR DELETE ON "rederive"."approval"
FOR EACH ROW EXECUTE FUNCTION "rederive"."guard_approval"();
--> statement-breakpoint
CREATE TRIGGER "approval_guard_all" BEFORE TRUNCATE ON "rederive"."approval"
FOR EACH STATEMENT EXECUTE FUNCTION "rederive"."guard_approval"();
