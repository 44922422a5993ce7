/**
 * From what was found in some partitions to what is to be expected of all. Pure.
 *
 * What is found is taken to grow with the size of a partition, and the interval is the one that holds in 19 of 20 samples
 * where the rest is like what was looked at. Where nothing at all was found, as much may
 * have been missed as such a sample misses in one of twenty cases.
 */
import type { Estimate } from "../report.ts";

/** Partitions of about the same size, of which some were looked at. */
export interface Looked {
  readonly count: number;
  /** Size of all of them. */
  readonly weight: number;
  readonly values: readonly { readonly weight: number; readonly value: number }[];
}

export interface EstimateOptions {
  /** A partition cannot give more than its size: rows that are there. Default false. */
  readonly bounded?: boolean;
}

/** Undefined where nothing was looked at. */
export function estimate(strata: readonly Looked[], options: EstimateOptions = {}): Estimate | undefined {
  const values = strata.flatMap((stratum) => stratum.values);
  if (values.length === 0) return undefined;
  // A class of which nothing is known is taken to be like the others.
  const classes = strata.every((stratum) => stratum.values.length > 0) ? strata : [together(strata)];
  const all = classes.map(classOf);
  const observed = sum(values.map(({ value }) => value));
  const unseen = sum(all.map((each) => each.unseen));
  if (all.every(({ unseenCount }) => unseenCount === 0)) return { expected: observed, low: observed, high: observed };
  if (observed === 0) return { expected: 0, low: 0, high: missed(values.length) * unseen };
  const { expected, deviation } = extrapolate(all);
  const most = options.bounded === true ? unseen : Number.POSITIVE_INFINITY;
  return {
    expected: observed + expected,
    low: observed + Math.max(0, expected - deviation),
    high: observed + Math.min(most, expected + deviation),
  };
}

/** Rows are whole: the interval is widened to the next ones. */
export function wholeRows({ expected, low, high }: Estimate): Estimate {
  return { expected: Math.round(expected), low: Math.floor(low), high: Math.ceil(high) };
}

/** The share of partitions of which none is in a sample of this size in one of twenty cases. */
function missed(looked: number): number {
  return 1 - 0.05 ** (1 / looked);
}

/**
 * What the unseen partitions of each class have for their size is taken to be the mean of those seen there. How far a
 * partition is off that, in proportion to its size, is taken to be alike in all classes: each alone has too few.
 */
function extrapolate(classes: readonly Class[]): { expected: number; deviation: number } {
  const expected = sum(classes.map(({ rate, unseen }) => rate * unseen));
  const freedom = sum(classes.map(({ rates }) => rates.length - 1));
  // One partition tells nothing about the others.
  if (freedom === 0) return { expected, deviation: expected * studentOf(1) };
  const spread = sum(classes.flatMap(({ rates, rate }) => rates.map((each) => (each - rate) ** 2))) / freedom;
  const variance = classes.map(({ rates, unseen, unseenCount }) => {
    const each = unseenCount === 0 ? 0 : unseen ** 2 / unseenCount;
    return spread * (each + unseen ** 2 / rates.length);
  });
  return { expected, deviation: studentOf(freedom) * Math.sqrt(sum(variance)) };
}

interface Class {
  /** Found for one of size, in each partition that was looked at, and their mean. */
  readonly rates: readonly number[];
  readonly rate: number;
  /** Size and number of the partitions that were not. */
  readonly unseen: number;
  readonly unseenCount: number;
}

function classOf({ count, weight, values }: Looked): Class {
  const rates = values.map((each) => each.value / each.weight);
  return {
    rates,
    rate: sum(rates) / rates.length,
    unseen: weight - sum(values.map((each) => each.weight)),
    unseenCount: count - values.length,
  };
}

function together(strata: readonly Looked[]): Looked {
  return {
    count: sum(strata.map(({ count }) => count)),
    weight: sum(strata.map(({ weight }) => weight)),
    values: strata.flatMap(({ values }) => values),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The 97.5 % quantile of Student's distribution; beyond the table 2.6 / freedom is right to a hundredth. */
const student = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

function studentOf(freedom: number): number {
  return student[freedom - 1] ?? 1.96 + 2.6 / freedom;
}
