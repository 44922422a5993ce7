import { and, eq, gte, inArray, sql } from "drizzle-orm";
import { bigint, boolean, date, integer, json, jsonb, numeric, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { derived, type MapTransform, source } from "../../src/catalog/dataset.ts";
import { daily } from "../../src/catalog/scheme.ts";
import { eventRows, events, totals, totalsByDay } from "./support.ts";

const common = {
  version: 1,
  key: [totals.day, totals.code],
  partitions: daily(totals.day),
  inputs: { events: eventRows },
};

const constant = { day: sql<string>`'2001-01-01'`, code: sql<string>`'a'`, cents: sql<number>`1` };

describe("select", () => {
  it("keeps the user's text alone, reads handles by name and names columns by position", () => {
    const { transform, faults } = derived(totals, {
      ...common,
      select: ({ db, events }) =>
        db
          .select({ cents: sql<number>`count(*)::int`, code: events.code, day: sql<string>`${events.at}::date` })
          .from(events)
          .where(and(eq(events.code, "it's $1"), gte(events.at, new Date("2001-01-01T00:00:00Z"))))
          .groupBy(events.code),
    });
    expect(faults).toEqual([]);
    expect(transform).toEqual({
      kind: "select",
      statement:
        `select count(*)::int, "code", "at"::date from "events" ` +
        `where ("events"."code" = 'it''s $1' and "events"."at" >= '2001-01-01T00:00:00.000Z') group by "events"."code"`,
      columns: ["cents", "code", "day"],
    });
  });

  it("takes raw SQL with handles in it", () => {
    const { transform } = derived(totals, {
      ...common,
      select: ({ events }) =>
        sql`select ${events.day}, ${events.code}, ${1} as cents from ${events} where code <> ${"x"}`,
    });
    expect(transform).toEqual({
      kind: "select",
      statement: `select "events"."day", "events"."code", 1 as cents from "events" where code <> 'x'`,
      columns: undefined,
    });
  });

  it("keeps a WITH of the user's own, joins and set operations", () => {
    const { transform, faults } = derived(totals, {
      ...common,
      inputs: { events: eventRows, other: source(events, { name: "other" }) },
      select: ({ db, events, other }) => {
        const recent = db.$with("recent").as(db.select({ code: events.code }).from(events));
        return db
          .with(recent)
          .select({ ...constant, code: recent.code })
          .from(recent)
          .innerJoin(other, eq(other.code, recent.code))
          .unionAll(db.select({ ...constant, code: events.code }).from(events));
      },
    });
    expect(faults).toEqual([]);
    expect(transform.statement).toBe(
      `(with "recent" as (select "code" from "events") select '2001-01-01', "recent"."code", 1 from "recent" ` +
        `inner join "other" on "other"."code" = "recent"."code") union all (select '2001-01-01', "code", 1 from "events")`,
    );
  });

  it("shows only the owned columns of a derived input", () => {
    derived(totals, {
      ...common,
      inputs: { totals: totalsByDay },
      select: ({ totals }) => {
        expect(Object.keys(totals._.selectedFields)).toEqual(["day", "code", "cents"]);
        return sql`select 1`;
      },
    });
  });

  it("refuses to define a handle a second time", () => {
    const { faults } = derived(totals, {
      ...common,
      select: ({ db, events }) =>
        db
          .with(events)
          .select({ ...constant, code: events.code })
          .from(events),
    });
    expect(faults).toEqual([
      "with(events) is not needed: the handle events is defined already; start with db.select(...)",
    ]);
  });

  it("tells missing and surplus columns where the compiler was not asked", () => {
    const options = (fields: object) => ({
      ...common,
      select: ({ db, events }: { db: { select(fields: object): { from(table: unknown): never } }; events: unknown }) =>
        db.select(fields).from(events),
    });
    const faultsOf = (fields: object) => derived(totals, options(fields) as never).faults;
    expect(faultsOf({ ...constant, cent: constant.cents })).toEqual([
      'select gives cent, which is no owned column (did you mean "cents"?)',
    ]);
    expect(faultsOf({ day: constant.day })).toEqual([
      "select does not give code, cents; every owned column needs an expression",
    ]);
    expect(faultsOf({ ...constant, note: constant.code })).toEqual([
      'select gives note, which is no owned column (did you mean "note"?)',
    ]);
    expect(derived(totals, { ...common, select: () => 7 } as never).faults).toEqual([
      "select returned number; return db.select({ … }).from(…) or sql`…`",
    ]);
    expect(derived(totals, { ...common } as never).faults).toEqual([
      "a transform is either `select`, or `read` together with `map`; give one of the two",
    ]);
  });
});

describe("literals", () => {
  const written = (value: unknown) =>
    derived(totals, { ...common, select: () => sql`${sql.param(value)}` }) as {
      transform: { statement: string };
      faults: readonly string[];
    };

  it.each<[unknown, string]>([
    [1, "1"],
    [-1.5, "(-1.5)"],
    [Number.POSITIVE_INFINITY, "'Infinity'::float8"],
    [-9007199254740993n, "(-9007199254740993)"],
    [true, "true"],
    [null, "null"],
    ["it's \\ $1", "'it''s \\ $1'"],
    [new Date("2001-01-31T05:00:00Z"), "'2001-01-31T05:00:00.000Z'::timestamptz"],
    [Buffer.from("hi"), "'\\x6869'::bytea"],
    [{ a: "it's" }, `'{"a":"it''s"}'`],
  ])("%#: is written as the same value", (value, text) => {
    expect(written(value).transform.statement).toBe(text);
  });

  it.each<[unknown, RegExp]>([
    [[1, 2], /holds an array/],
    [new Map(), /type Map/],
    [() => 1, /type function/],
    [new Date(Number.NaN), /an invalid Date/],
    ["a\0b", /null character/],
    [sql.placeholder("x"), /a placeholder, but a transform has no parameters/],
  ])("%#: is refused", (value, fault) => {
    expect(written(value).faults).toEqual([expect.stringMatching(fault)]);
  });

  it("writes values in the way of their column, and lists", () => {
    const { transform } = derived(totals, {
      ...common,
      select: ({ events }) => sql`${inArray(events.code, ["a", "b"])} ${eq(events.id, 3)} ${[1, 2]}`,
    });
    expect(transform.statement).toBe(`"events"."code" in ('a', 'b') "events"."id" = 3 (1, 2)`);
  });
});

describe("read and map", () => {
  const wide = pgTable("wide", {
    small: integer("small"),
    big: bigint("big", { mode: "bigint" }),
    exact: numeric("exact"),
    flag: boolean("flag"),
    at: timestamp("at", { withTimezone: true }),
    wall: timestamp("wall", { mode: "string" }),
    day: date("day"),
    doc: jsonb("doc"),
    plain: json("plain"),
    tags: text("tags").array(),
  });
  const inputs = { wide: source(wide) };
  const none = () => null;

  it("decodes what node-postgres would hand over, as drizzle does", () => {
    const { transform } = derived(totals, {
      ...common,
      partitions: { kind: "whole" },
      inputs,
      read: ({ db, wide }) => db.select().from(wide),
      map: none,
    });
    const { fields, map } = transform as MapTransform;
    expect(map).toBe(none);
    const given = {
      small: 1,
      big: "9007199254740993",
      exact: "1.10",
      flag: true,
      at: "2001-01-31 05:00:00+00",
      wall: "2001-01-31 05:00:00",
      day: "2001-01-31",
      doc: { a: 1 },
      plain: [1],
      tags: ["a"],
    };
    expect(fields.map(({ name, decode }) => [name, decode(given[name as keyof typeof given])])).toEqual([
      ["small", 1],
      ["big", 9007199254740993n],
      ["exact", "1.10"],
      ["flag", true],
      ["at", new Date("2001-01-31T05:00:00Z")],
      ["wall", "2001-01-31 05:00:00"],
      ["day", "2001-01-31"],
      ["doc", { a: 1 }],
      ["plain", [1]],
      ["tags", ["a"]],
    ]);
  });

  it("uses the decoder of mapWith, aliased or not, and leaves other expressions as they are", () => {
    const { transform } = derived(totals, {
      ...common,
      partitions: { kind: "whole" },
      inputs,
      read: ({ db, wide }) =>
        db
          .select({
            mapped: sql`${wide.exact}`.mapWith(Number),
            aliased: sql`${wide.at}`.mapWith(wide.at).as("aliased"),
            plain: sql<string>`now()`,
          })
          .from(wide),
      map: none,
    });
    const [mapped, aliased, plain] = (transform as MapTransform).fields;
    expect(mapped?.decode("1.10")).toBe(1.1);
    expect(aliased?.decode("2001-01-31 05:00:00+00")).toEqual(new Date("2001-01-31T05:00:00Z"));
    expect(plain?.decode("x")).toBe("x");
    expect(transform.statement).toBe(`select "exact", "at" as "aliased", now() from "wide"`);
  });

  it("refuses groups of columns and raw SQL", () => {
    const joined = derived(totals, {
      ...common,
      inputs: { events: eventRows, totals: totalsByDay },
      read: ({ db, events, totals }) => db.select().from(events).innerJoin(totals, eq(totals.code, events.code)),
      map: none,
    });
    expect(joined.faults).toEqual(["read gives a group of columns as events; name each column in db.select({ … })"]);
    const raw = derived(totals, { ...common, read: () => sql`select 1`, map: none });
    expect(raw.faults).toEqual(["read returned object; return db.select({ … }).from(…)"]);
  });
});
