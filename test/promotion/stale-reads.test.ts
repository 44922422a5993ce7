/** What is live does not change under a backfill that reads it, nor is what was computed from other content certified. */
import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { recompute, type Stage, shop, withShop } from "../usecases/shop.ts";

const amount = "case when currency = 'USD' then amount + 1 else amount end";
const corrected = shop({ version: 2, amount });

/** Days and currencies whose revenue is not the sum of the live facts. */
async function apart({ database }: Stage): Promise<number> {
  const [row] = await database.query<{ apart: number }>(
    `select count(*)::int as apart
     from (select day, currency, sum(amount) as v from public.facts group by 1, 2) f
     full join (select day, currency, amount as v from public.revenue) r using (day, currency)
     where f.v is distinct from r.v`,
  );
  return row?.apart ?? 0;
}

/** Version 2 is live, and another backfill has computed revenue from it. */
async function readingLive(stage: Stage) {
  await stage.bootstrap(shop());
  const rederive = await stage.open(corrected);
  const facts = (await recompute(rederive)).backfill;
  await facts.promote({ reason: "new amounts" });
  const revenue = (await recompute(rederive, "revenue")).backfill;
  return { rederive, facts, revenue };
}

const activeReservations = ({ database }: Stage) =>
  database.query("select backfill, dataset, mode from rederive.reservation where active");

describe("rollback under a reader", () => {
  it("is refused by its name while the reader is active, and goes once it is cancelled", () =>
    withShop(async (stage) => {
      const { facts, revenue } = await readingLive(stage);
      await expect(facts.rollback({ reason: "bad" })).rejects.toMatchObject({
        code: "overlapping_plan",
        message: expect.stringContaining(`backfill ${revenue.id} reads or writes facts`),
      });
      await revenue.cancel({ reason: "stands in the way" });
      expect((await facts.rollback({ reason: "bad" })).state).toBe("rolled_back");
      expect(await activeReservations(stage)).toEqual([]);
      expect(await apart(stage)).toBe(0);
    }));

  it("goes once the reader was promoted and rolled back itself, which then is not promoted again", () =>
    withShop(async (stage) => {
      const { facts, revenue } = await readingLive(stage);
      await revenue.promote({ reason: "first" });
      await revenue.rollback({ reason: "not this" });
      await facts.rollback({ reason: "nor that" });
      await expect(revenue.promote({ reason: "again" })).rejects.toMatchObject({ code: "plan_stale" });
      expect(await apart(stage)).toBe(0);
    }));
});

describe("promotion after a rollback", () => {
  it("is refused where what the tasks read was promoted anew", () =>
    withShop(async (stage) => {
      const { revenue } = await readingLive(stage);
      await revenue.promote({ reason: "first" });
      await revenue.rollback({ reason: "not now" });
      await stage.database.query("update orders set amount = amount + 3");
      const only = await stage.open(shop({ version: 3, amount, without: "revenue" }));
      await (await recompute(only)).backfill.promote({ reason: "facts alone" });
      const rederive = await stage.open(shop({ version: 3, amount }));
      const again = await rederive.as(tester).backfill(revenue.id);
      await expect(again.promote({ reason: "after all" })).rejects.toMatchObject({
        code: "plan_stale",
        message: expect.stringContaining("60 tasks of revenue read facts"),
      });
      expect((await rederive.as(tester).preview({ reason: "rest" })).forecast.tasks).toBe(60);
    }));

  it("is refused while another backfill reads what it writes", () =>
    withShop(async (stage) => {
      const { rederive, facts, revenue } = await readingLive(stage);
      await revenue.cancel({ reason: "not needed" });
      await facts.rollback({ reason: "not now" });
      const old = await stage.open(shop());
      const other = (await recompute(old, "revenue")).backfill;
      const again = await rederive.as(tester).backfill(facts.id);
      await expect(again.promote({ reason: "now" })).rejects.toMatchObject({
        code: "overlapping_plan",
        message: expect.stringContaining(`backfill ${other.id}`),
      });
      await other.promote({ reason: "as it was" });
      await expect(again.promote({ reason: "now" })).rejects.toMatchObject({ code: "plan_stale" });
    }));

  it("goes where nothing that it read has changed, and holds nothing afterwards", () =>
    withShop(async (stage) => {
      const { facts, revenue } = await readingLive(stage);
      await revenue.cancel({ reason: "not needed" });
      await facts.rollback({ reason: "not now" });
      expect((await facts.promote({ reason: "now" })).state).toBe("promoted");
      expect(await activeReservations(stage)).toEqual([]);
      expect(await apart(stage)).toBe(0);
    }));
});

describe("a plan that continues another", () => {
  it("does not take over what was computed from content that was rolled back", () =>
    withShop(async (stage) => {
      const { facts, revenue } = await readingLive(stage);
      await revenue.cancel({ reason: "later" });
      await facts.rollback({ reason: "bad" });
      const rederive = await stage.open(shop());
      const backfill = await rederive.as(tester).plan({ datasets: ["revenue"], continues: revenue.id, reason: "on" });
      expect((await runToEnd(rederive, backfill)).state).toBe("verified");
      await backfill.promote({ reason: "right" });
      expect(await apart(stage)).toBe(0);
    }));
});
