/** Estimates against populations of which everything is known. */
import { describe, expect, it } from "vitest";
import { estimate, type Looked, wholeRows } from "../../src/replay/estimate.ts";

/** Numbers that look like chance and are the same every time. */
function* chance(seed: number): Generator<number> {
  let state = seed;
  for (;;) {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    yield state / 2 ** 32;
  }
}

type Pair = { readonly weight: number; readonly value: number };

/** Two classes of sizes; what is found grows with the size, up and down by up to half. */
function populationOf(numbers: Generator<number>): Pair[][] {
  const next = () => numbers.next().value as number;
  return [100, 1_000].map((mean) =>
    Array.from({ length: 60 }, () => {
      const weight = Math.round(mean * (0.5 + next()));
      return { weight, value: Math.round(weight * 0.2 * (0.5 + next())) };
    }),
  );
}

function lookAt(population: readonly Pair[][], count: number, numbers: Generator<number>): Looked[] {
  return population.map((members) => {
    const shuffled = members.map((each) => [numbers.next().value as number, each] as const).sort((a, b) => a[0] - b[0]);
    return {
      count: members.length,
      weight: members.reduce((sum, { weight }) => sum + weight, 0),
      values: shuffled.slice(0, count).map(([, each]) => each),
    };
  });
}

const truthOf = (population: readonly Pair[][]) => population.flat().reduce((sum, { value }) => sum + value, 0);

describe("what is expected of all partitions", () => {
  it.each([2, 5, 20])("lies within the interval in about 19 of 20 samples of %i of each class", (count) => {
    const numbers = chance(count);
    let within = 0;
    const samples = 1_000;
    for (let sample = 0; sample < samples; sample += 1) {
      const population = populationOf(numbers);
      const truth = truthOf(population);
      const found = estimate(lookAt(population, count, numbers), { bounded: true });
      if (found !== undefined && found.low <= truth && truth <= found.high) within += 1;
    }
    expect(within / samples).toBeGreaterThan(0.92);
    expect(within / samples).toBeLessThan(0.995);
  });

  it("is known where all were looked at", () => {
    const population = populationOf(chance(1));
    const truth = truthOf(population);
    expect(estimate(lookAt(population, 60, chance(2)))).toEqual({ expected: truth, low: truth, high: truth });
  });

  it("may be more than nothing where nothing was found", () => {
    const values = Array.from({ length: 10 }, () => ({ weight: 100, value: 0 }));
    const found = estimate([{ count: 100, weight: 10_000, values }], { bounded: true });
    // Ten of a hundred miss every one of 25.9 in one of twenty cases.
    expect(found?.expected).toBe(0);
    expect(found?.high).toBeCloseTo(0.2589 * 9_000, 0);
  });

  it("is next to unknown after one partition, and never more rows than there are", () => {
    const one: Looked = { count: 10, weight: 1_000, values: [{ weight: 100, value: 30 }] };
    expect(estimate([one], { bounded: true })).toEqual({ expected: 300, low: 30, high: 930 });
    expect(estimate([one])?.high).toBeGreaterThan(3_000);
  });

  it("is unknown where none could be looked at", () => {
    expect(estimate([{ count: 10, weight: 1_000, values: [] }])).toBeUndefined();
  });

  it("takes a class of which nothing is known to be like the others", () => {
    const known: Looked = {
      count: 2,
      weight: 200,
      values: [
        { weight: 100, value: 10 },
        { weight: 100, value: 10 },
      ],
    };
    const found = estimate([known, { count: 2, weight: 600, values: [] }]);
    expect(found).toEqual({ expected: 80, low: 80, high: 80 });
  });

  it("is told in whole rows, the interval widened", () => {
    expect(wholeRows({ expected: 1.4, low: 0.6, high: 2.1 })).toEqual({ expected: 1, low: 0, high: 3 });
  });
});
