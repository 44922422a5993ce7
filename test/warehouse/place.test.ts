import { bigint, date, integer, numeric, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { daily, hash, hourly, list, monthly, type PartitionScheme, range, whole } from "../../src/catalog/scheme.ts";
import { placeOf } from "../../src/warehouse/place.ts";
import { predicateOf } from "../../src/warehouse/predicate.ts";
import { withSession } from "./support.ts";

const rows = pgTable("rows", {
  id: bigint("id", { mode: "number" }),
  instant: timestamp("instant", { withTimezone: true }),
  wall: timestamp("wall"),
  day: date("day"),
  amount: integer("amount"),
  exact: numeric("exact"),
  currency: text("currency"),
});

const zone = { timeZone: "Europe/Bratislava" };
const cases: readonly [title: string, scheme: PartitionScheme, around: number][] = [
  ["hours", hourly(rows.instant), 640_000],
  // The clock changes on 2026-03-29.
  ["days of a zone", daily(rows.instant, zone), 20_541],
  ["wall days", daily(rows.wall, zone), 20_541],
  ["months of dates", monthly(rows.day), 674],
  ["ranges of whole numbers", range(rows.amount, 7), -2],
  ["ranges of large numbers", range(rows.id, 1_000), 9_007_199_254],
  ["ranges of fractions", range(rows.exact, 1), -2],
  ["buckets", hash(rows.currency, 5), 0],
  ["listed values", list(rows.currency, ["EUR", "U'SD", "CZK"]), 0],
  ["all", whole(), 0],
];

/** Values on and around the bounds of these partitions, in the type of the partition column. */
const values = `
  select i as id, timestamptz '2026-03-28T20:00Z' + i * interval '17 minutes' as instant,
    timestamp '2026-03-27' + i * interval '1 hour' as wall, date '2026-01-25' + i as day, (i - 100)::int4 as amount,
    (i - 100) / 2.0 as exact, (array['EUR', 'U''SD', 'CZK'])[i % 3 + 1] as currency
  from generate_series(0, 200) i`;
const shifted = `
  select id * 20 + 9007199254000 as id, timestamptz '2043-01-04T16:00Z' + id * interval '1 minute' as instant, wall, day,
    amount, exact, currency from (${values}) v`;

describe("the partition of a value", () => {
  it.each(cases)("is the one whose condition it satisfies: %s", (title, scheme, around) =>
    withSession(async (session) => {
      const count = scheme.kind === "list" ? 3 : scheme.kind === "whole" ? 1 : 5;
      const partitions = Array.from({ length: count }, (_, index) => around + index);
      const wide = title === "hours" || title === "ranges of large numbers";
      const found = await session.query<{ place: number; expected: number }>(
        `select ${placeOf(scheme, partitions, (name) => `r."${name}"`)} as place, p.expected
         from (${wide ? shifted : values}) r cross join lateral (
           ${partitions
             .map(
               (place) => `select ${place}::float8 as expected where ${predicateOf(scheme, [[place, place + 1]], "r")}`,
             )
             .join(" union all ")}) p`,
      );
      expect(found.length).toBeGreaterThan(0);
      expect(found.filter(({ place, expected }) => Number(place) !== Number(expected))).toEqual([]);
      expect(new Set(found.map(({ expected }) => Number(expected))).size).toBeGreaterThan(count === 1 ? 0 : 1);
    }),
  );
});
