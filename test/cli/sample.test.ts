/** `rederive plan --sample` as people have it, with a map among the datasets, and killed in the middle of it. */
import { describe, expect, it } from "vitest";
import type { StepsReport } from "../../src/planner/report.ts";
import { eventually } from "../support/eventually.ts";
import { type Shop, withShop } from "./command.ts";

const timeout = 240_000;
const sample = ["plan", "--reason", "refunds", "--sample"];

function scratchSchemas(shop: Shop): Promise<{ name: string }[]> {
  return shop.query("select nspname::text as name from pg_namespace where nspname like 'rederive_sample%'");
}

describe("rederive plan --sample", () => {
  it("shows what would change before anything runs", { timeout }, async () => {
    await withShop(async (shop) => {
      expect((await shop.run(["run", "--reason", "first", "--workers", "2"])).code).toBe(0);
      const listed = await shop.run(["status", "--json"]);
      const [first] = listed.json<{ backfills: { backfill: string }[] }>().backfills;
      expect((await shop.run(["promote", first?.backfill ?? "", "--reason", "first"])).code).toBe(0);

      const refunds = { SHOP_VERSION: "2" };
      const shown = await shop.run([...sample, "100%"], refunds);
      expect(shown.code).toBe(0);
      expect(shown.stdout).toContain("daily_revenue, 20 of 20 partitions: 2026-01-22 to 2026-02-10 (20)");
      expect(shown.stdout).toContain("expected of all: 40 changed, none added, none removed; about 1 s of work");
      expect(shown.stdout).toMatch(/changed: day=2026-01-22, currency=EUR, cents: \d+ → \d+/);
      const windows = ["--sample", "daily_revenue=2026-01-22..2026-01-25,2026-02-01", "--json"];
      const named = await shop.run(["plan", "--check", "--reason", "refunds", ...windows], refunds);
      const { forecast } = named.json<StepsReport>();
      expect(forecast.sample).toMatchObject({ tasks: 4, datasets: [{ dataset: "daily_revenue", changed: 8 }] });
      expect((await shop.run([...sample, "150%"], refunds)).code).toBe(2);
      const stranger = await shop.run([...sample, "receipts=2026-01-22"], refunds);
      expect([stranger.code, stranger.stderr]).toEqual([
        5,
        expect.stringContaining("the plan does not recompute receipts; it computes daily_revenue, monthly_revenue"),
      ]);
    });
  });

  it("computes maps too; what a killed one left is dropped by the next", { timeout }, async () => {
    await withShop(async (shop) => {
      const slow = { SHOP_SECONDS: "2" };
      const killed = shop.start([...sample, "100%"], slow);
      const [left] = await eventually(
        () => scratchSchemas(shop),
        (schemas) => schemas.length > 0,
        { what: "a sample is under way" },
      );
      killed.child.kill("SIGKILL");
      await killed.ended;
      expect(await scratchSchemas(shop)).toEqual([left]);
      // Its backend ends with the statement that it is at.
      await eventually(
        () => shop.query("select 1 from pg_stat_activity where application_name like 'rederive sample%'"),
        (sessions) => sessions.length === 0,
        { what: "the killed sample's session is gone" },
      );
      const answer = await shop.run([...sample, "100%", "--json"]);
      const found = answer.json<StepsReport>().forecast.sample?.datasets.map(({ dataset, added }) => [dataset, added]);
      expect(found).toEqual(
        expect.arrayContaining([
          ["receipts", 120],
          ["daily_revenue", 40],
          ["monthly_revenue", 2],
        ]),
      );
      expect(await scratchSchemas(shop)).toEqual([]);
    });
  });

  it("ends in order on Ctrl-C, and leaves nothing", { timeout }, async () => {
    await withShop(async (shop) => {
      const running = shop.start([...sample, "100%"], { SHOP_SECONDS: "2" });
      await eventually(
        () => scratchSchemas(shop),
        (schemas) => schemas.length > 0,
        { what: "a sample is under way" },
      );
      running.child.kill("SIGINT");
      const answer = await running.ended;
      expect([answer.code, answer.stderr]).toEqual([130, expect.stringContaining("nothing was planned")]);
      expect(await scratchSchemas(shop)).toEqual([]);
      expect(await shop.query("select id from rederive.backfill")).toEqual([]);
    });
  });
});
