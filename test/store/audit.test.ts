import { describe, expect, it } from "vitest";
import { appendAudit } from "../../src/store/audit.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { withDatabase } from "../support/postgres.ts";

function withAudit(callback: (database: Database) => Promise<void>): () => Promise<void> {
  return () =>
    withDatabase(async (url) => {
      const database = openDatabase(url, { max: 2 });
      try {
        await appendAudit(database, { actor: "ada", act: "backfill.pause", reason: "a look at it" });
        await database.query("insert into rederive.audit_chain values (1, 1, 'e', 'p', 'h')");
        await callback(database);
      } finally {
        await database.close();
      }
    });
}

const changes = [
  ["update rederive.audit set reason = 'other'", "update"],
  ["delete from rederive.audit", "delete"],
  ["truncate rederive.audit", "truncate"],
  ["update rederive.audit_chain set hash = 'other'", "update"],
  ["delete from rederive.audit_chain", "delete"],
  ["truncate rederive.audit_chain", "truncate"],
  ["delete from rederive.audit_pruned", "delete"],
  ["truncate rederive.audit_pruned", "truncate"],
] as const;

describe("the audit tables", () => {
  it.each(["origin", "replica"])("are append-only, for a superuser too, where session_replication_role is %s", (role) =>
    withAudit(async (database) => {
      for (const [statement, word] of changes) {
        const changed = database.transaction(async (tx) => {
          await tx.query(`set local session_replication_role = ${role}`);
          await tx.query(statement);
        });
        await expect(changed, statement).rejects.toMatchObject({
          code: "42501",
          message: expect.stringMatching(new RegExp(`append-only; ${word}.* is refused`)),
        });
      }
      expect(await database.query("select count(*)::int as rows from rederive.audit")).toEqual([{ rows: 1 }]);
    })(),
  );

  it(
    "let go what a checkpoint of audit_pruned covers, and no more",
    withAudit(async (database) => {
      await appendAudit(database, { actor: "ada", act: "backfill.resume", reason: "fine" });
      await database.query("insert into rederive.audit_chain values (2, 2, 'e', 'h', 'i')");
      await database.query("insert into rederive.audit_pruned (seq, checkpoint, pruned_by) values (1, '{}', 'ada')");
      await expect(database.query("delete from rederive.audit where id = 2")).rejects.toMatchObject({ code: "42501" });
      await expect(database.query("delete from rederive.audit_chain where seq = 2")).rejects.toMatchObject({
        code: "42501",
      });
      await database.query("delete from rederive.audit where id = 1");
      await database.query("delete from rederive.audit_chain where seq = 1");
      expect(await database.query("select id::int from rederive.audit")).toEqual([{ id: 2 }]);
    }),
  );
});

describe("an appended entry", () => {
  it(
    "waits for the sequencer, whoever wrote it, and only where it is committed",
    withAudit(async (database) => {
      const lost = database.transaction(async (tx) => {
        await appendAudit(tx, { actor: "ada", act: "backfill.cancel" });
        throw new Error("the act failed");
      });
      await expect(lost).rejects.toThrow("the act failed");
      await database.transaction(async (tx) => {
        await tx.query("set local session_replication_role = replica");
        await tx.query("insert into rederive.audit (actor, act) values ('an older worker', 'hold')");
      });
      const pending = await database.query<{ act: string }>(
        "select act from rederive.audit_pending p join rederive.audit a on a.id = p.entry order by a.id",
      );
      expect(pending.map(({ act }) => act)).toEqual(["backfill.pause", "hold"]);
    }),
  );
});
