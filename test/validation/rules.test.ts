/** Each check and rule on rows that keep it and on rows that break it: how many fail, and which are shown. */
import { sql } from "drizzle-orm";
import { date, doublePrecision, integer, numeric, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Check, check } from "../../src/catalog/check.ts";
import { minorUnits } from "../../src/catalog/currency.ts";
import { type Derived, derived, source } from "../../src/catalog/dataset.ts";
import { rule } from "../../src/catalog/rule.ts";
import { whole } from "../../src/catalog/scheme.ts";
import { datasetProbes } from "../../src/validation/across.ts";
import { judgeDataset, judgeTask, type Outcome } from "../../src/validation/verdict.ts";
import { liveConstraints } from "../../src/warehouse/constraints.ts";
import { openSession, type Session } from "../../src/warehouse/session.ts";
import { measureCandidate } from "../../src/warehouse/stream.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { aSpec } from "../warehouse/support.ts";

const given = pgTable("given", {
  id: integer("id"),
  code: text("code"),
  shop: integer("shop"),
  amount: numeric("amount"),
  at: timestamp("at", { withTimezone: true }),
  kind: text("kind"),
});
const known = pgTable("known", { id: integer("id"), shop: integer("shop"), raw: text("raw"), clean: text("clean") });
const rows = pgTable("rows", {
  id: integer("id").notNull(),
  shop: integer("shop"),
  code: text("code"),
  amount: numeric("amount"),
  cents: integer("cents"),
  share: doublePrecision("share"),
  miles: doublePrecision("miles"),
  day: date("day"),
  at: timestamp("at", { withTimezone: true }),
  wall: timestamp("wall"),
  kind: text("kind"),
  clean: text("clean"),
});

const tables = `
  create table given (id int, code text, shop int, amount numeric, at timestamptz, kind text);
  create table known (id int, shop int, raw text, clean text);
  create table rows (id int not null, shop int, code text, amount numeric, cents int, share float8, miles float8, day date,
    at timestamptz, wall timestamp, kind text, clean text)`;

const inputs = { given: source(given, { partitions: whole() }) };

function rowsWith(rule: Check): Derived {
  return derived(rows, {
    version: 1,
    key: [rows.id],
    inputs,
    select: () => sql`select * from given`,
    checks: [rule],
  }) as unknown as Derived;
}

interface Case {
  readonly name: string;
  readonly check: Check;
  /** `table (columns) query` of what is inserted before both. */
  readonly before?: readonly string[];
  /** Columns of the dataset's rows, and the rows as a query. */
  readonly columns: string;
  readonly good: string;
  readonly bad: string;
  readonly failures: number;
  /** Parts of rows that are shown. */
  readonly shown: readonly Readonly<Record<string, unknown>>[];
}

const zone = "Europe/Bratislava";

/** A row an hour, from one instant to before another. */
const hourly = (from: string, to: string) =>
  `select extract(epoch from at)::int, at, 'a' from generate_series(timestamptz '${from}', timestamptz '${to}' - interval '1 hour', interval '1 hour') at`;

const mapping = { raw: "clean", tea: "tea" };

