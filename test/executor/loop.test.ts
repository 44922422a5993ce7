import { describe, expect, it } from "vitest";
import { Loop } from "../../src/executor/loop.ts";
import { eventually } from "../support/eventually.ts";

describe("Loop", () => {
  it("turns, wakes, survives a failing turn, and stops more than once", async () => {
    let turns = 0;
    const errors: string[] = [];
    const loop = new Loop({
      name: "test",
      turn: async () => {
        turns += 1;
        if (turns === 2) throw new Error("broken");
        return turns;
      },
      busy: () => false,
      idleMs: 60_000,
      onError: (message) => errors.push(message),
    });
    const untilTurn = (count: number) =>
      eventually(
        () => turns,
        (seen) => seen === count,
        { what: `turn ${count}` },
      );
    loop.start();
    loop.start();
    await untilTurn(1);
    loop.wake();
    await untilTurn(2);
    loop.wake();
    await untilTurn(3);
    expect(errors).toEqual(["a turn of test failed"]);
    await Promise.all([loop.stop(), loop.stop()]);
    await loop.stop();
    expect(turns).toBe(3);
  });

  it("never lets turns overlap", async () => {
    let inside = 0;
    let most = 0;
    const loop = new Loop({
      name: "test",
      turn: async () => {
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
      },
      busy: () => true,
      activeMs: 0,
    });
    loop.start();
    await Promise.all(Array.from({ length: 20 }, () => loop.runOnce()));
    await loop.stop();
    expect(most).toBe(1);
  });
});
