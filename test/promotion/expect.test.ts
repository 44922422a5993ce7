import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { RequestedExpectation } from "../../src/plan.ts";
import type { PlanInput } from "../../src/usecases/plan.ts";
import { shop, withShop } from "../usecases/shop.ts";

/** A correction of one currency in one month: 31 days of 8 facts, in amount alone (and in `big`, which follows from another column). */
const corrected = shop({ version: 2, amount: "case when currency = 'USD' then amount + 1 else amount end" });

/** Runs the correction of January with these expectations. */
async function correct(expectation: RequestedExpectation) {
  let found: { state: string; checks: readonly string[]; rows: unknown; accepted: string } | undefined;
  await withShop(async (stage) => {
    await stage.bootstrap(shop());
    const rederive = await stage.open(corrected);
    const acting = rederive.as(tester);
    const input: PlanInput = {
      datasets: ["facts"],
      window: { from: "2026-01-01", to: "2026-02-01" },
      reason: "taxes",
      expect: expectation,
    };
    const backfill = await acting.plan(input);
    const status = await runToEnd(rederive, backfill);
    const accepted = status.state === "held" ? await accept(rederive, backfill) : status.state;
    const failed = status.failedChecks.filter(({ name }) => name.startsWith("expect"));
    found = {
      state: status.state,
      checks: failed.map(({ dataset, name, failures }) => `${dataset} ${name} ${failures}`),
      rows: failed[0]?.evidence.rows[0],
      accepted,
    };
  });
  return found;
}

async function accept(
  rederive: Parameters<typeof runToEnd>[0],
  backfill: Parameters<typeof runToEnd>[1],
): Promise<string> {
  await backfill.resume({ reason: "seen" });
  const { state } = await runToEnd(rederive, backfill);
  return state;
}

describe("what a plan expects to change, at most", () => {
  it.each<[string, RequestedExpectation, string[]]>([
    [
      "all that changes",
      { columns: ["amount"], maxChangedRows: 248, maxChangedRatio: 0.5, where: "currency = 'USD'" },
      [],
    ],
    ["too few rows", { maxChangedRows: 247 }, ["facts expect(maxChangedRows) 248"]],
    [
      "too small a share",
      { maxChangedRatio: 0.39 },
      ["facts expect(maxChangedRatio) 248", "revenue expect(maxChangedRatio) 31"],
    ],
    ["another column", { columns: ["big"] }, ["facts expect(columns) 248"]],
    ["other rows", { where: "currency = 'EUR' or day < '2026-01-02'" }, ["facts expect(where) 240"]],
    ["too little downstream", { datasets: { revenue: { maxChangedRows: 30 } } }, ["revenue expect(maxChangedRows) 31"]],
  ])("%s", { timeout: 120_000 }, async (_name, expectation, outside) => {
    const found = await correct(expectation);
    expect(found?.checks.toSorted()).toEqual(outside);
    expect([found?.state, found?.accepted]).toEqual([outside.length === 0 ? "verified" : "held", "verified"]);
  });

  it("shows the rows that are outside, before and after", { timeout: 120_000 }, async () => {
    const found = await correct({ columns: ["currency"] });
    const amount = expect.stringMatching(/^1\d$/);
    expect(found?.rows).toEqual({
      change: "changed",
      id: expect.stringMatching(/^\d+$/),
      "amount before": amount,
      "amount after": amount,
    });
  });

  it("an expectation that cannot be asked is refused with the plan", { timeout: 120_000 }, async () => {
    await withShop(async (stage) => {
      const rederive = await stage.open(shop());
      const planned = (expectation: RequestedExpectation) =>
        rederive.as(tester).preview({ reason: "test", expect: expectation });
      const refused: readonly [RequestedExpectation, string][] = [
        [{ columns: ["amuont"] }, 'did you mean "amount"?'],
        [{ maxChangedRatio: 2 }, "from 0 to 1"],
        [{ maxChangedRows: -1 }, "whole number"],
        [{ datasets: { facts: { where: "currency" } } }, "boolean"],
        [{ datasets: { facts: { where: "exists (select from orders)" } } }, "reads orders"],
        [{ datasets: { facts: { where: "true; drop table orders" } } }, "semicolon"],
        [{ datasets: { facts: { where: "day < now()" } } }, "now()"],
        [{ datasets: { facts: { where: "pg_sleep(9) is null" } } }, "volatile"],
        [{ datasets: { fact: { maxChangedRows: 1 } } }, 'did you mean "facts"?'],
        [{ where: "big" }, "cannot be expected of the rows of revenue"],
      ];
      for (const [expectation, message] of refused) {
        await expect(planned(expectation)).rejects.toThrow(message);
      }
    });
  });
});
