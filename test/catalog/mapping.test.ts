import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boundsOfRange, ordinalAt } from "../../src/catalog/bounds.ts";
import { labelOf, parsePartition } from "../../src/catalog/label.ts";
import {
  downstreamOf,
  homeOf,
  inferMapping,
  type MappedEdge,
  type Mapping,
  mappingFault,
  upstreamOf,
} from "../../src/catalog/mapping.ts";
import { contains, intersect, ordinalsOf, type Ranges, rangesOf, union } from "../../src/catalog/ranges.ts";
import {
  daily,
  fixedExtent,
  hash,
  hourly,
  list,
  monthly,
  type PartitionScheme,
  range,
  shapeOf,
  weekly,
  whole,
  yearly,
} from "../../src/catalog/scheme.ts";
import { events, totals, zones } from "./support.ts";

function inferred(consumer: PartitionScheme, input: PartitionScheme): MappedEdge {
  const mapping = inferMapping(consumer, input);
  if ("fault" in mapping) throw new Error(mapping.fault);
  return { consumer, input, mapping };
}

function withMapping(consumer: PartitionScheme, input: PartitionScheme, mapping: Mapping): MappedEdge {
  return { consumer, input, mapping };
}

const lookback = (partitions: number): Mapping => ({ kind: "lookback", partitions });

const lookahead = (partitions: number): Mapping => ({ kind: "lookahead", partitions });
const rolling = (before: number, after: number): Mapping => ({ kind: "rolling", before, after });

/** Every partition reads the two input partitions with its ordinal doubled. */
const doubled: Mapping = {
  kind: "custom",
  name: "doubled",
  upstream: (ordinal) => [[2 * ordinal, 2 * ordinal + 2]],
  downstream: (ordinal) => [[Math.floor(ordinal / 2), Math.floor(ordinal / 2) + 1]],
};

const inZones = zones.flatMap((timeZone) => [
  inferred(daily(events.at, { timeZone }), hourly(events.at)),
  inferred(daily(events.wall, { timeZone }), hourly(events.wall, { timeZone })),
  inferred(daily(events.day, { timeZone }), daily(events.at, { timeZone })),
  inferred(daily(events.at, { timeZone }), daily(events.at, { timeZone: "Europe/Bratislava" })),
  inferred(weekly(events.at, { timeZone }), daily(events.wall, { timeZone: "Pacific/Apia" })),
  inferred(monthly(events.at, { timeZone }), weekly(events.day, { timeZone })),
  inferred(hourly(events.wall, { timeZone }), hourly(events.at)),
  withMapping(daily(totals.day, { timeZone }), hourly(events.at), lookback(7)),
  withMapping(daily(totals.day, { timeZone }), hourly(events.at), lookahead(3)),
  withMapping(daily(totals.day, { timeZone }), hourly(events.at), rolling(30, 5)),
  withMapping(monthly(totals.day, { timeZone }), daily(events.at, { timeZone: "Pacific/Apia" }), rolling(0, 9)),
  withMapping(monthly(totals.day, { timeZone }), daily(events.at, { timeZone: "Pacific/Apia" }), lookback(2)),
]);

const edges: MappedEdge[] = [
  ...inZones,
  inferred(yearly(events.at), monthly(events.at)),
  inferred(yearly(events.at), weekly(events.at, { timeZone: "America/New_York" })),
  withMapping(daily(totals.day), daily(events.at), lookback(3)),
  inferred(range(events.id, 10), range(events.id, 10)),
  inferred(range(events.id, 100), range(events.id, 20)),
  withMapping(range(events.id, 100), range(events.id, 20), lookback(2)),
  withMapping(range(events.id, 100), range(events.id, 20), lookahead(2)),
  withMapping(range(events.id, 100), range(events.id, 20), rolling(3, 1)),
  inferred(hash(events.code, 8), hash(events.code, 8)),
  inferred(hash(events.code, 4), hash(events.code, 12)),
  inferred(list(events.code, ["a", "b", "c"]), list(events.code, ["a", "b", "c"])),
  inferred(whole(), daily(events.at)),
  inferred(whole(), hash(events.code, 8)),
  inferred(whole(), whole()),
  inferred(daily(events.at), whole()),
  withMapping(daily(events.at), hash(events.code, 4), { kind: "all" }),
  withMapping(whole(), daily(events.at), { kind: "all" }),
  withMapping(daily(events.at), daily(events.at), doubled),
];

const named = edges.map((edge) => {
  const name = `${JSON.stringify(shapeOf(edge.consumer))} from ${JSON.stringify(shapeOf(edge.input))}`;
  return [`${edge.mapping.kind}: ${name}`, edge] as const;
});

/** All partitions near a moment with clock changes and the day that Apia left out; all of them for fixed schemes. */
function extentOf(scheme: PartitionScheme, moment: string): Ranges {
  if (scheme.kind !== "time") return fixedExtent(scheme) ?? [[-30, 30]];
  const middle = ordinalAt(scheme, moment);
  const reach = { hour: 60, day: 40, week: 12, month: 6, year: 3 }[scheme.unit];
  return [[middle - reach, middle + reach]];
}

