import { runToEnd } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { facts, recompute, shop, withShop } from "./shop.ts";

const half = "delete from orders where at >= '2026-02-10T10:00Z' and at < '2026-02-11Z'";

describe("what is unlike the history", () => {
  it("is told of rows without being asked for, and holds nothing", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query(half);
      const { status } = await recompute(rederive, "facts", ["2026-02-10", "2026-02-11"]);
      expect(status.state).toBe("verified");
      expect(status.failedChecks).toMatchObject([
        {
          dataset: "facts",
          partition: null,
          name: "anomaly(rows)",
          severity: "warn",
          failures: 1,
          evidence: {
            message:
              "rows is unlike the history in 1 of 2 partitions; 2026-02-10 has 10 where 20 is usual: part of it may be missing",
            rows: [{ partition: "2026-02-10", kind: "partial", value: "10", usual: "20", deviation: "-50.0 %" }],
          },
        },
      ]);
      expect(await stage.database.query("select count(*)::int as count from rederive.metric")).toEqual([{ count: 0 }]);
    }));

  it("holds with severity error, for nulls, sums and booleans of the columns that were named", () =>
    withShop(async (stage) => {
      const watched = { anomalies: { severity: "error" as const, columns: [facts.amount, facts.big] } };
      const rederive = await stage.bootstrap(shop({ facts: watched }));
      await stage.database.query(
        "update orders set amount = null where at >= '2026-02-10Z' and at < '2026-02-11Z' and id % 5 = 0",
      );
      await stage.database.query(
        "update orders set amount = amount * 1.3 where at >= '2026-02-11Z' and at < '2026-02-12Z'",
      );
      const { status, backfill } = await recompute(rederive, "facts", ["2026-02-09", "2026-02-10", "2026-02-11"]);
      expect(status.state).toBe("held");
      const told = status.failedChecks.map(({ name, evidence }) => [
        name,
        ...evidence.rows.map((row) => row["partition"]),
      ]);
      expect(told).toContainEqual(["anomaly(nulls(amount))", "2026-02-10"]);
      expect(told).toContainEqual(["anomaly(nulls(big))", "2026-02-10"]);
      expect(told.find(([name]) => name === "anomaly(mean(amount))")).toContain("2026-02-11");
      expect(told.flat()).not.toContain("2026-02-09");
      // Accepted by a person, it is told again and holds no more.
      await backfill.resume({ reason: "as it should be" });
      expect((await runToEnd(rederive, backfill)).state).toBe("verified");
      expect((await backfill.status()).failedChecks).toHaveLength(status.failedChecks.length);
    }));

  it("learns from what was promoted alone, never from the run itself", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      await stage.database.query("delete from orders where id % 20 >= 10");
      const all = Array.from({ length: 60 }, (_, day) =>
        new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10),
      );
      const { status, backfill } = await recompute(rederive, "facts", all);
      expect(status.failedChecks).toMatchObject([{ name: "anomaly(rows)", failures: 60 }]);
      await backfill.promote({ reason: "it is so" });
      const again = await recompute(rederive, "facts", all.slice(0, 30));
      expect(again.status.failedChecks).toEqual([]);
    }));

  it("is not asked where the definition says false, nor without a history", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ facts: { anomalies: false } }));
      await stage.database.query(half);
      expect((await recompute(rederive, "facts", ["2026-02-10"])).status.failedChecks).toEqual([]);
    }));

  it("measures what is live once, and again what was computed since", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ facts: { anomalies: {} } }));
      const stampsMeasured = async () =>
        (await stage.database.query<{ count: number }>("select count(*)::int as count from rederive.metric"))[0]?.count;
      expect(await stampsMeasured()).toBe(0);
      const first = await recompute(rederive, "facts", ["2026-02-10"]);
      // The partition, and the 43 that are near it.
      expect(await stampsMeasured()).toBe(44);
      await first.backfill.cancel({ reason: "enough" });
      await recompute(rederive, "facts", ["2026-02-10"]);
      expect(await stampsMeasured()).toBe(45);
    }));
});
