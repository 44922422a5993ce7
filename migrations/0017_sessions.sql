CREATE TABLE "rederive"."session" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "rederive"."session_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"hash" text NOT NULL,
	"identity" bigint NOT NULL,
	"state" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"seen_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "session_hash_unique" UNIQUE("hash"),
	CONSTRAINT "session_state_unique" UNIQUE("state")
);
--> statement-breakpoint
ALTER TABLE "rederive"."identity" ADD COLUMN "disabled_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "rederive"."session" ADD CONSTRAINT "session_identity_identity_id_fk" FOREIGN KEY ("identity") REFERENCES "rederive"."identity"("id") ON DELETE no action ON UPDATE no action;