const cases: readonly Case[] = [
  {
    name: "currency: codes, and decimals in major units",
    check: rule.currency(rows.code, { amounts: [rows.amount, rows.share] }),
    columns: "id, code, amount, share",
    good: `values (1, 'EUR', 1.25, 0.1), (2, 'JPY', 100.00, null), (3, 'KWD', 1.125, 2), (4, 'CLF', 1.0001, null),
      (5, 'XAU', 0.123456789, 1), (6, null, null, null)`,
    bad: `values (1, 'EUR', 1.255, null), (2, 'JPY', 100.5, null), (3, 'KWD', 1.1255, null), (4, 'eur', 1, null),
      (5, 'XXX', 1, null), (6, null, 1, null), (7, 'EUR', 'NaN', null), (8, 'EUR', 1, 'Infinity'), (9, 'DEM', 1, 1),
      (10, 'EUR', 1.10, 0.1)`,
    failures: 9,
    shown: [{ id: "1" }, { id: "9", code: "DEM" }],
  },
  {
    name: "currency: minor units, and a withdrawn code",
    check: rule.currency(rows.code, { amounts: rows.amount, unit: "minor", also: { DEM: 2 } }),
    columns: "id, code, amount",
    good: "values (1, 'EUR', 125), (2, 'DEM', 100)",
    bad: "values (1, 'EUR', 1.25), (2, 'HRK', 1)",
    failures: 2,
    shown: [{ id: "1" }, { id: "2" }],
  },
  {
    name: "currency: whole numbers, which cannot have decimals",
    check: rule.currency(rows.code, { amounts: rows.cents }),
    columns: "id, code, cents",
    good: "values (1, 'JPY', 125)",
    bad: "values (1, null::text, 125)",
    failures: 1,
    shown: [{ id: "1" }],
  },
  {
    name: "unmixed: currency by currency",
    check: rule.unmixed(rows.amount, { code: rows.code, input: "given", column: given.amount, inputCode: given.code }),
    before: ["given (code, amount) values ('EUR', 1), ('EUR', 2), ('USD', 5), (null, 7)"],
    columns: "id, code, amount",
    good: "values (1, 'EUR', 3), (2, 'USD', 5.00), (3, null, 7)",
    bad: "values (1, 'EUR', 8), (3, null, 7)",
    failures: 2,
    shown: [
      { currency: "EUR", output: "8", input: "3" },
      { currency: "USD", output: null, input: "5" },
    ],
  },
  {
    name: "unmixed: a tolerance for floating-point sums",
    check: rule.unmixed(rows.share, {
      code: rows.code,
      input: "given",
      column: given.amount,
      inputCode: given.code,
      tolerance: 0.01,
    }),
    before: ["given (code, amount) values ('EUR', 0.3)"],
    columns: "id, code, share",
    good: "values (1, 'EUR', 0.1::float8 + 0.2::float8)",
    bad: "values (1, 'EUR', 'NaN'::float8)",
    failures: 1,
    shown: [{ currency: "EUR", output: "NaN" }],
  },
  {
    name: "timeZone: instants",
    check: rule.timeZone(rows.day, { instant: rows.at, timeZone: zone }),
    columns: "id, day, at",
    good: "values (1, date '2026-07-02', timestamptz '2026-07-01T22:00Z'), (2, '2026-01-01', '2025-12-31T23:00Z'), (3, null, '2026-01-01')",
    bad: "values (1, date '2026-07-01', timestamptz '2026-07-01T22:00Z'), (2, '2026-01-01', '2026-01-01T22:59Z')",
    failures: 1,
    shown: [{ id: "1" }],
  },
  {
    name: "timeZone: instants without a zone are those of UTC",
    check: rule.timeZone(rows.day, { instant: rows.wall, timeZone: zone }),
    columns: "id, day, wall",
    good: "values (1, date '2026-07-02', timestamp '2026-07-01 22:00')",
    bad: "values (1, date '2026-07-01', timestamp '2026-07-01 22:00')",
    failures: 1,
    shown: [{ id: "1" }],
  },
  {
    name: "completeDays: 23 hours in spring",
    check: rule.completeDays(rows.at, { timeZone: zone }),
    columns: "id, at, kind",
    good: hourly("2026-03-27T23:00Z", "2026-03-30T22:00Z"),
    bad: hourly("2026-03-27T23:00Z", "2026-03-29T21:00Z"),
    failures: 1,
    shown: [{ day: "2026-03-29", expected_hours: "23", hours: "22" }],
  },
  {
    name: "completeDays: 25 hours in autumn, for each sensor",
    check: rule.completeDays(rows.at, { timeZone: zone, by: rows.kind }),
    columns: "id, at, kind",
    good: hourly("2026-10-24T22:00Z", "2026-10-25T23:00Z"),
    bad: `${hourly("2026-10-24T22:00Z", "2026-10-25T23:00Z")}
      union all select 1, timestamptz '2026-10-24T22:00Z' + n * interval '1 hour', 'b' from generate_series(0, 23) n`,
    failures: 1,
    shown: [{ kind: "b", day: "2026-10-25", expected_hours: "25", hours: "24" }],
  },
  {
    name: "completeDays: a day without any row between two others",
    check: rule.completeDays(rows.at, { timeZone: "UTC" }),
    columns: "id, at, kind",
    good: hourly("2026-01-01T00:00Z", "2026-01-03T00:00Z"),
    bad: `${hourly("2026-01-01T00:00Z", "2026-01-02T00:00Z")} union all ${hourly("2026-01-03T00:00Z", "2026-01-04T00:00Z")}`,
    failures: 1,
    shown: [{ day: "2026-01-02", expected_hours: "24", hours: "0" }],
  },
  {
    name: "completeDays: a zone whose clock goes by half an hour",
    check: rule.completeDays(rows.at, { timeZone: "Australia/Lord_Howe" }),
    columns: "id, at, kind",
    good: hourly("2026-06-30T13:30Z", "2026-07-01T13:30Z"),
    bad: hourly("2026-06-30T14:30Z", "2026-07-01T13:30Z"),
    failures: 1,
    shown: [{ hours: "23" }],
  },
  {
    name: "category: row by row, with a mapping written down",
    check: rule.category(rows.clean, { from: rows.kind, input: "given", column: given.kind, mapping }),
    before: ["given (kind) values ('raw'), ('tea'), (null)"],
    columns: "id, kind, clean",
    good: "values (1, 'raw', 'clean'), (2, 'tea', 'tea'), (3, null, 'anything')",
    bad: "values (1, 'raw', 'tea'), (2, 'raw', 'tea'), (3, 'tea', null)",
    failures: 2,
    shown: [
      { problem: "mapped wrongly", category: "raw", given: "tea", expected: "clean", rows: "2" },
      { problem: "mapped wrongly", category: "tea", given: null, expected: "tea", rows: "1" },
    ],
  },
  {
    name: "category: only what something is mapped to",
    check: rule.category(rows.clean, { mapping: { from: known.raw, to: known.clean } }),
    before: ["known (raw, clean) values ('a', 'x'), ('b', 'y')"],
    columns: "id, clean",
    good: "values (1, 'x'), (2, 'y'), (3, null)",
    bad: "values (1, 'x'), (2, 'z'), (3, 'z')",
    failures: 1,
    shown: [{ problem: "not in the mapping", given: "z", rows: "2" }],
  },
  {
    name: "unit: latitudes are finite",
    check: rule.unit(rows.share, "latitude"),
    columns: "id, share",
    good: "values (1, 90), (2, -90), (3, null)",
    bad: "values (1, 91), (2, 'NaN'::float8), (3, 0)",
    failures: 2,
    shown: [{ id: "1" }, { id: "2" }],
  },
  {
    name: "unit: quantities have no upper bound, and infinity is none",
    check: rule.unit(rows.amount, "quantity"),
    columns: "id, amount",
    good: "values (1, 1e30), (2, 0)",
    bad: "values (1, -0.1), (2, 'Infinity'), (3, 'NaN')",
    failures: 3,
    shown: [{ id: "1" }, { id: "2" }, { id: "3" }],
  },
  {
    name: "unit: counts are whole, within narrower bounds",
    check: rule.unit(rows.amount, "count", { max: 100 }),
    columns: "id, amount",
    good: "values (1, 3), (2, 100.0)",
    bad: "values (1, 3.5), (2, 101)",
    failures: 2,
    shown: [{ id: "1" }, { id: "2" }],
  },
  {
    name: "conversion: with an offset",
    check: rule.conversion(rows.share, { of: rows.miles, factor: 1.8, offset: 32, tolerance: 0.01 }),
    columns: "id, share, miles",
    good: "values (1, 212, 100), (2, 32.001, 0), (3, null, 5), (4, 5, null)",
    bad: "values (1, 212, 100), (2, 100, 100), (3, 'NaN'::float8, 1)",
    failures: 2,
    shown: [{ id: "2" }, { id: "3" }],
  },
  {
    name: "foreignKey: in a table, of two columns",
    check: check.foreignKey([rows.id, rows.shop], { references: [known.id, known.shop] }),
    before: ["known (id, shop) values (1, 1), (2, 1)"],
    columns: "id, shop",
    good: "values (1, 1), (2, 1), (3, null)",
    bad: "values (1, 1), (1, 2), (2, 2)",
    failures: 2,
    shown: [{ id: "1", shop: "2" }],
  },
  {
    name: "foreignKey: in an input",
    check: check.foreignKey(rows.shop, { references: given.shop, input: "given" }),
    before: ["given (shop) values (1), (null)"],
    columns: "id, shop",
    good: "values (1, 1), (2, null)",
    bad: "values (1, 1), (2, 9)",
    failures: 1,
    shown: [{ id: "2", shop: "9" }],
  },
  {
    name: "cardinality: one to one",
    check: check.cardinality(rows.id, { is: "oneToOne", input: "given", references: given.id }),
    before: ["given (id) values (1), (2), (null)"],
    columns: "id",
    good: "values (1), (2)",
    bad: "values (1), (1), (3)",
    failures: 3,
    shown: [
      { id: "1", rows: "2", input_rows: "1" },
      { id: "2", rows: "0", input_rows: "1" },
      { id: "3", rows: "1", input_rows: "0" },
    ],
  },
  {
    name: "cardinality: one to many, of rows that a filter lets through",
    check: check.cardinality(rows.shop, {
      is: "oneToMany",
      input: "given",
      references: given.shop,
      where: sql`${rows.id} < 100`,
      inputWhere: sql`${given.kind} = 'open'`,
    }),
    before: ["given (shop, kind) values (1, 'open'), (2, 'open'), (3, 'closed')"],
    columns: "id, shop",
    good: "values (1, 1), (2, 1), (3, 2), (200, 77)",
    bad: "values (1, 1), (2, 1), (3, 3)",
    failures: 2,
    shown: [
      { shop: "2", rows: "0" },
      { shop: "3", input_rows: "0" },
    ],
  },
  {
    name: "cardinality: many to one",
    check: check.cardinality(rows.shop, { is: "manyToOne", input: "given", references: given.shop }),
    before: ["given (shop) values (1), (1), (2)"],
    columns: "id, shop",
    good: "values (1, 1), (2, 2)",
    bad: "values (1, 1), (2, 2), (3, 2)",
    failures: 1,
    shown: [{ shop: "2", rows: "2" }],
  },
  {
    name: "monotonic: increasing within a group, with equal places in the order",
    check: check.monotonic(rows.cents, { by: rows.day, within: rows.kind }),
    columns: "id, kind, day, cents",
    good: `values (1, 'a', date '2026-01-01', 5), (2, 'a', '2026-01-02', 5), (3, 'b', '2026-01-02', 1), (4, 'a', '2026-01-02', 7),
      (5, 'a', '2026-01-03', null), (6, 'a', '2026-01-04', 7)`,
    bad: "values (1, 'a', date '2026-01-01', 5), (2, 'a', '2026-01-02', 4), (3, 'b', '2026-01-02', 1)",
    failures: 1,
    shown: [{ kind: "a", day: "2026-01-02", cents: "4", previous_cents: "5" }],
  },
  {
    name: "monotonic: strictly decreasing",
    check: check.monotonic(rows.cents, { by: rows.id, direction: "decreasing", strict: true }),
    columns: "id, cents",
    good: "values (1, 9), (2, 8)",
    bad: "values (1, 9), (2, 9), (3, 10)",
    failures: 2,
    shown: [{ id: "2" }, { id: "3" }],
  },
  {
    name: "freshness: behind an input",
    check: check.freshness(rows.day, { maxAge: "1 day", input: "given", column: given.at }),
    before: ["given (at) values (timestamptz '2026-01-03T00:00Z')"],
    columns: "id, day",
    good: "values (1, date '2026-01-02')",
    bad: "values (1, date '2026-01-01')",
    failures: 1,
    shown: [{ newest: "2026-01-01T00:00:00+00:00" }],
  },
  {
    name: "freshness: nothing at all, where the input has something",
    check: check.freshness(rows.at, { maxAge: "1 day", input: "given", column: given.at }),
    before: ["given (at) values (timestamptz '2026-01-03T00:00Z')"],
    columns: "id, at",
    good: "values (1, timestamptz '2026-01-03T00:00Z')",
    bad: "values (1, null::timestamptz)",
    failures: 1,
    shown: [{ newest: null }],
  },
  {
    name: "conserves: a sum of some rows",
    check: check.conserves(rows.amount, {
      input: "given",
      column: given.amount,
      where: sql`${rows.kind} = 'paid'`,
      inputWhere: sql`${given.kind} = 'paid'`,
    }),
    before: ["given (kind, amount) values ('paid', 3), ('free', 99)"],
    columns: "id, kind, amount",
    good: "values (1, 'paid', 1), (2, 'paid', 2), (3, 'free', 1)",
    bad: "values (1, 'paid', 1), (2, 'free', 2)",
    failures: 1,
    shown: [{ output: "1", input: "3" }],
  },
  {
    name: "conservesCount: a number of rows, within a tolerance",
    check: check.conservesCount({ input: "given", inputWhere: sql`${given.kind} is not null`, tolerance: 1 }),
    before: ["given (kind) values ('a'), ('b'), (null)"],
    columns: "id",
    good: "values (1), (2), (3)",
    bad: "values (1), (2), (3), (4)",
    failures: 1,
    shown: [{ output: "4", input: "2" }],
  },
  {
    name: "query: rows that it returns",
    check: check.query(
      "all given",
      "select g.id from given g where not exists (select from candidate c where c.id = g.id)",
    ),
    before: ["given (id) values (1), (2)"],
    columns: "id",
    good: "values (1), (2)",
    bad: "values (1)",
    failures: 1,
    shown: [{ id: "2" }],
  },
];

