/** Changes that hold from a day on: what begins earlier stays, and is promised as long as it is what it was. */
import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Rederive } from "../../src/rederive.ts";
import { recompute, type Stage, shop, withShop } from "../usecases/shop.ts";

const kept = "2026-01-05";

async function changedFrom(stage: Stage): Promise<{ before: Rederive; after: Rederive }> {
  const before = await stage.bootstrap(shop());
  const after = await stage.open(shop({ amount: "amount * 2", version: 2 }));
  return { before, after };
}

/** Somebody computes a kept day again as it was defined before, and promotes it. */
async function promoteKept(stage: Stage, before: Rederive) {
  await stage.database.query("update orders set amount = amount + 1 where at >= '2026-01-05' and at < '2026-01-06'");
  const { backfill } = await recompute(before, "facts", [kept]);
  await backfill.promote({ reason: "corrected" });
  return backfill;
}

describe("a change that holds from a day on", () => {
  it("is promoted although a kept day went to and fro before it was started, and not where it went after", () =>
    withShop(async (stage) => {
      const { before, after } = await changedFrom(stage);
      const acting = after.as(tester);
      const planned = await acting.plan({ forwardFrom: "2026-01-08", reason: "prices doubled" });
      expect(planned.plan.decision.unchanged).toMatchObject([{ dataset: "facts", because: "before_forward" }]);
      const other = await promoteKept(stage, before);
      await other.rollback({ reason: "not yet" });
      expect(await runToEnd(after, planned)).toMatchObject({ state: "verified" });
      await planned.promote({ reason: "prices doubled" });

      await planned.rollback({ reason: "for a look" });
      await planned.promote({ reason: "looked" });
      await planned.rollback({ reason: "for another" });
      await promoteKept(stage, before);
      await expect(planned.promote({ reason: "again" })).rejects.toMatchObject({
        ...{ code: "plan_stale", details: { datasets: ["facts"] } },
      });
    }));
});
