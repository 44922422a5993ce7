/** Which OpenLineage events are due, case by case. */
import { describe, expect, it } from "vitest";
import { dueEvents, mayBeDue, type RunStanding } from "../../src/lineage/runs.ts";

const minute = 60_000;

function standing(of: Partial<RunStanding>): RunStanding {
  return {
    ...{ backfill: "bf_1", dataset: "revenue", state: "running", total: 10, done: 3, unchanged: 0, failed: 0, rows: 7 },
    ...{ held: false, because: null, beganAt: 1_000, endedAt: 5_000, now: 10 * minute, run: undefined },
    ...of,
  };
}

const told = (of: Partial<RunStanding>) =>
  dueEvents(standing(of), minute).map(({ type, attempt, at }) => `${type} ${attempt} ${at}`);
const open = { attempt: 1, ended: null, toldAt: 10 * minute - 1 };
const failed = { attempt: 1, ended: "FAIL", toldAt: 0 };

const cases: readonly [name: string, of: Partial<RunStanding>, events: string[]][] = [
  ["nothing before its first task", { beganAt: null }, []],
  ["the beginning, when it was", {}, ["START 1 1000"]],
  ["nothing soon after", { run: open }, []],
  ["that it still runs", { run: { ...open, toldAt: 9 * minute } }, ["RUNNING 1 600000"]],
  ["nothing while it is paused", { run: { ...open, toldAt: 0 }, state: "paused" }, []],
  ["the end, when its last task ended", { run: open, state: "verified" }, ["COMPLETE 1 5000"]],
  ["both at once, of a run that nobody saw begin", { state: "promoted" }, ["START 1 1000", "COMPLETE 1 5000"]],
  [
    "an end that was found without computing",
    { beganAt: null, state: "verified", unchanged: 10 },
    ["START 1 600000", "COMPLETE 1 600000"],
  ],
  ["a failure of what is held", { run: open, state: "held", failed: 1 }, ["FAIL 1 600000"]],
  ["nothing of what is not to blame", { run: open, state: "held" }, []],
  ["the failure of the whole", { run: open, state: "held", dataset: "" }, ["FAIL 1 600000"]],
  ["nothing more of a failure", { run: failed, state: "held", failed: 1 }, []],
  ["a new run after a retry", { run: failed }, ["START 2 600000"]],
  ["a retry that is over already", { run: failed, state: "verified" }, ["START 2 600000", "COMPLETE 2 600000"]],
  ["a cancellation", { run: open, state: "cancelled" }, ["ABORT 1 600000"]],
  ["nothing after the end", { run: { ...open, ended: "COMPLETE" }, state: "promoted" }, []],
  ["nothing of what was cancelled before it began", { beganAt: null, state: "cancelled" }, []],
];

describe("OpenLineage is told", () => {
  for (const [name, of, events] of cases) it(name, () => expect(told(of)).toEqual(events));

  it("of nothing that was not worth a count", () => {
    const due = (of: Partial<RunStanding>) => {
      const at = standing(of);
      return mayBeDue(of.run, { ...at, began: at.beganAt !== null }, minute);
    };
    expect(cases.filter(([, of, events]) => events.length > 0 && !due(of))).toEqual([]);
    const uncounted = cases.filter(([, of]) => !due(of)).map(([name]) => name);
    expect(uncounted).toEqual([
      "nothing before its first task",
      "nothing soon after",
      "nothing while it is paused",
      "nothing more of a failure",
      "nothing after the end",
    ]);
  });
});