describe("checks and rules", () => {
  let session: Session;
  let drop: () => Promise<void>;
  beforeAll(async () => {
    const database = await createTestDatabase();
    drop = database.drop;
    session = await openSession(database.url, { applicationName: "rules" });
    await session.query(tables);
  });
  afterAll(async () => {
    await session?.end();
    await drop?.();
  });

  it.each(cases)("$name", async ({ check: asked, before = [], columns, good, bad, failures, shown }) => {
    expect(await outcomeOf(session, asked, before, `(${columns}) ${good}`)).toBeUndefined();
    const found = await outcomeOf(session, asked, before, `(${columns}) ${bad}`);
    expect(found?.failures).toBe(failures);
    for (const part of shown) expect(found?.evidence.rows).toContainEqual(expect.objectContaining(part));
  });

  it("unmixed: what is summed up without a currency has one, group by group", async () => {
    const asked = rule.unmixed(rows.amount, {
      input: "given",
      column: given.amount,
      inputCode: given.code,
      by: given.shop,
      inputWhere: sql`${given.amount} > 0`,
    });
    const clean = "given (shop, code, amount) values (1, 'EUR', 1), (1, 'EUR', 2), (2, 'USD', 5), (1, 'USD', -1)";
    expect(await outcomeOf(session, asked, [clean], "(id) values (1)")).toBeUndefined();
    const mixed = "given (shop, code, amount) values (2, 'CHF', 9)";
    const found = await outcomeOf(session, asked, [clean, mixed], "(id) values (1)");
    expect(found?.evidence.rows.map(({ shop, code, amount }) => [shop, code, amount]).sort()).toEqual([
      ["2", "CHF", "9"],
      ["2", "USD", "5"],
    ]);
  });

  it("freshness: behind the clock, over the whole dataset", async () => {
    const newest = async (age: string) => {
      const dataset = rowsWith(check.freshness(rows.at, { maxAge: "2 days" }));
      await session.query("begin");
      try {
        await session.query(
          `insert into rows (id, at) select n, now() - interval '${age}' - n * interval '1 day' from generate_series(0, 3) n`,
        );
        const live = { derived: dataset, candidate: "public.rows", partitions: [], everything: true };
        const probes = datasetProbes(dataset, await liveConstraints(session, dataset), [live]);
        return (await judgeDataset(session, dataset, probes)).outcomes.map(({ name, failures }) => [name, failures]);
      } finally {
        await session.query("rollback");
      }
    };
    expect(await newest("47 hours")).toEqual([]);
    expect(await newest("49 hours")).toEqual([["freshness(at)", 1]]);
  });

  it("know the minor units of ISO 4217", () => {
    const digits = (code: string) => minorUnits[code];
    expect(["EUR", "JPY", "BHD", "CLF", "XAU", "XXX", "DEM"].map(digits)).toEqual([
      2,
      0,
      3,
      4,
      null,
      undefined,
      undefined,
    ]);
    expect(Object.keys(minorUnits).every((code) => /^[A-Z]{3}$/.test(code))).toBe(true);
    // What Node's own tables call a currency today is one here, save what was withdrawn.
    const elsewhere = Intl.supportedValuesOf("currency").filter((code) => !(code in minorUnits));
    expect(["ANG", "CUC", "HRK", "SLL", "ZWL"]).toEqual(expect.arrayContaining(elsewhere));
  });
});

/** What the check says of these rows, in a transaction that leaves nothing behind. */
async function outcomeOf(
  session: Session,
  asked: Check,
  before: readonly string[],
  candidate: string,
): Promise<Outcome | undefined> {
  await session.query("begin isolation level repeatable read");
  try {
    for (const insert of before) await session.query(`insert into ${insert}`);
    const dataset = rowsWith(asked);
    const bindings = dataset.inputs.map((input) => ({ input, recomputed: [], candidate: "", live: [[0, 1]] as const }));
    const spec = await aSpec(session, dataset, { bindings });
    await session.query(`insert into ${spec.candidate} ${candidate}`);
    const { outcomes } = await judgeTask(session, spec, await measureCandidate(session, spec, null));
    return outcomes.find(({ name }) => name === asked.name);
  } finally {
    await session.query("rollback");
  }
}
