/** A start beside a promotion: what is looked at is what stays. */
import { tester } from "rederive/testing";
import { expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { dayOf, original, withRewrites } from "./rewrites.ts";

it("waits for a promotion that holds its partitions, and is refused where that changed what is live", async () => {
  await withRewrites(async (stage) => {
    await stage.bootstrap();
    const acting = (await stage.open(original)).as(tester);
    const request = { datasets: ["cleaned"], partitions: [dayOf(3)], reason: "test" };
    const [promoted, starting] = [await acting.plan(request), await acting.plan(request)];
    await promoted.start();
    let started: Promise<unknown> | undefined;
    await stage.database.transaction(async (tx) => {
      // The end of a promotion, before its commit.
      await tx.query("update rederive.live set output_hash = '1' where dataset = 'cleaned'");
      await tx.query("update rederive.reservation set active = false where backfill = $1::text", [promoted.id]);
      started = starting.start().catch((error: unknown) => error);
      await eventually(
        () =>
          stage.database.query(
            "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
          ),
        (waiting) => waiting.length > 0,
        { what: "the start waits for the promotion", everyMs: 5 },
      );
    });
    expect(await started).toMatchObject({ code: "plan_stale", details: { backfill: starting.id } });
  });
});
