import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { bisectionLines } from "../../src/cli/bisection.ts";
import type { DatasetBisection } from "../../src/report.ts";
import { facts, recompute, type Shape, shop, withShop } from "./shop.ts";

const days = ["2026-01-05", "2026-01-06", "2026-01-07"];

/** Added, removed and changed rows by partition. */
function countsOf(found: DatasetBisection | undefined): Record<string, readonly number[]> {
  const counts = (found?.partitions ?? []).map(
    ({ partition, added, removed, changed }) => [partition, [added, removed, changed]] as const,
  );
  return Object.fromEntries(counts);
}

describe("bisection", () => {
  it("leads from a total to the fact and to the order behind it", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("update orders set amount = 99 where id = 85");
      const { backfill } = await recompute(rederive, "facts", days);
      const { datasets } = await backfill.bisect();
      const changed = { partition: "2026-01-05", added: 0, removed: 0, changed: 1, redefined: false };
      expect(datasets).toMatchObject([
        {
          ...{ dataset: "facts", compared: 3, divergent: 1 },
          partitions: [{ ...changed, columns: { amount: 1, big: 1 } }],
          rows: [
            {
              ...{ partition: "2026-01-05", kind: "changed", key: { id: "85" }, columns: ["amount", "big"] },
              before: { id: "85", amount: "11", big: "false" },
              after: { id: "85", amount: "99", big: "true" },
              causes: ["rows of orders are others than they were when this was computed"],
              // The key's name is a column of orders too, so it is that order and no other.
              inputs: [
                {
                  ...{ dataset: "orders", from: "live", partitions: "2026-01-05", narrowedBy: ["id"], differing: null },
                  rows: [{ before: null, after: { id: "85", amount: "99" } }],
                },
              ],
            },
          ],
        },
        {
          ...{ dataset: "revenue", divergent: 1 },
          rows: [
            {
              key: { day: "2026-01-05", currency: "EUR" },
              columns: ["amount"],
              causes: ["rows of facts differ"],
              inputs: [
                {
                  ...{ dataset: "facts", from: "candidate", narrowedBy: ["day", "currency"], differing: 1 },
                  rows: [{ before: { id: "85", amount: "11" }, after: { id: "85", amount: "99" } }],
                },
              ],
            },
          ],
        },
      ]);
      const text = datasets.flatMap(bisectionLines);
      expect(text[0]).toMatch(/^facts: differences in 1 of 3 partitions/);
      expect(text.slice(1)).toEqual([
        "  2026-01-05: 0 added, 0 removed, 1 changed in amount (1), big (1)",
        "  changed id=85 in 2026-01-05",
        "    amount: 11 → 99",
        "    big: false → true",
        "    because rows of orders are others than they were when this was computed",
        "    orders 2026-01-05 by id: read",
        "      id=85, at=2026-01-05 05:00:00+00, currency=EUR, amount=99",
        expect.stringMatching(/^revenue: differences in 1 of \d partitions/),
        "  2026-01-05: 0 added, 0 removed, 1 changed in amount (1)",
        "  changed day=2026-01-05, currency=EUR in 2026-01-05",
        "    amount: 160 → 248",
        "    because rows of facts differ",
        "    facts 2026-01-05 by day, currency: 1 row differs",
        "      id=85, day=2026-01-05, currency=EUR, amount=11, big=false → id=85, day=2026-01-05, currency=EUR, amount=99, big=true",
      ]);
    }));

  it("tells another definition from other rows, and orders partitions by what differs in them", () =>
    withShop(async (stage) => {
      await stage.bootstrap(shop());
      const rederive = await stage.open(
        shop({ amount: "case when amount > 15 then amount + 1 else amount end", version: 2 }),
      );
      await stage.database.query(
        "delete from orders where at >= '2026-01-06Z' and at < '2026-01-07Z' and currency = 'USD'",
      );
      const { backfill } = await recompute(rederive);
      const [factsFound, revenueFound] = (await backfill.bisect({ rows: 8 })).datasets;
      expect(factsFound).toMatchObject({ compared: 60, divergent: 60, proven: 0 });
      expect(factsFound?.partitions).toHaveLength(20);
      expect(factsFound?.partitions[0]).toMatchObject({ partition: "2026-01-06", removed: 8, redefined: true });
      // One row of each of the worst partitions, the very worst first.
      expect(new Set(factsFound?.rows.map(({ partition }) => partition)).size).toBe(8);
      expect(factsFound?.rows[0]).toMatchObject({
        partition: "2026-01-06",
        causes: [expect.stringMatching(/^the definition changed \(.*version/)],
      });
      expect(revenueFound?.rows.every(({ causes }) => causes.join() === "rows of facts differ")).toBe(true);
    }));

  it("finds what others wrote to the live table, rows that came and rows that are gone", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query(`delete from facts where day = '2026-01-05'; update facts set day = '2026-01-05' where id = 100;
        update facts set amount = 1 where id = 121; insert into facts values (-1, '2026-01-07', 'EUR', 1, false)`);
      const { backfill } = await recompute(rederive, "facts", days);
      const [found] = (await backfill.bisect({ rows: 50 })).datasets;
      expect(countsOf(found)).toEqual({ "2026-01-05": [20, 0, 1], "2026-01-07": [0, 1, 1] });
      expect((await backfill.diff()).datasets[0]).toMatchObject({ added: 20, removed: 1, changed: 2 });
      expect(found?.rows).toHaveLength(23);
      expect(found?.rows.find(({ kind }) => kind === "removed")).toMatchObject({ key: { id: "-1" }, after: null });
      expect(found?.rows.find(({ key }) => key["id"] === "121")).toMatchObject({
        columns: ["amount"],
        causes: ["others wrote to this partition of the live table after it was promoted"],
      });
      // It was taken from the day before: there nothing differs, for the row is found where it is live.
      expect(found?.rows.find(({ key }) => key["id"] === "100")).toMatchObject({ columns: ["day"] });
    }));

  it("names both where an order was edited and somebody wrote to the live table", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query(
        "update orders set amount = 99 where id = 85; insert into facts values (-1, '2026-01-05', 'EUR', 1, false)",
      );
      const { backfill } = await recompute(rederive, "facts", days);
      const [found] = (await backfill.bisect()).datasets;
      expect(found?.rows).toMatchObject([{ key: { id: "-1" } }, { key: { id: "85" } }]);
      for (const { causes } of found?.rows ?? []) {
        expect(causes).toEqual([
          "rows of orders are others than they were when this was computed",
          "others wrote to this partition of the live table after it was promoted",
        ]);
      }
    }));

  it("counts rows of partitions that were empty, and those that moved there once", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query(
        "update facts set day = '2026-01-07' where id = 100; delete from facts where day = '2026-01-06'",
      );
      const { backfill } = await recompute(rederive, "facts", days);
      // As large partitions are: each is compared by itself.
      await stage.database.query(
        "update rederive.stamp set rows_written = rows_written + 200000 where backfill = $1 and dataset = 'facts'",
        [backfill.id],
      );
      const [found] = (await backfill.bisect()).datasets;
      expect(countsOf(found)).toEqual({ "2026-01-06": [200_019, 0, 0], "2026-01-07": [0, 0, 1] });
      expect(found?.rows.map(({ kind }) => kind)).toEqual(["changed", "added", "added", "added", "added"]);
      expect(found?.rows.some(({ kind, key }) => kind === "added" && key["id"] === "100")).toBe(false);
    }));

  it("says so where an input was promoted with other rows since", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("update orders set amount = 99 where id = 85");
      const alone = await stage.open(shop({ without: "revenue" }));
      await (await recompute(alone, "facts", days)).backfill.promote({ reason: "facts alone" });
      const { backfill } = await recompute(rederive, "revenue", days);
      const [found] = (await backfill.bisect()).datasets;
      expect(found).toMatchObject({ dataset: "revenue", divergent: 1 });
      expect(found?.rows[0]).toMatchObject({
        causes: ["facts was promoted with other rows since this was computed"],
        inputs: [{ dataset: "facts", from: "live", differing: null, narrowedBy: ["day", "currency"] }],
      });
    }));

  it("shows no value of a masked column, nor of the source that it may come from", () =>
    withShop(async (stage) => {
      const masked: Shape = { facts: { mask: [facts.amount] } };
      const rederive = await stage.bootstrap(shop(masked));
      await stage.database.query("update orders set amount = 99 where id = 85");
      const { backfill } = await recompute(rederive, "facts", days);
      const bisection = await backfill.bisect();
      expect(bisection.datasets[0]?.rows[0]).toMatchObject({
        columns: ["amount", "big"],
        before: { id: "85", amount: "(masked)", big: "false" },
        after: { amount: "(masked)", big: "true" },
        inputs: [{ rows: [{ after: { id: "85", at: "(masked)", currency: "EUR", amount: "(masked)" } }] }],
      });
      // Who reads it, without masks of its own, hides it under its name alone.
      expect(bisection.datasets[1]).toMatchObject({
        dataset: "revenue",
        rows: [
          { columns: ["amount"], before: { amount: "(masked)" }, inputs: [{ rows: [{ after: { big: "true" } }] }] },
        ],
      });
      expect(JSON.stringify(bisection)).not.toMatch(/"99"|"11"|248/);
    }));

  it("reads no partition that the stamps prove equal", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("update orders set amount = 99 where id = 85");
      const { backfill } = await recompute(rederive, "facts", days);
      const [found] = (await backfill.bisect()).datasets;
      expect(found).toMatchObject({ compared: 3, proven: 2, divergent: 1 });
    }));

  it("is refused where there is nothing to compare", () =>
    withShop(async (stage) => {
      const rederive = await stage.open(shop());
      const backfill = await rederive.as(tester).plan({ reason: "test" });
      await expect(backfill.bisect()).rejects.toMatchObject({ code: "wrong_state" });
    }));
});
