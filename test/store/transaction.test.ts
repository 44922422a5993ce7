import pg from "pg";
import { describe, expect, it } from "vitest";
import { openDatabase } from "../../src/store/postgres.ts";
import { withDatabase } from "../support/postgres.ts";

describe("a transaction whose connection is lost", () => {
  it.each(["in a statement", "between statements", "before the commit"])("rejects %s, and the pool goes on", (when) =>
    withDatabase(async (url) => {
      const database = openDatabase(url, { max: 1 });
      const killer = new pg.Client({ connectionString: url });
      killer.on("error", () => {});
      await killer.connect();
      await database.query("create table public.kept (n int)");
      const work = database.transaction(async (tx) => {
        const [row] = await tx.query<{ pid: number }>("select pg_backend_pid() as pid");
        await tx.query("insert into kept values (1)");
        const kill = () => killer.query("select pg_terminate_backend($1, 5000)", [row?.pid]);
        if (when === "in a statement") await Promise.all([tx.query("select pg_sleep(60)"), kill()]);
        await kill();
        if (when === "between statements") await tx.query("select 1");
      });
      await expect(work).rejects.toThrow();
      expect(await database.query("select count(*)::int as count from kept")).toEqual([{ count: 0 }]);
      await killer.end();
      await database.close();
    }),
  );
});
