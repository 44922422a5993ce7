/** An attempt that another one has replaced, and whose backend nobody could end, changes nothing: the epoch alone decides. */
import { describe, expect, it } from "vitest";
import type { TaskPoint } from "../../src/executor/work.ts";
import { backfill, firstDay, withFixture } from "./fixture.ts";

const points: readonly TaskPoint[] = ["claimed", "computed", "beforeFinish"];

describe("the fence", () => {
  it.each(points)("keeps out an attempt that was replaced at the point %s", async (point) => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      let replaced = false;
      const outcome = await fixture.run(ref, {
        at: async (now) => {
          if (now !== point || replaced) return;
          replaced = true;
          // The same state, the same plan, another epoch: all that a second claim would change.
          await fixture.database.query(
            "update rederive.task set epoch = epoch + 1, worker = 'worker-b' where id = $1::int8",
            [ref.task],
          );
        },
      });
      expect(outcome).toMatchObject({ kind: "later" });
      expect(await fixture.state(ref)).toMatchObject({
        state: "running",
        epoch: 2,
        attempts: 0,
        losses: 0,
        error: null,
      });
      const traces = await fixture.row(
        `select (select count(*) from rederive.stamp)::int4 as stamps,
           (select count(*) from rederive.edge where done)::int4 as edges,
           (select count(*) from "rederive_candidate"."daily_sales__${backfill}")::int4 as rows`,
      );
      expect(traces).toEqual({ stamps: 0, edges: 0, rows: 0 });
    });
  });

  it("lets the attempt that replaced it commit once, whichever of the two ends first", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      let second: Awaited<ReturnType<typeof fixture.run>> | undefined;
      const first = await fixture.run(ref, {
        worker: "worker-a",
        at: async (point) => {
          if (point !== "computed" || second !== undefined) return;
          // As after a loss that left the backend alive: nobody is named any more, so the next claim takes it.
          await fixture.database.query(
            "update rederive.task set state = 'ready', worker = null, backend_pid = null where id = $1::int8",
            [ref.task],
          );
          second = await fixture.run(ref, { worker: "worker-b" });
        },
      });
      expect(second).toMatchObject({ kind: "done" });
      expect(first.kind).not.toBe("done");
      expect(await fixture.state(ref)).toMatchObject({ state: "done", epoch: 2 });
      const traces = await fixture.row(
        `select (select count(*) from rederive.stamp where epoch = 2)::int4 as stamps,
           (select count(*) from "rederive_candidate"."daily_sales__${backfill}")::int4 as rows`,
      );
      expect(traces).toEqual({ stamps: 1, rows: 1 });
    });
  });
});
