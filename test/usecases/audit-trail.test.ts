import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { check } from "../../src/catalog/check.ts";
import { eventually } from "../support/eventually.ts";
import { facts, recompute, shop, withShop } from "./shop.ts";

interface Entry {
  readonly seq: number | null;
  readonly actor: string;
  readonly act: string;
  readonly dataset: string | null;
  readonly reason: string | null;
  readonly details: Record<string, unknown>;
}

describe("the audit trail of a backfill", () => {
  it("says of each decision who made it and why, and the leading planner chains it", () =>
    withShop(async (stage) => {
      const { database } = stage;
      const rederive = await stage.open(shop({ facts: { checks: [check.range(facts.amount, { max: 12 })] } }));
      const { backfill, status } = await recompute(rederive);
      expect(status.state).toBe("held");
      await backfill.resume({ reason: "large orders are fine" });
      const ran = await runToEnd(rederive, backfill);
      expect(ran.state).toBe("verified");
      await backfill.promote({ reason: "seen the diff" });

      const planner = rederive.startPlanner();
      const trail = await eventually(
        () =>
          database.query<Entry>(
            `select c.seq::int, a.actor, a.act, a.dataset, a.reason, a.details
             from rederive.audit a left join rederive.audit_chain c on c.entry = a.id where a.backfill is not null order by a.id`,
          ),
        (entries) => entries.every(({ seq }) => seq !== null),
        { what: "the planner has chained every entry" },
      );
      await planner.stop();

      const byAct = (act: string) => trail.filter((entry) => entry.act === act);
      expect(byAct("backfill.plan")[0]).toMatchObject({
        actor: tester.name,
        reason: "test",
        details: {
          steps: [
            { dataset: "facts", action: "recompute", reason: expect.stringMatching(/./), ranges: 1 },
            { dataset: "revenue", action: "recompute", reason: expect.stringMatching(/./), ranges: 1 },
          ],
        },
      });
      expect(byAct("dataset.hold")[0]).toMatchObject({
        actor: "worker",
        dataset: "facts",
        reason: expect.stringContaining("amount"),
      });
      const overruled = byAct("backfill.resume").map(({ details }) => details["overruled"]);
      expect(overruled).toEqual([[expect.stringMatching(/^facts: .*amount/)]]);
      expect(byAct("backfill.promote")).toMatchObject([{ actor: tester.name, reason: "seen the diff" }]);
      expect(await rederive.fleet()).toMatchObject({ audit: { unchained: 0, oldestSeconds: 0 } });
      const [postgres] = await rederive.readiness();
      expect(postgres).toEqual({ part: "postgres", ok: true, audit: { unchained: 0, oldestSeconds: 0 } });
    }));
});
