import { bigint, date, integer, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { parsePartition } from "../../src/catalog/label.ts";
import {
  daily,
  hash,
  hourly,
  list,
  monthly,
  type PartitionScheme,
  range,
  weekly,
  whole,
  yearly,
} from "../../src/catalog/scheme.ts";
import { predicateOf } from "../../src/warehouse/predicate.ts";
import { withSession } from "./support.ts";

const rows = pgTable("rows", {
  id: bigint("id", { mode: "number" }),
  instant: timestamp("instant", { withTimezone: true }),
  wall: timestamp("wall"),
  day: date("day"),
  amount: integer("amount"),
  currency: text("currency"),
});

interface Case {
  readonly title: string;
  readonly scheme: PartitionScheme;
  readonly label: string;
  readonly inside: readonly string[];
  readonly outside: readonly (string | null)[];
}

const zone = { timeZone: "Europe/Bratislava" };
const cases: readonly Case[] = [
  {
    title: "an hour of instants",
    scheme: hourly(rows.instant),
    label: "2001-01-31T05Z",
    inside: ["2001-01-31T05:00:00Z", "2001-01-31T05:59:59.999999Z"],
    outside: ["2001-01-31T04:59:59.999999Z", "2001-01-31T06:00:00Z", null],
  },
  {
    title: "a day of instants in UTC",
    scheme: daily(rows.instant),
    label: "2001-01-31",
    inside: ["2001-01-31T00:00:00Z", "2001-01-31T23:59:59.999999Z"],
    outside: ["2001-01-30T23:59:59.999999Z", "2001-02-01T00:00:00Z"],
  },
  {
    title: "a day of 23 hours",
    scheme: daily(rows.instant, zone),
    label: "2026-03-29",
    inside: ["2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999999Z"],
    outside: ["2026-03-28T22:59:59.999999Z", "2026-03-29T22:00:00Z"],
  },
  {
    title: "a day of 25 hours",
    scheme: daily(rows.instant, zone),
    label: "2026-10-25",
    inside: ["2026-10-24T22:00:00Z", "2026-10-25T22:59:59.999999Z"],
    outside: ["2026-10-24T21:59:59.999999Z", "2026-10-25T23:00:00Z"],
  },
  {
    title: "a wall day, which has 24 hours on its clock",
    scheme: daily(rows.wall, zone),
    label: "2026-03-29",
    inside: ["2026-03-29T00:00:00", "2026-03-29T23:59:59.999999"],
    outside: ["2026-03-28T23:59:59.999999", "2026-03-30T00:00:00", null],
  },
  {
    title: "a week of dates",
    scheme: weekly(rows.day),
    label: "2001-W05",
    inside: ["2001-01-29", "2001-02-04"],
    outside: ["2001-01-28", "2001-02-05", "infinity", "-infinity"],
  },
  {
    title: "a month of instants across the change of clocks",
    scheme: monthly(rows.instant, zone),
    label: "2026-03",
    inside: ["2026-02-28T23:00:00Z", "2026-03-31T21:59:59.999999Z"],
    outside: ["2026-02-28T22:59:59.999999Z", "2026-03-31T22:00:00Z"],
  },
  {
    title: "a year of dates",
    scheme: yearly(rows.day),
    label: "2000",
    inside: ["2000-01-01", "2000-12-31"],
    outside: ["1999-12-31", "2001-01-01"],
  },
  {
    title: "a list value with a quote",
    scheme: list(rows.currency, ["EUR", "O'Neil"]),
    label: "O'Neil",
    inside: ["O'Neil"],
    outside: ["EUR", "USD", "", null],
  },
];

describe("predicateOf", () => {
  it("takes the rows of a partition and no others, to the microsecond", async () => {
    await withSession(async (session) => {
      await session.query(
        "create table rows (id int8, instant timestamptz, wall timestamp, day date, amount int, currency text)",
      );
      for (const { title, scheme, label, inside, outside } of cases) {
        const ordinal = parsePartition(scheme, label);
        const column = scheme.kind === "whole" ? "" : scheme.column.name;
        await session.query("truncate rows");
        await session.query(`insert into rows (${column}) select unnest($1::text[])::${typeOf(column)}`, [
          [...inside, ...outside],
        ]);
        const predicate = predicateOf(scheme, [[ordinal, ordinal + 1]]);
        const found = await session.query<{ n: number }>(`select count(*)::int as n from rows where ${predicate}`);
        const expected = await session.query<{ n: number }>(
          `select count(*)::int as n from rows where ${column} = any (array(select unnest($1::text[])::${typeOf(column)})) and ${predicate}`,
          [inside],
        );
        expect([title, found[0]?.n, expected[0]?.n]).toEqual([title, inside.length, inside.length]);
      }
    });
  });

  it("cuts every integer into exactly one range and one bucket", async () => {
    await withSession(async (session) => {
      await session.query(
        "create table rows as select i::int8 as id, i as amount from generate_series(-250, 250) as i",
      );
      const ranges = [-3, -2, -1, 0, 1, 2].map((ordinal) =>
        predicateOf(range(rows.amount, 100), [[ordinal, ordinal + 1]]),
      );
      const buckets = [0, 1, 2, 3].map((ordinal) => predicateOf(hash(rows.id, 4), [[ordinal, ordinal + 1]]));
      for (const parts of [ranges, buckets]) {
        const hits = parts.map((part) => `(${part})::int`).join(" + ");
        const wrong = await session.query(`select * from rows where ${hits} <> 1`);
        expect(wrong).toEqual([]);
      }
      const [negative] = await session.query<{ ids: string }>(
        `select string_agg(amount::text, ',' order by amount) as ids from rows where ${ranges[2]} and amount in (-101, -100, -1, 0)`,
      );
      expect(negative?.ids).toBe("-100,-1");
    });
  });

  it("keeps a bucket's members over versions of Postgres", async () => {
    await withSession(async (session) => {
      const [row] = await session.query<{ ids: number[] }>(
        `select array_agg(id::int order by id) as ids from (select i::int8 as id from generate_series(1, 20) i) r
          where ${predicateOf(hash(rows.id, 4), [[1, 2]])}`,
      );
      // md5("2"), for example, begins with c81e728d, and 0xc81e728d mod 4 is 1.
      expect(row?.ids).toEqual([2, 4, 8, 14, 19]);
    });
  });

  it("joins touching partitions into one comparison and serves an index", async () => {
    const scheme = daily(rows.instant);
    const first = parsePartition(scheme, "2001-01-01");
    expect(predicateOf(scheme, [[first, first + 3]], "r")).toBe(
      `(r."instant" >= '2001-01-01T00:00:00Z'::timestamptz and r."instant" < '2001-01-04T00:00:00Z'::timestamptz)`,
    );
    await withSession(async (session) => {
      await session.query(
        `create table rows as select g as instant from generate_series('2001-01-01Z'::timestamptz, '2003-01-01Z', '1 hour') g`,
      );
      await session.query("create index on rows (instant)");
      await session.query("analyze rows");
      const plan = await session.query(
        `explain (costs off) select * from rows where ${predicateOf(scheme, [[first, first + 3]])}`,
      );
      expect(JSON.stringify(plan)).toContain("Index Cond");
    });
  });

  it("takes everything for whole, nothing for no partitions", () => {
    expect(predicateOf(whole(), [[0, 1]])).toBe("true");
    expect(predicateOf(whole(), [])).toBe("false");
    expect(predicateOf(daily(rows.instant), [])).toBe("false");
  });
});

function typeOf(column: string): string {
  return { instant: "timestamptz", wall: "timestamp", day: "date", currency: "text" }[column] ?? "text";
}
