import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { facts, recompute, revenue, shop, withShop } from "./shop.ts";

const reason = "checked by hand";
const viewer = { name: "vera", role: "viewer" } as const;

describe("a golden baseline", () => {
  it("holds a candidate that differs from it, and shows the rows; accepted by a person, it holds no more", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const acting = rederive.as(tester);
      const captured = await acting.captureBaseline({
        name: "january",
        dataset: "revenue",
        partitions: ["2026-01-05", "2026-01-06"],
        reason,
      });
      expect(captured).toMatchObject({
        ...{
          version: 1,
          state: "captured",
          partitions: "2026-01-05 to 2026-01-06 (2)",
          rows: 4,
          key: ["day", "currency"],
        },
        provenance: {
          backfills: [expect.stringMatching(/^bf_/)],
          fingerprints: [expect.stringMatching(/^[0-9a-f]{64}$/)],
        },
      });
      await stage.database.query("update orders set amount = amount + 1 where id in (85, 103)");
      // Captured and not approved, it says nothing.
      expect((await recompute(rederive, "facts", ["2026-01-05"])).status.state).toBe("verified");
      await (await acting.backfills({ limit: 1 }).then(([last]) => acting.backfill(last?.backfill as string))).cancel({
        reason,
      });
      await acting.approveBaseline({ name: "january", reason });
      const { status, backfill } = await recompute(rederive, "facts", ["2026-01-05", "2026-01-06", "2026-01-07"]);
      expect(status.state).toBe("held");
      expect(status.failedChecks).toMatchObject([
        {
          ...{ dataset: "revenue", partition: null, name: "baseline(january)", severity: "error", failures: 2 },
          evidence: {
            message: "2 rows differ from baseline january, version 1",
            rows: [
              { difference: "changed", day: "2026-01-05", currency: "EUR", "amount: was": "160", "amount: is": "161" },
              { difference: "changed", day: "2026-01-06", currency: "USD", "amount: was": "107", "amount: is": "108" },
            ],
          },
        },
      ]);
      const sql = status.failedChecks[0]?.evidence.sql as string;
      expect(await stage.database.query(sql)).toHaveLength(2);
      await backfill.resume({ reason });
      expect((await runToEnd(rederive, backfill)).state).toBe("verified");
    }));

  it("lets pass what is within the tolerance of a column", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const acting = rederive.as(tester);
      await stage.database.query("update orders set amount = amount + 1 where id = 85");
      for (const [tolerance, state] of [
        ["0.99", "held"],
        ["0.5%", "held"],
        ["1", "verified"],
        ["0.7%", "verified"],
      ] as const) {
        await acting.captureBaseline({
          name: "close",
          dataset: revenue.day ? "revenue" : "",
          tolerance: { amount: tolerance },
          reason,
        });
        await acting.approveBaseline({ name: "close", reason });
        const { status, backfill } = await recompute(rederive, "facts", ["2026-01-05"]);
        expect([tolerance, status.state]).toEqual([tolerance, state]);
        await backfill.cancel({ reason });
      }
      expect((await acting.baselines({ name: "close" })).map(({ version, state }) => [version, state])).toEqual([
        [4, "approved"],
        [3, "retired"],
        [2, "retired"],
        [1, "retired"],
      ]);
    }));

  it("of a query is asked of what all datasets will hold", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const acting = rederive.as(tester);
      const query =
        "select f.currency, count(*) as facts, sum(r.amount) as total from facts f join revenue r using (day, currency) group by 1";
      await acting.captureBaseline({ name: "totals", dataset: "revenue", query, key: ["currency"], reason });
      await acting.captureBaseline({
        name: "rows",
        dataset: "revenue",
        query: "select currency from facts where id < 4",
        severity: "warn",
        reason,
      });
      await acting.approveBaseline({ name: "totals", reason });
      await acting.approveBaseline({ name: "rows", reason });
      expect((await recompute(rederive, "facts", ["2026-01-05"])).status.state).toBe("verified");
      const [last] = await acting.backfills({ limit: 1 });
      await (await acting.backfill(last?.backfill as string)).cancel({ reason });
      await stage.database.query("delete from orders where id = 2; update orders set amount = amount + 1 where id = 3");
      const { status } = await recompute(rederive, "facts", ["2026-01-01"]);
      expect(status.state).toBe("held");
      expect(
        status.failedChecks.map(({ name, severity, evidence }) => [
          name,
          severity,
          evidence.rows.map((row) => row["difference"]),
        ]),
      ).toEqual(
        expect.arrayContaining([
          ["baseline(totals)", "error", ["changed", "changed"]],
          // Of three rows in euros two are left.
          ["baseline(rows)", "warn", ["missing"]],
        ]),
      );
    }));

  it("counts rows that are there twice, tells null from empty, and does not show masked values", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ facts: { mask: [facts.amount] } }));
      const acting = rederive.as(tester);
      const query = "select nullif(currency, 'USD') as currency, amount as secret from facts where id < 20";
      await acting.captureBaseline({ name: "twice", dataset: "facts", query, reason });
      await acting.approveBaseline({ name: "twice", reason });
      await stage.database.query(
        "update orders set currency = '' where id = 3; update orders set amount = 15 where id = 4",
      );
      const { status } = await recompute(rederive, "facts", ["2026-01-01"]);
      const [check] = status.failedChecks.filter(({ name }) => name === "baseline(twice)");
      expect(check?.failures).toBe(4);
      expect(check?.evidence.rows.map(({ secret }) => secret)).toEqual(Array(4).fill("(masked)"));
      expect(check?.evidence.rows.map((row) => `${row["difference"]} ${row["currency"]}`).sort()).toEqual([
        "missing null",
        "missing null",
        "surplus ",
        "surplus null",
      ]);
    }));

  it("that cannot be compared holds as well, and one that was tampered with is not approved", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const acting = rederive.as(tester);
      const one = { dataset: "facts", partitions: ["2026-01-01"], reason };
      await acting.captureBaseline({ name: "gone", ...one });
      await acting.captureBaseline({ name: "changed", ...one });
      await acting.approveBaseline({ name: "gone", reason });
      await stage.database.query(
        `update rederive_baseline.changed_v1 set amount = 0; drop table rederive_baseline.gone_v1`,
      );
      await expect(acting.approveBaseline({ name: "changed", reason })).rejects.toMatchObject({
        code: "verification_failed",
      });
      const { status } = await recompute(rederive, "facts", ["2026-01-01"]);
      expect(status.stateReason).toContain("baseline gone, version 1, cannot be compared");
    }));

  it.each([
    [{ name: "No" }, "usage", "is no name for a baseline"],
    [{ dataset: "fact" }, "not_found", 'did you mean "facts"'],
    [{ dataset: "orders" }, "not_found", "no derived dataset"],
    [{ reason: " " }, "usage", "needs a reason"],
    [{ tolerance: { amount: "much" } }, "usage", "write a number"],
    [{ tolerance: { currency: "1" } }, "usage", "only numbers can be close"],
    [{ tolerance: { id: "1" } }, "usage", "part of the key"],
    [{ key: ["currency"] }, "usage", "2 values of the key (currency) have more than one row"],
    [{ key: ["curency"] }, "usage", 'did you mean "currency"'],
    [{ query: "select 1", partitions: ["2026-01-01"] }, "usage", "a query or partitions"],
    [{ query: "select nothing from facts" }, "usage", "cannot be captured"],
    [{ query: "select 1) as x; drop table facts; select from (select 1" }, "usage", "cannot be captured"],
    [
      { query: "with gone as (delete from public.facts returning 1) select * from gone" },
      "usage",
      "cannot be captured",
    ],
  ])("is refused where it says %j", (wrong, code, message) =>
    withShop(async (stage) => {
      const rederive = await stage.open(shop());
      const wish = { name: "wrong", dataset: "facts", reason, ...wrong };
      await stage.database.query(
        "insert into facts values (1, '2026-01-01', 'EUR', 1, true), (2, '2026-01-01', 'EUR', 1, true), (3, '2026-01-01', 'USD', 1, true), (4, '2026-01-01', 'USD', 1, true)",
      );
      await expect(rederive.as(tester).captureBaseline(wish)).rejects.toMatchObject({
        code,
        message: expect.stringContaining(message),
      });
      expect(await stage.database.query("select count(*)::int as count from facts")).toEqual([{ count: 4 }]);
    }),
  );

  it("is captured by operators, decided by approvers, once, each with an audit row", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop());
      const operator = { name: "olaf", role: "operator" } as const;
      const wish = { name: "mine", dataset: "facts", reason };
      await expect(rederive.as(viewer).captureBaseline(wish)).rejects.toMatchObject({ code: "forbidden" });
      await rederive.as(operator).captureBaseline(wish);
      await expect(rederive.as(operator).approveBaseline({ name: "mine", reason })).rejects.toMatchObject({
        code: "forbidden",
      });
      await rederive.as(tester).approveBaseline({ name: "mine", reason });
      await expect(rederive.as(tester).approveBaseline({ name: "mine", reason })).rejects.toMatchObject({
        code: "wrong_state",
      });
      await expect(rederive.as(tester).retireBaseline({ name: "mine", version: 2, reason })).rejects.toMatchObject({
        code: "not_found",
      });
      await rederive.as(tester).retireBaseline({ name: "mine", reason });
      expect((await rederive.as(viewer).baselines())[0]).toMatchObject({
        state: "retired",
        capturedBy: "olaf",
        decidedBy: tester.name,
      });
      expect(
        await stage.database.query(
          "select act, actor, dataset, details from rederive.audit where act like 'baseline.%' order by id",
        ),
      ).toEqual([
        { act: "baseline.capture", actor: "olaf", dataset: "facts", details: { baseline: "mine", version: 1 } },
        { act: "baseline.approve", actor: tester.name, dataset: "facts", details: { baseline: "mine", version: 1 } },
        { act: "baseline.retire", actor: tester.name, dataset: "facts", details: { baseline: "mine", version: 1 } },
      ]);
    }));
});
