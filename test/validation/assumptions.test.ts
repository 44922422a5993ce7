/** What a dataset takes for granted is tested before a plan and before a start. */
import { sql } from "drizzle-orm";
import { assume } from "rederive";
import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { goods, orders } from "./goods.ts";
import { withStage } from "./stage.ts";

const nobodyBuysNothing = assume(
  "every order has a customer who is there",
  sql`select ${orders.id} from ${orders} where not exists (select from customers c where c.id = ${orders.customer})`,
);
const broken = { code: "assumption_broken", message: expect.stringContaining('orders assumes "every order has') };

describe("assumptions", { timeout: 120_000 }, () => {
  it("refuse a plan, a preview and a start where they are broken, and let the rest pass", async () => {
    await withStage(undefined, async ({ database, open }) => {
      const rederive = await open(goods({}, { assumptions: [nobodyBuysNothing] }));
      const acting = rederive.as(tester);
      const backfill = await acting.plan({ datasets: ["facts"], reason: "holds" });
      await database.query("update public.orders set customer = 77 where id in (3, 4)");
      await expect(backfill.start()).rejects.toMatchObject(broken);
      expect(await backfill.status()).toMatchObject({ state: "planned" });
      const refused = acting.preview({ datasets: ["facts"], reason: "downstream" });
      await expect(refused).rejects.toMatchObject({
        ...broken,
        details: { broken: [{ dataset: "orders", description: nobodyBuysNothing.description, failures: 2 }] },
      });
      await expect(refused).rejects.toThrow(/2 rows break it; find them with:\nselect "orders"."id" from "orders"/);
      // What does not read the orders takes nothing for granted about them.
      await expect(acting.preview({ datasets: ["hours"], reason: "elsewhere" })).resolves.toBeDefined();
      await database.query("update public.orders set customer = 1 where id in (3, 4)");
      expect(await runToEnd(rederive, backfill)).toMatchObject({ state: "verified" });
    });
  });

  it("whose query cannot run say what Postgres said", async () => {
    await withStage(undefined, async ({ open }) => {
      const rederive = await open(goods({}, { assumptions: [assume("nonsense", "select nothing from orders")] }));
      const planned = rederive.as(tester).preview({ datasets: ["facts"], reason: "test" });
      await expect(planned).rejects.toMatchObject({
        code: "plan_refused",
        message: expect.stringContaining('"nothing"'),
      });
    });
  });

  it("cannot write", async () => {
    await withStage(undefined, async ({ database, open }) => {
      const writing = assume("it is harmless", "with gone as (delete from orders returning 1) select * from gone");
      const rederive = await open(goods({}, { assumptions: [writing] }));
      const planned = rederive.as(tester).preview({ datasets: ["facts"], reason: "test" });
      await expect(planned).rejects.toMatchObject({ code: "plan_refused" });
      expect(await database.query("select count(*)::int as rows from orders")).toEqual([{ rows: 32 }]);
    });
  });
});
