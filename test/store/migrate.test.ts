import { expect, test } from "vitest";
import {
  appliedMigrations,
  checkCodeLevel,
  checkSchema,
  codeLevel,
  knownMigrations,
  migrate,
} from "../../src/store/migrate.ts";
import { openDatabase } from "../../src/store/postgres.ts";
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
    await database.query("update rederive.meta set value = $1 where key = 'requires_code'", [String(codeLevel + 1)]);
    await expect(checkCodeLevel(database)).rejects.toMatchObject({
      code: "schema_incompatible",
      message: /deploy the newer/,
    });
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