const moments = fc.constantFrom("2011-12-30", "2001-03-25", "2001-10-28", "2004-02-29", "1969-12-31");

/** A random set of partitions within an extent. */
function someOf(extent: Ranges): fc.Arbitrary<Ranges> {
  const [from, to] = extent[0] ?? [0, 1];
  const part = fc.tuple(fc.integer({ min: from, max: to - 1 }), fc.integer({ min: 1, max: 9 }));
  return fc
    .array(part, { maxLength: 4 })
    .map((parts) => intersect(rangesOf(parts.map(([start, length]) => [start, start + length] as const)), extent));
}

it("maps a range over the day that Apia left out as it maps its hours one by one", () => {
  const edge = inferred(hourly(events.wall, { timeZone: "Pacific/Apia" }), hourly(events.at));
  const consumers: Ranges = [[368127, 368136]];
  const inputs: Ranges = [[368052, 368172]];
  const up = union(...[...ordinalsOf(consumers)].map((hour) => upstreamOf(edge, [[hour, hour + 1]], inputs)));
  expect(upstreamOf(edge, consumers, inputs)).toEqual(up);
});

describe.each(named)("%s", (_, edge) => {
  it("agrees in both directions, partition by partition", () => {
    fc.assert(
      fc.property(moments, fc.infiniteStream(fc.nat()), (moment, numbers) => {
        const [consumers, inputs] = [extentOf(edge.consumer, moment), extentOf(edge.input, moment)];
        const pick = (extent: Ranges): number => {
          const all = [...ordinalsOf(extent)];
          return all[(numbers.next().value as number) % all.length] ?? 0;
        };
        const [consumer, input] = [pick(consumers), pick(inputs)];
        const up = upstreamOf(edge, [[consumer, consumer + 1]], inputs);
        const down = downstreamOf(edge, [[input, input + 1]], consumers);
        expect(contains(down, consumer)).toBe(contains(up, input));
      }),
      { numRuns: 60 },
    );
  });

  it("maps ranges as it maps their partitions one by one", () => {
    fc.assert(
      fc.property(
        moments.chain((moment) => {
          const [consumers, inputs] = [extentOf(edge.consumer, moment), extentOf(edge.input, moment)];
          return fc.tuple(fc.constant(consumers), fc.constant(inputs), someOf(consumers), someOf(inputs));
        }),
        ([consumers, inputs, someConsumers, someInputs]) => {
          const each = (ranges: Ranges) => [...ordinalsOf(ranges)].map((ordinal): Ranges => [[ordinal, ordinal + 1]]);
          const up = union(...each(someConsumers).map((one) => upstreamOf(edge, one, inputs)));
          const down = union(...each(someInputs).map((one) => downstreamOf(edge, one, consumers)));
          expect(upstreamOf(edge, someConsumers, inputs)).toEqual(up);
          expect(downstreamOf(edge, someInputs, consumers)).toEqual(down);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe("what is read", () => {
  const day = (scheme: PartitionScheme, label: string): Ranges => {
    const ordinal = parsePartition(scheme, label);
    return [[ordinal, ordinal + 1]];
  };
  const labels = (scheme: PartitionScheme, ranges: Ranges) => {
    const all = [...ordinalsOf(ranges)].map((ordinal) => labelOf(scheme, ordinal));
    return all.length < 3 ? all : [all.at(0), all.at(-1), all.length];
  };

  it.each<[PartitionScheme, PartitionScheme, string, unknown[]]>([
    [monthly(totals.day), daily(totals.day), "2004-02", ["2004-02-01", "2004-02-29", 29]],
    [
      daily(events.at, { timeZone: "Europe/Bratislava" }),
      hourly(events.at),
      "2001-03-25",
      ["2001-03-24T23Z", "2001-03-25T21Z", 23],
    ],
    [
      daily(events.at, { timeZone: "Europe/Bratislava" }),
      hourly(events.at),
      "2001-10-28",
      ["2001-10-27T22Z", "2001-10-28T22Z", 25],
    ],
    [
      daily(events.at, { timeZone: "Asia/Kolkata" }),
      hourly(events.at),
      "2001-01-02",
      ["2001-01-01T18Z", "2001-01-02T18Z", 25],
    ],
    [daily(events.at, { timeZone: "America/New_York" }), daily(events.at), "2001-01-02", ["2001-01-02", "2001-01-03"]],
    [weekly(totals.day), daily(totals.day), "2001-W05", ["2001-01-29", "2001-02-04", 7]],
    [monthly(totals.day), weekly(totals.day), "2001-02", ["2001-W05", "2001-W09", 5]],
  ])("%#: by overlap", (consumer, input, label, expected) => {
    const edge = inferred(consumer, input);
    expect(labels(input, upstreamOf(edge, day(consumer, label), []))).toEqual(expected);
  });

  it("looks back by the consumer's unit", () => {
    const edge = withMapping(daily(totals.day), daily(totals.day), lookback(7));
    expect(
      boundsOfRange(daily(totals.day), upstreamOf(edge, day(edge.consumer, "2001-01-31"), [])[0] ?? [0, 0]),
    ).toEqual({
      from: "2001-01-24",
      to: "2001-02-01",
    });
    const affected = downstreamOf(edge, day(edge.input, "2001-01-31"), [[0, 20_000]]);
    expect(labels(edge.consumer, affected)).toEqual(["2001-01-31", "2001-02-07", 8]);
    expect(labels(edge.consumer, homeOf(edge, day(edge.input, "2001-01-31")) ?? [])).toEqual(["2001-01-31"]);
  });

  it("looks ahead by the consumer's unit, and rolls by the input's", () => {
    const ahead = withMapping(monthly(totals.day), daily(totals.day), lookahead(1));
    expect(labels(ahead.input, upstreamOf(ahead, day(ahead.consumer, "2001-01"), []))).toEqual([
      "2001-01-01",
      "2001-02-28",
      59,
    ]);
    const week = withMapping(monthly(totals.day), daily(totals.day), rolling(7, 1));
    expect(labels(week.input, upstreamOf(week, day(week.consumer, "2001-02"), []))).toEqual([
      "2001-01-25",
      "2001-03-01",
      36,
    ]);
    const readers = (label: string) => downstreamOf(week, day(week.input, label), [[0, 1_000]]);
    expect(labels(week.consumer, readers("2001-01-24"))).toEqual(["2001-01"]);
    expect(labels(week.consumer, readers("2001-01-25"))).toEqual(["2001-01", "2001-02"]);
    expect(labels(week.consumer, readers("2001-02-01"))).toEqual(["2001-01", "2001-02"]);
  });

  it("refuses to ask a custom mapping about more partitions than any plan has", () => {
    const edge = withMapping(daily(events.at), daily(events.at), doubled);
    expect(() => upstreamOf(edge, [[0, 3_000_000]], [])).toThrow(/one by one/);
  });

  it("clips downstream to what the consumer has", () => {
    const edge = withMapping(daily(totals.day), daily(totals.day), lookback(7));
    expect(downstreamOf(edge, [[10, 11]], [[0, 12]])).toEqual([[10, 12]]);
  });

  it("tells where a partition belongs, or that the mapping does not say", () => {
    expect(homeOf(inferred(whole(), daily(events.at)), [[3, 9]])).toEqual([[0, 1]]);
    expect(homeOf(inferred(whole(), daily(events.at)), [])).toEqual([]);
    expect(homeOf(inferred(daily(events.at), whole()), [[0, 1]])).toBeUndefined();
    expect(homeOf(withMapping(daily(events.at), daily(events.at), doubled), [[4, 8]])).toEqual([[2, 4]]);
  });

  it("maps a hundred thousand days to years quickly", () => {
    const edge = inferred(yearly(events.at, { timeZone: "America/New_York" }), daily(events.at));
    const begin = performance.now();
    expect(downstreamOf(edge, [[-50_000, 50_000]], [[-1000, 1000]])[0]?.[0]).toBeLessThan(-100);
    expect(performance.now() - begin).toBeLessThan(2_000);
  });
});

describe("what cannot be mapped", () => {
  it.each<[PartitionScheme, PartitionScheme, RegExp]>([
    [
      daily(totals.day),
      monthly(totals.day),
      /^daily\(day, UTC\) cannot be mapped to monthly\(day, UTC\); cut the consumer at least as coarsely/,
    ],
    [range(events.id, 10), range(events.id, 100), /make the width 10 a multiple of 100/],
    [range(events.id, 150), range(events.id, 100), /make the width 150 a multiple of 100/],
    [hash(events.code, 8), hash(events.code, 4), /make 4 a multiple of 8 buckets/],
    [list(events.code, ["a"]), list(events.code, ["b"]), /the same values in the same order/],
    [
      daily(events.at),
      hash(events.code, 4),
      /cut both the same way, wrap the input in all\(...\) to read all of it, or .* custom/,
    ],
  ])("%#: names both schemes and the way out", (consumer, input, fault) => {
    expect(inferMapping(consumer, input)).toEqual({ fault: expect.stringMatching(fault) });
  });

  it.each<[MappedEdge, RegExp]>([
    [withMapping(daily(events.at), daily(events.at), lookback(0)), /lookback over 0 partitions/],
    [withMapping(hash(events.code, 4), hash(events.code, 4), lookback(1)), /has no order to look along/],
    [withMapping(daily(events.at), monthly(events.at), lookback(1)), /cannot be mapped/],
    [withMapping(daily(events.at), daily(events.at), lookahead(1.5)), /lookahead over 1.5 partitions/],
    [withMapping(daily(events.at), daily(events.at), rolling(0, 0)), /rolling over 0 partitions before and 0 after/],
    [withMapping(daily(events.at), hash(events.code, 4), rolling(1, 0)), /rolling .* has no order/],
    [withMapping(daily(events.at), daily(events.at), { ...doubled, name: "" }), /custom needs a name/],
  ])("%#: also when it was written out", (edge, fault) => {
    expect(mappingFault(edge)).toMatch(fault);
  });
});
