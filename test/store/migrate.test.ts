import postgres from "postgres";
import { expect, test } from "vitest";
import { withdrawApprovals } from "../../src/store/approvals.ts";
import { lockBackfill } from "../../src/store/backfills.ts";
import {
  appliedMigrations,
  checkCodeLevel,
  checkSchema,
  codeLevel,
  knownMigrations,
  migrate,
} from "../../src/store/migrate.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Tx } from "../../src/tx.ts";
import { eventually } from "../support/eventually.ts";
import { migrateTo } from "../support/migrations.ts";
import { withDatabase } from "../support/postgres.ts";

test("several processes may migrate at once, and a second run finds nothing to do", async () => {
  await withDatabase(async (url) => {
    const database = openDatabase(url, { max: 2 });
    await database.query("drop schema rederive cascade");
    const reports = await Promise.all([migrate(url), migrate(url), migrate(url)]);
    expect(reports.map((report) => report.applied).sort((a, b) => a - b)).toEqual([0, 0, knownMigrations()]);
    expect(await appliedMigrations(database)).toBe(knownMigrations());
    await checkSchema(database);
    await database.close();
  });
});

test("a process that is older than the schema stops with a message", async () => {
  await withDatabase(async (url) => {
    const database = openDatabase(url, { max: 1 });
    await checkCodeLevel(database);
    const required = await database.query("select value from rederive.meta where key = 'requires_code'");
    expect(required).toEqual([{ value: String(codeLevel) }]);
    // Code of level 1 keeps decisions away from a retry by a lock that code of level 2 does not take.
    expect(codeLevel).toBeGreaterThanOrEqual(2);
    await database.query("update rederive.meta set value = $1 where key = 'requires_code'", [String(codeLevel + 1)]);
    await expect(checkCodeLevel(database)).rejects.toMatchObject({
      code: "schema_incompatible",
      message: /deploy the newer/,
    });
    // No act on a backfill either, in a process that has been open since before.
    await expect(lockBackfill(database, "bf_a")).rejects.toMatchObject({ code: "schema_incompatible" });
    await database.close();
  });
});

test("overlapping reservations of two backfills are refused by the database", async () => {
  await withDatabase(async (url) => {
    const database = openDatabase(url, { max: 1 });
    for (const id of ["bf_a", "bf_b"]) {
      await database.query(
        "insert into rederive.backfill (id, plan_hash, decision, reason, environment, requested_by) values ($1, 'h', '{}', 'r', 'test', 'me')",
        [id],
      );
    }
    const reserve = (backfill: string, mode: string, keys: string) =>
      database.query(
        "insert into rederive.reservation (backfill, dataset, mode, keys) values ($1, 'd', $2, $3::int8multirange)",
        [backfill, mode, keys],
      );
    await reserve("bf_a", "write", "{[1,5),[9,10)}");
    await expect(reserve("bf_b", "write", "{[4,6)}")).rejects.toMatchObject({ code: "23P01" });
    await expect(reserve("bf_b", "read", "{[9,10)}")).rejects.toMatchObject({ code: "23P01" });
    await reserve("bf_b", "write", "{[5,9)}");
    await database.query("update rederive.reservation set active = false where backfill = 'bf_a'");
    await reserve("bf_b", "read", "{[1,2)}");
    await database.close();
  });
});

test("approvals of rollbacks that are bound to nothing are taken back, and do not keep others from it", async () => {
  await withDatabase(async (url) => {
    await migrateTo(url, "0017_sessions");
    const database = openDatabase(url, { max: 1 });
    await database.query(
      `insert into rederive.backfill (id, plan_hash, decision, reason, environment, requested_by)
       values ('bf_a', 'h', '{}', 'r', 'test', 'ada')`,
    );
    const say = (act: string) =>
      database.query(
        `insert into rederive.approval (backfill, plan_hash, requester, act, verdict, approver, schema_hash, expires_at)
         values ('bf_a', 'h', 'ada', $1, 'approved', 'grace', 's', now() + interval '1 day')`,
        [act],
      );
    await say("start");
    await say("rollback");
    await migrate(url);
    const standing = await database.query("select act from rederive.approval where withdrawn_at is null");
    expect(standing).toEqual([{ act: "start" }]);
    expect(await database.query("select actor, act, backfill, details from rederive.audit")).toMatchObject([
      {
        actor: "migrate",
        act: "approval.withdraw",
        backfill: "bf_a",
        details: { approvals: ["2"], approver: "grace" },
      },
    ]);
    expect(await withdrawApprovals(database, "bf_a", "grace")).toEqual(["1"]);
    await expect(say("rollback")).rejects.toMatchObject({ code: "23514" });
    const valid = await database.query(
      "select convalidated from pg_constraint where conname = 'approval_of_difference'",
    );
    expect(valid).toEqual([{ convalidated: true }]);
    await database.close();
  });
});

test("migrating beside a long transaction holds nobody up for long, and says whom it waits for", async () => {
  await withDatabase(async (url) => {
    await migrateTo(url, "0013_live_restored");
    const promotion = postgres(url, { max: 1, connection: { application_name: "a promotion" } });
    const others = openDatabase(url, { max: 2 });
    let migrated: Promise<unknown> | undefined;
    await promotion.begin(async (tx) => {
      const [self] = await tx<{ pid: number }[]>`select count(*), pg_backend_pid() as pid from rederive.stamp`;
      await expect(migrate(url, "production", { patienceMs: 0 })).rejects.toMatchObject({
        code: "migrate_deferred",
        message: new RegExp(`pid ${self?.pid} \\(a promotion, for \\d+ s: stamp\\)`),
      });
      // What does not need the lock is there, and what comes after is not.
      expect(await appliedMigrations(others)).toBe(19);
      migrated = migrate(url);
      // Somebody may fail while we look; then the promise below tells.
      migrated.catch(() => undefined);
      for (let attempt = 0; attempt < 2; attempt += 1) {
        await eventually(
          () => waiting(others),
          (count) => count === 1,
          { what: "the migration waits for a lock", everyMs: 5 },
        );
        // Behind the wait as whoever claims and whoever reads are, and then behind a lock that is never had.
        await others.transaction(async (claim) => {
          await claim.query("set local statement_timeout = '10s'");
          await claim.query("update rederive.task set rank = rank where false");
          await claim.query("select count(*) from rederive.stamp");
        });
      }
      await tx`insert into rederive.meta (key, value) values ('promoted', 'whole')`;
      await tx`update rederive.task set rank = rank where false`;
    });
    expect(await migrated).toMatchObject({ applied: knownMigrations() - 19 });
    await checkSchema(others);
    expect(await others.query("select key from rederive.meta where key in ('promoted', 'environment')")).toEqual([
      { key: "promoted" },
    ]);
    await promotion.end();
    await others.close();
  });
});

/** How many migrating sessions wait for a lock in this database. */
async function waiting(tx: Tx): Promise<number | undefined> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where datname = current_database() and application_name = 'rederive migrate' and wait_event_type = 'Lock'`,
  );
  return row?.count;
}
