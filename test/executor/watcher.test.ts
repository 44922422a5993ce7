import { describe, expect, it } from "vitest";
import type { Term } from "../../src/executor/settle.ts";
import { Watcher, type WatchOptions } from "../../src/executor/watcher.ts";
import { withStage } from "../support/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { aPlanner } from "../support/planner.ts";

interface Looking {
  readonly dataset: string;
  readonly signal: AbortSignal;
  readonly end: (error?: Error) => void;
}

/** Looks that last until the test ends them. */
function slowLooks(due: readonly string[] = ["a", "b"]): { options: WatchOptions; begun: Looking[] } {
  const begun: Looking[] = [];
  const look: WatchOptions["look"] = (dataset, _term, signal) =>
    new Promise((resolve, reject) => {
      begun.push({ dataset, signal, end: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  return { options: { due: async () => due, look }, begun };
}

const term: Term = { name: "planner", holder: "one", term: "1" };
const until = (begun: readonly Looking[], count: number) =>
  eventually(
    () => begun.length,
    (length) => length === count,
    { what: `${count} looks have begun`, withinMs: 5_000 },
  );

describe("looks", () => {
  it("are made one after the other, and one that fails is told and does not stop the others", async () => {
    const { options, begun } = slowLooks();
    const told: string[] = [];
    const watcher = new Watcher(options, (message) => told.push(message));
    expect(await watcher.begin(term)).toBe(2);
    expect(await watcher.begin(term)).toBe(0);
    expect(begun.map(({ dataset }) => dataset)).toEqual(["a"]);
    begun[0]?.end(new Error("gone"));
    await until(begun, 2);
    expect(told).toEqual([expect.stringContaining("a look at the live data of a failed")]);
    begun[1]?.end();
    await watcher.stop();
    expect(await watcher.begin(term)).toBe(2);
    begun[2]?.end();
    await until(begun, 4);
    begun[3]?.end();
    await watcher.stop();
  });

  it("end with the lead: the one under way is told so, and no other begins", async () => {
    const { options, begun } = slowLooks();
    const watcher = new Watcher(options);
    await watcher.begin(term);
    const stopped = watcher.stop();
    expect(begun[0]?.signal.aborted).toBe(true);
    begun[0]?.end();
    await stopped;
    expect(begun).toHaveLength(1);
  });

  it("hold up no turn of the planner, and only the planner that leads makes them", () =>
    withStage("postgres", async (stage) => {
      const mine = slowLooks(["a"]);
      const others = slowLooks(["a"]);
      const leads = aPlanner(stage, { watch: mine.options, watchMs: 0 });
      const waits = aPlanner(stage, { watch: others.options, watchMs: 0 });
      for (let turn = 0; turn < 3; turn += 1) {
        expect(await leads.runOnce()).toMatchObject({ leads: true });
        expect(await waits.runOnce()).toMatchObject({ leads: false });
      }
      expect([mine.begun.length, others.begun.length]).toEqual([1, 0]);
      mine.begun[0]?.end();
      await leads.stop();
      expect(await waits.runOnce()).toMatchObject({ leads: true });
      expect(others.begun).toHaveLength(1);
      others.begun[0]?.end();
      await waits.stop();
    }));
});
