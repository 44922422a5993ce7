/** Verification is the end of a backfill only where nothing is left to do, whatever was true when it began to judge. */
import { expect, it } from "vitest";
import { verify } from "../../src/usecases/verify.ts";
import { recompute, shop, withShop } from "./shop.ts";

it("does not verify what a retry has opened meanwhile", async () => {
  await withShop(async (stage) => {
    const catalog = shop();
    const { backfill, status } = await recompute(await stage.open(catalog));
    expect(status.state).toBe("verified");
    await backfill.retry({ dataset: "facts", partitions: ["2026-01-01"], reason: "an order was late" });
    expect(await verify(stage.database, catalog, backfill.id)).toBeUndefined();
    expect((await backfill.status()).state).toBe("running");
  });
});
