/** Whether a run meets its deadline, from what is settled so far. */
import { describe, expect, it } from "vitest";
import type { Forecast } from "../../src/plan.ts";
import { latenessOf, latenessText, type Pace } from "../../src/planner/pace.ts";

const noon = Date.parse("2001-01-01T12:00:00Z");
const minutes = (count: number) => noon + count * 60_000;
const unknown: Forecast = { tasks: 100, prunable: 0, adopted: 0, datasets: [], warnings: [] };

/** Begun at noon; ten minutes later. */
function aPace(pace: Partial<Pace>): Pace {
  const datasets = [{ dataset: "facts", settled: 50, open: 50 }];
  return { since: noon, now: minutes(10), deadline: minutes(60), forecast: unknown, datasets, ...pace };
}

const at = (count: number) => new Date(minutes(count)).toISOString();

describe("latenessOf", () => {
  it.each<[string, Partial<Pace>, string | null | undefined]>([
    ["in time", { deadline: minutes(20) }, undefined],
    ["too slow by a second", { deadline: minutes(20) - 1_000 }, at(20)],
    ["passed", { deadline: minutes(9) }, at(20)],
    [
      "passed, and nothing is known",
      { deadline: minutes(9), datasets: [{ dataset: "facts", settled: 0, open: 1 }] },
      null,
    ],
    [
      "too little done to tell",
      { deadline: minutes(20), datasets: [{ dataset: "facts", settled: 1, open: 99 }] },
      undefined,
    ],
    ["enough tasks done to tell", { datasets: [{ dataset: "facts", settled: 50, open: 9_950 }] }, at(10 + 1_990)],
    [
      "at its end, however late",
      { deadline: minutes(9), datasets: [{ dataset: "facts", settled: 5, open: 0 }] },
      undefined,
    ],
  ])("%s", (_name, pace, expected) => {
    const late = latenessOf(aPace(pace));
    expect(late?.expected).toBe(expected);
    if (late !== undefined) expect(late.seenAt).toBe(at(10));
  });

  it("weighs tasks by what the plan expected of them", () => {
    const datasets = [
      { dataset: "small", settled: 90, open: 0 },
      { dataset: "large", settled: 0, open: 10 },
    ];
    const forecast = (seconds: readonly [number, number]): Forecast => ({
      ...unknown,
      datasets: [
        { dataset: "small", tasks: 90, seconds: seconds[0] },
        { dataset: "large", tasks: 10, seconds: seconds[1] },
      ],
    });
    expect(latenessOf(aPace({ datasets }))).toBeUndefined();
    // 900 s of work took ten minutes, so 9,000 s take a hundred.
    expect(latenessOf(aPace({ datasets, forecast: forecast([900, 9_000]) }))?.expected).toBe(at(110));
    expect(latenessOf(aPace({ datasets, forecast: forecast([900, 100]) }))).toBeUndefined();
  });

  it("believes the plan at its best before there is a pace", () => {
    const pace = (low: number) =>
      aPace({
        datasets: [{ dataset: "facts", settled: 1, open: 99 }],
        forecast: { ...unknown, seconds: low, interval: { low, high: low * 3 } },
      });
    expect(latenessOf(pace(2_000))).toBeUndefined();
    expect(latenessOf(pace(100 * 60))?.expected).toBe(at(10 + 99));
  });
});

describe("latenessText", () => {
  it.each([
    [{ seenAt: at(10), expected: at(90) }, /will be missed by 30 min; at the pace so far it ends at 2001-01-01T13:30/],
    [{ seenAt: at(70), expected: at(90) }, /the deadline 2001-01-01T13:00:00.000Z has passed/],
  ])("%o", (late, text) => {
    expect(latenessText(at(60), late)).toMatch(text);
  });
});
