/** The end of the way back: what is live stays, what a rollback would have needed goes, and others can still go back. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Rederive } from "../../src/rederive.ts";
import type { Database } from "../../src/tx.ts";
import { eventually } from "../support/eventually.ts";
import { recompute, shop, withShop } from "./shop.ts";

const day = "2026-01-05";

const liveFacts = (database: Database) => database.query("select * from public.facts order by id");

/** Tables that its candidates and restore points take. */
async function tablesOf(database: Database, backfill: string): Promise<number> {
  const [row] = await database.query<{ tables: number }>(
    `select count(*)::int as tables from rederive.backfill_dataset d
     cross join lateral (values (d.candidate), (d.restore_point)) t (name)
     where d.backfill = $1::text and to_regclass(t.name) is not null`,
    [backfill],
  );
  return row?.tables ?? 0;
}

async function corrected(rederive: Rederive, database: Database, amount: number) {
  await database.query("update orders set amount = $1::numeric where id = 85", [amount]);
  const { backfill } = await recompute(rederive, "facts", [day]);
  await backfill.promote({ reason: "corrected" });
  return backfill;
}

describe("finalize", () => {
  it("keeps what is live, frees what the way back took, and is final", () =>
    withShop(async (stage) => {
      const { database } = stage;
      const rederive = await stage.bootstrap(shop());
      const backfill = await corrected(rederive, database, 99);
      const live = await liveFacts(database);
      expect(await tablesOf(database, backfill.id)).toBeGreaterThan(0);

      expect(await backfill.finalize({ reason: "two weeks without a complaint" })).toMatchObject({
        state: "finalized",
      });
      const planner = rederive.startPlanner();
      await eventually(
        () => tablesOf(database, backfill.id),
        (tables) => tables === 0,
        { what: "the tables are dropped" },
      );
      await planner.stop();

      expect(await liveFacts(database)).toEqual(live);
      await expect(backfill.rollback({ reason: "too late" })).rejects.toMatchObject({ code: "restore_point_gone" });
      await expect(backfill.finalize({ reason: "again" })).rejects.toMatchObject({ code: "wrong_state" });
      await expect(backfill.diff()).rejects.toMatchObject({ code: "wrong_state" });
      const left = await rederive.as(tester).preview({ reason: "is anything left?" });
      expect(left.forecast.tasks).toBe(0);
      const out = await mkdtemp(join(tmpdir(), "rederive-finalize-"));
      await rederive.as(tester).audit.exportBackfill({ backfill: backfill.id, out: join(out, "evidence") });
      await rm(out, { recursive: true });
      expect((await rederive.as(tester).audit.log({ backfill: backfill.id })).entries[0]).toMatchObject({
        act: "backfill.finalize",
        reason: "two weeks without a complaint",
      });
    }));

  it("leaves the way back of later promotions as it is", () =>
    withShop(async (stage) => {
      const { database } = stage;
      const rederive = await stage.bootstrap(shop());
      const earlier = await corrected(rederive, database, 99);
      const between = await liveFacts(database);
      const later = await corrected(rederive, database, 100);
      await earlier.finalize({ reason: "settled" });
      await later.rollback({ reason: "a mistake" });
      expect(await liveFacts(database)).toEqual(between);
    }));

  it.each(["planned", "verified"])("is refused where the backfill is %s", (state) =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const acting = rederive.as(tester);
      const backfill =
        state === "planned"
          ? await acting.plan({ datasets: ["facts"], partitions: [day], reason: "test" })
          : (await recompute(rederive, "facts", [day])).backfill;
      await expect(backfill.finalize({ reason: "early" })).rejects.toMatchObject({ code: "wrong_state" });
      expect(await backfill.status()).toMatchObject({ state });
    }),
  );

  it("is not for those who run backfills", () =>
    withShop(async (stage) => {
      const { database } = stage;
      const rederive = await stage.bootstrap(shop());
      const { id } = await corrected(rederive, database, 99);
      const operator = await rederive.as({ name: "olga", role: "operator" }).backfill(id);
      await expect(operator.finalize({ reason: "room" })).rejects.toMatchObject({ code: "forbidden" });
    }));
});
