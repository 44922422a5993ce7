import { describe, expect, it } from "vitest";
import type { Diff, MergeReport, Status } from "../../src/report.ts";
import { type Answer, type Shop, withShop } from "./command.ts";

interface Planned {
  readonly backfill: string;
  readonly planHash: string;
  readonly steps: readonly { dataset: string; action: string; reason: string; partitions: string[] }[];
  readonly tasks: number;
}

describe("the life of a backfill on the command line", () => {
  it("goes from plan to rollback, in JSON", { timeout: 240_000 }, async () => {
    await withShop(async (shop) => {
      const first = await planned(shop, ["plan", "--reason", "first run", "--json"]);
      expect(first).toMatchObject({
        backfill: expect.stringMatching(/^bf_[2-9a-z]{10}$/),
        planHash: expect.stringMatching(/^[0-9a-f]{64}$/),
        state: "planned",
        // Twenty days of receipts and of revenue, two months.
        tasks: 42,
      });
      expect(first.steps.map((step) => [step.dataset, step.action])).toEqual([
        ["receipts", "recompute"],
        ["daily_revenue", "recompute"],
        ["monthly_revenue", "recompute"],
      ]);
      expect(first.steps[1]?.partitions).toEqual(["2026-01-22 to 2026-02-10"]);

      const explained = await shop.run(["explain", first.backfill]);
      expect([explained.code, explained.stdout]).toEqual([0, expect.stringContaining("daily_revenue")]);
      expect(explained.stdout).not.toContain("\u001b[");

      const run = await shop.run(["run", first.backfill, "--workers", "2", "--json"]);
      expect([run.code, run.stderr]).toEqual([0, expect.any(String)]);
      expect(
        run.events<{ event: string }>().every((event) => event.event === "progress" || event.event === "finished"),
      ).toBe(true);
      expect(run.json()).toEqual({
        event: "finished",
        backfill: first.backfill,
        state: "verified",
        tasks: { done: 42, unchanged: 0, failed: 0, quarantined: 0, cancelled: 0 },
        seconds: expect.any(Number),
      });

      expect(await answer<Status>(shop, ["status", first.backfill, "--json"])).toMatchObject({
        backfill: first.backfill,
        state: "verified",
        requestedBy: "ada",
        reason: "first run",
        total: 42,
        troubles: [],
        failedChecks: [],
      });
      const diff = await answer<Diff>(shop, ["diff", first.backfill, "--json"]);
      expect(
        diff.datasets.map(({ dataset, added, removed, changed, unchanged }) => [
          dataset,
          added,
          removed,
          changed,
          unchanged,
        ]),
      ).toEqual([
        ["receipts", 120, 0, 0, 0],
        ["daily_revenue", 40, 0, 0, 0],
        ["monthly_revenue", 2, 0, 0, 0],
      ]);

      const promoted = await answer<MergeReport>(shop, [
        "promote",
        first.backfill,
        "--reason",
        "looks right",
        "--json",
      ]);
      expect(promoted).toMatchObject({ state: "promoted" });
      expect(promoted.datasets).toContainEqual({ dataset: "receipts", inserted: 120, updated: 0, deleted: 0 });
      expect(await sums(shop)).toEqual({ days: 40, cents: 127_140 });

      // What is live is what the definitions say, until one of them changes.
      expect((await shop.run(["plan", "--check", "--json"])).code).toBe(0);
      const changed = await shop.run(["plan", "--check", "--json"], { SHOP_VERSION: "2" });
      expect(changed.code).toBe(6);
      expect(changed.json<Planned>()).toMatchObject({ backfill: null, state: "preview", tasks: 22 });

      const fix = await planned(shop, ["plan", "--reason", "refunds were ignored", "--json"], { SHOP_VERSION: "2" });
      expect(fix.steps.find((step) => step.dataset === "receipts")?.action ?? "not in the plan").not.toBe("recompute");
      expect((await shop.run(["run", fix.backfill, "--workers", "2"], { SHOP_VERSION: "2" })).code).toBe(0);
      const shown = await shop.run(["diff", fix.backfill], { SHOP_VERSION: "2" });
      expect(shown.stdout).toMatch(/daily_revenue\s+0\s+0\s+40\s+0\s+cents \(40\)/);
      expect((await shop.run(["promote", fix.backfill, "--reason", "checked"], { SHOP_VERSION: "2" })).code).toBe(0);
      expect(await sums(shop)).toEqual({ days: 40, cents: 123_140 });

      const back = await answer<MergeReport>(shop, ["rollback", fix.backfill, "--reason", "too early", "--json"]);
      expect(back).toMatchObject({ state: "rolled_back" });
      expect(back.datasets).toContainEqual({ dataset: "daily_revenue", inserted: 0, updated: 40, deleted: 0 });
      expect(await sums(shop)).toEqual({ days: 40, cents: 127_140 });

      const listed = await shop.run(["status"]);
      expect(listed.stdout.split("\n").slice(1, 3)).toEqual([
        expect.stringContaining("rolled_back"),
        expect.stringContaining("promoted"),
      ]);
    });
  });
});

async function answer<Value>(shop: Shop, args: readonly string[]): Promise<Value> {
  const given: Answer = await shop.run(args);
  expect([given.code, given.stderr]).toEqual([0, given.stderr]);
  return given.json<Value>();
}

async function planned(shop: Shop, args: readonly string[], env = {}): Promise<Planned> {
  const given = await shop.run(args, env);
  expect([given.code, given.stderr]).toEqual([0, given.stderr]);
  return given.json<Planned>();
}

async function sums(shop: Shop): Promise<{ days: number; cents: number } | undefined> {
  const [row] = await shop.query<{ days: number; cents: number }>(
    "select count(*)::int as days, sum(cents)::int as cents from public.daily_revenue",
  );
  return row;
}
