import { createRederive } from "rederive";
import { createTestDatabase, runToEnd, tester, withTestDatabase } from "rederive/testing";
import { describe, expect, inject, it } from "vitest";
import { openDatabase } from "../../src/store/postgres.ts";
import { catalog, shopTables } from "../fixtures/shop/catalog.ts";

describe("the kit for applications", () => {
  it("runs a backfill to its end in a database of its own", async () => {
    const gone = await withTestDatabase(inject("databaseUrl"), async (databaseUrl) => {
      const database = openDatabase(databaseUrl, { max: 1 });
      for (const statement of shopTables) await database.query(statement);
      await database.close();
      const lockFile = new URL("../fixtures/shop/rederive.lock.json", import.meta.url).pathname;
      await using rederive = await createRederive({ catalog, databaseUrl, lockFile, environment: "test" });
      const backfill = await rederive.as(tester).plan({ reason: "test" });
      expect(await runToEnd(rederive, backfill)).toMatchObject({ state: "verified", total: 42, requestedBy: "tester" });
      expect(await backfill.promote({ reason: "test" })).toMatchObject({ state: "promoted" });
      return databaseUrl;
    });
    const database = openDatabase(gone, { max: 1 });
    await expect(database.query("select 1")).rejects.toMatchObject({ code: "3D000" });
    await database.close();
  });

  it("clones a template and leaves it without the control schema where that is not wanted", async () => {
    const empty = await createTestDatabase(inject("databaseUrl"), { migrated: false });
    const database = openDatabase(empty.url, { max: 1 });
    const [row] = await database.query<{ schema: string | null }>("select to_regnamespace('rederive')::text as schema");
    await database.close();
    await empty.drop();
    expect(row?.schema).toBeNull();
  });
});
