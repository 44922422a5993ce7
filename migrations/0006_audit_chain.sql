CREATE TABLE "rederive"."audit_chain" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"entry" bigint NOT NULL,
	"entry_hash" text NOT NULL,
	"prev_hash" text NOT NULL,
	"hash" text NOT NULL,
	CONSTRAINT "audit_chain_entry_unique" UNIQUE("entry"),
	CONSTRAINT "audit_chain_prev_hash_unique" UNIQUE("prev_hash")
);
--> statement-breakpoint
CREATE TABLE "rederive"."audit_pending" (
	"entry" bigint PRIMARY KEY NOT NULL
);
--> statement-breakpoint
CREATE TABLE "rederive"."audit_pruned" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"checkpoint" jsonb NOT NULL,
	"pruned_by" text NOT NULL,
	"pruned_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

--> statement-breakpoint
INSERT INTO "rederive"."audit_pending" ("entry") SELECT "id" FROM "rederive"."audit";
--> statement-breakpoint
-- The trail is append-only for every role. `enable always`: also where session_replication_role says "replica".
CREATE FUNCTION "rederive"."audit_refuse"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'rederive.% is append-only; % is refused', tg_table_name, lower(tg_op)
    USING errcode = 'insufficient_privilege', hint = 'old entries go by "rederive audit prune", behind a signed checkpoint';
END $$;
--> statement-breakpoint
CREATE FUNCTION "rederive"."audit_enqueue"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO rederive.audit_pending (entry) VALUES (new.id);
  RETURN NULL;
END $$;
--> statement-breakpoint
-- Only what a checkpoint in audit_pruned covers may go: first the entry, then its link.
CREATE FUNCTION "rederive"."audit_delete"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF EXISTS (SELECT FROM rederive.audit_chain c
    WHERE c.entry = old.id AND c.seq <= (SELECT max(p.seq) FROM rederive.audit_pruned p)) THEN
    RETURN old;
  END IF;
  RAISE EXCEPTION 'rederive.audit is append-only; delete of entry % is refused', old.id
    USING errcode = 'insufficient_privilege', hint = 'old entries go by "rederive audit prune", behind a signed checkpoint';
END $$;
--> statement-breakpoint
CREATE FUNCTION "rederive"."audit_chain_delete"() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF old.seq <= (SELECT max(p.seq) FROM rederive.audit_pruned p) THEN
    RETURN old;
  END IF;
  RAISE EXCEPTION 'rederive.audit_chain is append-only; delete of seq % is refused', old.seq
    USING errcode = 'insufficient_privilege', hint = 'old entries go by "rederive audit prune", behind a signed checkpoint';
END $$;
--> statement-breakpoint
CREATE TRIGGER "audit_enqueue" AFTER INSERT ON "rederive"."audit" FOR EACH ROW EXECUTE FUNCTION "rederive"."audit_enqueue"();
--> statement-breakpoint
CREATE TRIGGER "audit_no_update" BEFORE UPDATE ON "rederive"."audit" FOR EACH STATEMENT EXECUTE FUNCTION "rederive"."audit_refuse"();
--> statement-breakpoint
CREATE TRIGGER "audit_no_delete" BEFORE DELETE ON "rederive"."audit" FOR EACH ROW EXECUTE FUNCTION "rederive"."audit_delete"();
--> statement-breakpoint
CREATE TRIGGER "audit_no_truncate" BEFORE TRUNCATE ON "rederive"."audit" FOR EACH STATEMENT EXECUTE FUNCTION "rederive"."audit_refuse"();
--> statement-breakpoint
CREATE TRIGGER "audit_chain_no_update" BEFORE UPDATE ON "rederive"."audit_chain" FOR EACH STATEMENT EXECUTE FUNCTION "rederive"."audit_refuse"();
--> statement-breakpoint
CREATE TRIGGER "audit_chain_no_delete" BEFORE DELETE ON "rederive"."audit_chain" FOR EACH ROW EXECUTE FUNCTION "rederive"."audit_chain_delete"();
--> statement-breakpoint
CREATE TRIGGER "audit_chain_no_truncate" BEFORE TRUNCATE ON "rederive"."audit_chain" FOR EACH STATEMENT EXECUTE FUNCTION "rederive"."audit_refuse"();
--> statement-breakpoint
CREATE TRIGGER "audit_pruned_no_change" BEFORE UPDATE OR DELETE OR TRUNCATE ON "rederive"."audit_pruned" FOR EACH STATEMENT EXECUTE FUNCTION "rederive"."audit_refuse"();
--> statement-breakpoint
ALTER TABLE "rederive"."audit" ENABLE ALWAYS TRIGGER "audit_enqueue", ENABLE ALWAYS TRIGGER "audit_no_update", ENABLE ALWAYS TRIGGER "audit_no_delete", ENABLE ALWAYS TRIGGER "audit_no_truncate";
--> statement-breakpoint
ALTER TABLE "rederive"."audit_chain" ENABLE ALWAYS TRIGGER "audit_chain_no_update", ENABLE ALWAYS TRIGGER "audit_chain_no_delete", ENABLE ALWAYS TRIGGER "audit_chain_no_truncate";
--> statement-breakpoint
ALTER TABLE "rederive"."audit_pruned" ENABLE ALWAYS TRIGGER "audit_pruned_no_change";
