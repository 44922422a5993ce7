/** A deadline from the request to the people who follow the run. */
import { tester } from "rederive/testing";
import { expect, it } from "vitest";
import type { RunEvent } from "../../src/report.ts";
import { shop, withShop } from "./shop.ts";

it("a deadline that is missed is told once while the run is followed, and stays in its status", async () => {
  await withShop(async (stage) => {
    const rederive = await stage.open(shop());
    const backfill = await rederive.as(tester).plan({ deadline: "2026-01-01T06:00+01:00", reason: "late" });
    const deadline = { at: "2026-01-01T05:00:00.000Z", verdict: "missed" };
    expect(backfill.plan.forecast.deadline).toEqual(deadline);
    expect((await backfill.start()).deadline).toEqual(deadline);
    const planner = rederive.startPlanner();
    const worker = await rederive.startWorker({ concurrency: 2 });
    const events: RunEvent[] = [];
    const status = await backfill.finished({ onProgress: (event) => events.push(event) });
    await worker.stop();
    await planner.stop();
    expect(status.state).toBe("verified");
    expect(status.deadline).toMatchObject({ ...deadline, late: { seenAt: expect.any(String) } });
    expect(events.filter(({ event }) => event === "late")).toEqual([
      {
        event: "late",
        backfill: backfill.id,
        deadline: deadline.at,
        expected: status.deadline?.late?.expected,
        message: expect.stringContaining(`the deadline ${deadline.at} has passed`),
      },
    ]);
  });
}, 120_000);
