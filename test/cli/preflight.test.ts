/** `rederive preflight` as people and scripts see it. */
import { describe, expect, it } from "vitest";
import type { PreflightReport } from "../../src/report.ts";
import { withShop } from "./command.ts";

describe("rederive preflight", () => {
  it(
    "asks again of a stored plan, and ends with exit code 4 where it cannot be carried out any more",
    {
      timeout: 240_000,
    },
    () =>
      withShop(async (shop) => {
        const planned = await shop.run(["plan", "--reason", "first", "--json"]);
        const { backfill, forecast } = planned.json<{ backfill: string; forecast: { preflight: PreflightReport } }>();
        expect([planned.code, forecast.preflight.findings]).toEqual([0, []]);

        await shop.query("delete from orders where created_at >= '2026-01-25Z' and created_at < '2026-01-26Z'");
        const gap = await shop.run(["preflight", backfill]);
        expect([gap.code, gap.stdout]).toEqual([
          0,
          expect.stringMatching(
            /^warn: orders has no rows in 1 partition .*\[missing_partitions\]\nPreflight, 1 found; looked at .*\.\n$/,
          ),
        ]);

        await shop.query("alter table orders drop column refunded, drop column cents");
        const stopped = await shop.run(["preflight", backfill, "--json"]);
        expect([stopped.code, stopped.json<PreflightReport>()]).toMatchObject([
          4,
          { backfill, stopped: true, findings: [{ dataset: "orders", reader: "daily_revenue", column: "cents" }, {}] },
        ]);
        const again = await shop.run(["plan", "--reason", "again"]);
        expect([again.code, again.stderr]).toEqual([
          4,
          expect.stringContaining('daily_revenue reads column cents of orders, which "public"."orders" does not have'),
        ]);
      }),
  );
});
