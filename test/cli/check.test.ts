/** `rederive check` as people and scripts see it. */
import { describe, expect, it } from "vitest";
import type { CheckReport } from "../../src/report.ts";
import { runCommand, withShop } from "./command.ts";

const timeout = 240_000;

describe("rederive check", () => {
  it.each([
    [["check"], "say what to check: a backfill, --dataset <name>, or --live"],
    [["check", "bf_2222222222", "--live"], "leave out either the backfill or --live"],
    [["check", "--live", "--partitions", "2026-01-22"], "--partitions belongs to one dataset"],
    [["check", "--scheduled", "--stale"], "--scheduled shows what is known of live data"],
  ])("%j is refused with exit code 2", { timeout }, async (args, message) => {
    const answer = await runCommand(args);
    expect([answer.code, answer.stderr, answer.stdout]).toEqual([2, expect.stringContaining(message), ""]);
  });

  it("ends with exit code 3 where a changed rule is broken, and shows by what", { timeout }, async () => {
    await withShop(async (shop) => {
      const planned = await shop.run(["plan", "daily_revenue", "--reason", "first", "--json"]);
      const { backfill } = planned.json<{ backfill: string }>();
      expect((await shop.run(["run", backfill, "--workers", "2"])).code).toBe(0);
      const traced = await shop.run(["diff", backfill, "--bisect", "--rows", "1"]);
      expect([traced.code, traced.stdout.split("\n")]).toEqual([
        0,
        expect.arrayContaining([
          "daily_revenue: differences in 20 of 20 partitions",
          "  added day=2026-01-22, currency=EUR in 2026-01-22",
          "    because no backfill has promoted this partition before",
        ]),
      ]);
      const clean = await shop.run(["check", backfill, "--stale", "--json"]);
      expect([clean.code, clean.json<CheckReport>()]).toMatchObject([
        0,
        {
          backfill,
          scope: "candidates",
          failed: false,
          datasets: [{ dataset: "daily_revenue", checked: 0, upToDate: 20 }, {}],
        },
      ]);
      expect((await shop.run(["promote", backfill, "--reason", "fine"])).code).toBe(0);

      const strict = { SHOP_CURRENCIES: "EUR" };
      const broken = await shop.run(["check", "--dataset", "daily_revenue", "--stale", "--json"], strict);
      expect([broken.code, broken.json<CheckReport>()]).toMatchObject([
        3,
        { backfill: null, scope: "live", failed: true, datasets: [{ checked: 20, upToDate: 0, failing: 20 }] },
      ]);
      const one = ["check", "--dataset", "daily_revenue", "--partitions", "2026-01-23"];
      const shown = await shop.run(one, strict);
      expect([shown.code, shown.stdout]).toEqual([3, expect.stringMatching(/daily_revenue\s+1\s+0\s+1/)]);
      expect(shown.stdout).toContain("error daily_revenue 2026-01-23 accepted(currency): 1 × rows with another value");
      expect(shown.stdout).toMatch(/currency=USD/);
      expect(shown.stdout).toContain("computed from orders 2026-01-23 (live)");
      expect((await shop.run(one)).code).toBe(0);
      expect((await shop.run(["check", "--dataset", "daily_revenu"])).code).toBe(5);
      const scheduled = await shop.run(["check", "--scheduled"]);
      expect([scheduled.code, scheduled.stdout]).toEqual([0, expect.stringContaining("no dataset is validated")]);
    });
  });
});
