import { sql } from "drizzle-orm";
import { bigint, date, integer, numeric, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { check } from "../../src/catalog/check.ts";
import { derived, source } from "../../src/catalog/dataset.ts";
import { parsePartition } from "../../src/catalog/label.ts";
import { daily, monthly } from "../../src/catalog/scheme.ts";
import { datasetProbes } from "../../src/validation/across.ts";
import { judgeDataset, judgeTask } from "../../src/validation/verdict.ts";
import type { Binding } from "../../src/warehouse/bind.ts";
import { bindInputs } from "../../src/warehouse/bind.ts";
import { candidateNames, createCandidate } from "../../src/warehouse/candidate.ts";
import { liveColumns, ownedOf } from "../../src/warehouse/columns.ts";
import { computeSelect } from "../../src/warehouse/compute.ts";
import { liveConstraints } from "../../src/warehouse/constraints.ts";
import type { Measured, TaskSpec } from "../../src/warehouse/measure.ts";
import type { Session } from "../../src/warehouse/session.ts";
import { aSpec, inTransaction, withSession } from "./support.ts";

const ordersTable = pgTable("orders", {
  id: bigint("id", { mode: "number" }).primaryKey(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
  currency: text("currency").notNull(),
  amountCents: bigint("amount_cents", { mode: "number" }).notNull(),
});

const revenueTable = pgTable("revenue", {
  id: bigint("id", { mode: "number" }).generatedAlwaysAsIdentity(),
  day: date("day").notNull(),
  currency: text("currency").notNull(),
  cents: bigint("cents", { mode: "number" }).notNull(),
  share: numeric("share", { precision: 6, scale: 3 }),
  note: text("note").default("new"),
});

const monthTable = pgTable("revenue_month", {
  month: date("month").notNull(),
  days: integer("days").notNull(),
  cents: bigint("cents", { mode: "number" }).notNull(),
});

const orders = source(ordersTable, { partitions: daily(ordersTable.createdAt) });

/** The definition, with the user's statement and checks as the test wants them. */
function revenueBy(statement: string, checks: Parameters<typeof derived>[1]["checks"] = []) {
  return derived(revenueTable, {
    version: 1,
    key: [revenueTable.day, revenueTable.currency],
    owned: [revenueTable.day, revenueTable.currency, revenueTable.cents, revenueTable.share],
    partitions: daily(revenueTable.day),
    inputs: { orders },
    select: () => sql.raw(statement),
    checks: checks ?? [],
  });
}

const honest = `select currency, sum(amount_cents)::bigint as cents, 1.5 as share, (created_at at time zone 'UTC')::date as day
                  from orders group by 1, 4 -- paid or not`;
const revenue = revenueBy(honest);

const byMonth = derived(monthTable, {
  version: 1,
  key: [monthTable.month],
  partitions: monthly(monthTable.month),
  inputs: { revenue },
  select: ({ db, revenue: input }) =>
    db
      .select({
        month: sql<string>`date_trunc('month', ${input.day})::date`.as("anything"),
        days: sql<number>`count(distinct ${input.day})`.as("days"),
        cents: sql<number>`sum(${input.cents})`.as("cents"),
      })
      .from(input)
      .groupBy(sql`1`),
});

const ordinal = parsePartition(revenue.partitions, "2001-01-02");

const createTables = `
  create table orders (id int8 primary key, created_at timestamptz not null, currency text not null, amount_cents int8 not null);
  create table shops (name text primary key);
  create table revenue (
    id int8 generated always as identity, day date not null, currency text not null references shops,
    cents int8 not null, share numeric(6,3), note text default 'new',
    primary key (day, currency), constraint positive check (cents > 0), constraint noted check (note <> '' or cents > 0));
  create unique index revenue_share on revenue (share) where currency = 'USD';
  create table revenue_month (month date primary key, days int not null, cents int8 not null);
  insert into shops values ('EUR'), ('USD');
  insert into orders select i, '2001-01-01T00:00:00Z'::timestamptz + i * interval '30 minutes', (array['EUR','USD'])[1 + i % 2], i + 1
    from generate_series(0, 143) as i`;

function reading(labels: readonly [string, string]): Binding[] {
  const [from, to] = labels.map((label) => parsePartition(orders.partitions, label)) as [number, number];
  const [input] = revenue.inputs;
  return [{ input: input as Binding["input"], recomputed: [], candidate: "", live: [[from, to]] }];
}

async function computeOne(session: Session, spec: TaskSpec): Promise<Measured> {
  const [measured] = await computeSelect(session, [spec]);
  return measured as Measured;
}

async function measuredFailures(session: Session, dataset: typeof revenue, backfill: string) {
  const bindings = reading(["2001-01-02", "2001-01-03"]);
  const spec = await aSpec(session, dataset, { ordinal, bindings, backfill });
  return inTransaction(session, async () => {
    const measured = await computeOne(session, spec);
    const verdict = await judgeTask(session, spec, measured);
    const left = await session.query<{ n: number }>(`select count(*)::int as n from ${spec.candidate}`);
    return {
      measured,
      verdict,
      left: left[0]?.n,
      counts: Object.fromEntries(measured.failures.map((f) => [f.probe.name, f.count])),
    };
  });
}

describe("computeSelect", () => {
  it("writes a partition, counts and hashes it, and gives the same hash when it replaces itself", async () => {
    await withSession(async (session) => {
      await session.query(createTables);
      const spec = await aSpec(session, revenue, { ordinal, bindings: reading(["2001-01-02", "2001-01-03"]) });
      const first = await inTransaction(session, () => computeOne(session, spec));
      expect(first).toMatchObject({ rowsWritten: 2, rowsRead: null, failures: [] });
      const again = await inTransaction(session, () => computeOne(session, { ...spec, replace: true }));
      expect(again).toEqual({ ...first, measuredAt: expect.any(String) });
      expect(
        await session.query(`select day::text, currency, cents::text, share::text from ${spec.candidate} order by 2`),
      ).toEqual([
        { day: "2001-01-02", currency: "EUR", cents: "1728", share: "1.500" },
        { day: "2001-01-02", currency: "USD", cents: "1752", share: "1.500" },
      ]);
    });
  });

  it("gives an empty partition the hash of nothing", async () => {
    await withSession(async (session) => {
      await session.query(createTables);
      const spec = await aSpec(session, revenue, { ordinal, bindings: [] });
      const measured = await inTransaction(session, () => computeOne(session, spec));
      expect(measured).toMatchObject({ rowsWritten: 0, outputHash: "0", failures: [] });
    });
  });

  it("reads recomputed partitions from the candidate and reused ones from the live table", async () => {
    await withSession(async (session) => {
      await session.query(createTables);
      await session.query(
        "insert into revenue (day, currency, cents) values ('2001-01-01', 'EUR', 1), ('2001-01-02', 'EUR', 10), ('2001-01-03', 'EUR', 100), ('2001-02-01', 'EUR', 1000)",
      );
      const upstream = await aSpec(session, revenue);
      await session.query(
        `insert into ${upstream.candidate} (day, currency, cents) values ('2001-01-02', 'EUR', 5), ('2001-01-03', 'EUR', 7)`,
      );
      const at = (label: string) => parsePartition(revenue.partitions, label);
      const binding: Binding = {
        input: byMonth.inputs[0] as Binding["input"],
        recomputed: [[at("2001-01-02"), at("2001-01-03")]],
        candidate: upstream.candidate,
        live: [
          [at("2001-01-01"), at("2001-01-02")],
          [at("2001-01-03"), at("2001-02-01")],
        ],
      };
      expect(bindInputs(byMonth, [binding])).not.toContain("note");
      const spec = await aSpec(session, byMonth, {
        ordinal: parsePartition(byMonth.partitions, "2001-01"),
        bindings: [binding],
      });
      await inTransaction(session, () => computeOne(session, spec));
      expect(await session.query(`select month::text, days, cents::text from ${spec.candidate}`)).toEqual([
        { month: "2001-01-01", days: 3, cents: "106" },
      ]);
    });
  });

  it("passes an error of the user's statement through as Postgres gave it", async () => {
    await withSession(async (session) => {
      await session.query(createTables);
      const broken = revenueBy(
        "select day, currency, 1/0 as cents, share from (select current_date as day, '' as currency, 1.0 as share) r",
      );
      const spec = await aSpec(session, broken, { ordinal });
      await expect(inTransaction(session, () => computeOne(session, spec))).rejects.toMatchObject({ code: "22012" });
      expect(await session.query("select 1 as one")).toEqual([{ one: 1 }]);
    });
  });
});

describe("probes", () => {
  it("find every planted fault and show the rows", async () => {
    await withSession(async (session) => {
      await session.query(createTables);
      const rows = (values: string) => revenueBy(`select * from (values ${values}) as v (day, currency, cents, share)`);
      const day = "'2001-01-02'::date";
      const outside = await measuredFailures(
        session,
        rows(`(${day}, 'EUR', 1, 1.0), ('2001-01-03', 'EUR', 2, 1.0)`),
        "bf_outside",
      );
      expect(outside.counts).toEqual({ row_outside_partition: 1 });
      expect(outside.verdict.outcomes[0]?.evidence.rows).toEqual([
        { day: "2001-01-03", currency: "EUR", cents: "2", share: "1.000" },
      ]);
      expect(outside.verdict.hold).toContain("row_outside_partition");
      expect(outside.left).toBe(1);

      const duplicate = await measuredFailures(
        session,
        rows(`(${day}, 'EUR', 1, 1.0), (${day}, 'EUR', 2, 1.0), (${day}, 'EUR', 3, 1.0)`),
        "bf_dup",
      );
      expect(duplicate.counts).toEqual({ key_unique: 2 });
      expect(duplicate.verdict.outcomes[0]?.evidence.rows).toEqual([
        { day: "2001-01-02", currency: "EUR", repeats: "3" },
      ]);

      const nulls = await measuredFailures(
        session,
        rows(`(${day}, null::text, 1, 1.0), (${day}, 'EUR', null, 1.0)`),
        "bf_null",
      );
      expect(nulls.counts).toEqual({ key_not_null: 1, "not_null(cents)": 1 });

      // The constraint `noted` mentions a column that the transform does not own, so it is left to promotion.
      const negative = await measuredFailures(session, rows(`(${day}, 'EUR', -1, 1.0)`), "bf_check");
      expect(negative.counts).toEqual({ "constraint(positive)": 1 });
    });
  });

  it("measure declared checks in the same pass, and warnings hold nothing", async () => {
    await withSession(async (session) => {
      await session.query(createTables);
      const t = revenueTable;
      const good = revenueBy(honest, [
        check.unique(t.currency),
        check.notNull(t.share),
        check.accepted(t.currency, ["EUR", "USD"]),
        check.range(t.share, { min: 0.5, max: "2" }),
        check.rowCount({ min: 2, max: 2 }),
        check.conserves(t.cents, { input: "orders", column: ordersTable.amountCents }),
        check.sql("even", "cents % 2 = 0"),
        check.query(
          "known",
          "select c.currency from candidate c where not exists (select from orders o where o.currency = c.currency)",
        ),
      ]);
      expect((await measuredFailures(session, good, "bf_good")).counts).toEqual({});
      const bad = revenueBy(honest, [
        check.accepted(t.currency, ["EUR"], { name: "euro" }),
        check.range(t.share, { max: 1 }),
        check.rowCount({ min: 3 }),
        check.conserves(t.share, { input: "orders", column: ordersTable.amountCents }),
        check.sql("small", "cents < 1740 -- or so"),
        check.warn(check.query("none", "select * from candidate -- all")),
      ]);
      const { counts, verdict } = await measuredFailures(session, bad, "bf_bad");
      expect(counts).toEqual({
        euro: 1,
        "range(share)": 2,
        rowCount: 1,
        "conserves(share, orders.amount_cents)": 1,
        small: 1,
        none: 2,
      });
      const evidence = Object.fromEntries(verdict.outcomes.map((outcome) => [outcome.name, outcome.evidence.rows]));
      expect(evidence["conserves(share, orders.amount_cents)"]).toEqual([{ output: "3.000", input: "3480" }]);
      expect(evidence["rowCount"]).toEqual([{ rows: "2" }]);
      expect(verdict.outcomes.at(-1)?.severity).toBe("warn");
      expect(verdict.hold).not.toContain("none");
      const warned = await measuredFailures(
        session,
        revenueBy(honest, [check.warn(check.rowCount({ max: 1 }))]),
        "bf_warn",
      );
      expect(warned.verdict.hold).toBeNull();
      expect(warned.verdict.outcomes).toHaveLength(1);
    });
  });

  it("look over the whole dataset for repeated values and dangling references", async () => {
    await withSession(async (session) => {
      await session.query(createTables);
      await session.query(
        "insert into revenue (day, currency, cents, share) values ('2001-01-01', 'USD', 1, 1.5), ('2001-01-02', 'USD', 1, 9)",
      );
      const dataset = revenueBy(honest, [check.warn(check.unique(revenueTable.cents))]);
      const spec = await aSpec(session, dataset);
      await session.query(
        `insert into ${spec.candidate} values ('2001-01-02', 'USD', 1, 1.5), ('2001-01-02', 'EUR', 2, 1.5), ('2001-01-02', 'GBP', 3, 9)`,
      );
      const part = { derived: dataset, candidate: spec.candidate, partitions: [[ordinal, ordinal + 1]] as const };
      const constraints = await liveConstraints(session, dataset);
      const verdict = await judgeDataset(session, dataset, datasetProbes(dataset, constraints, [part]));
      expect(verdict.outcomes.map(({ name, failures, evidence }) => [name, failures, evidence.rows])).toEqual([
        ["unique(revenue_share)", 1, [{ share: "1.500", repeats: "2" }]],
        ["foreign_key(revenue_currency_fkey)", 1, [{ currency: "GBP" }]],
        ["unique(cents)_in_dataset", 1, [{ cents: "1", repeats: "2" }]],
      ]);
      expect(verdict.hold).not.toContain("cents");
    });
  });
});

describe("foreign keys between recomputed datasets", () => {
  it("are checked against what the referenced dataset will be", async () => {
    const parentTable = pgTable("parent", { id: integer("id").notNull() });
    const childTable = pgTable("child", { id: integer("id").notNull(), parent: integer("parent") });
    const parent = derived(parentTable, {
      version: 1,
      key: [parentTable.id],
      inputs: { orders },
      select: () => sql`select 1 as id`,
    });
    const child = derived(childTable, {
      version: 1,
      key: [childTable.id],
      inputs: { orders },
      select: () => sql`select 1 as id, 1 as parent`,
    });
    await withSession(async (session) => {
      await session.query(
        "create table parent (id int primary key); create table child (id int primary key, parent int references parent)",
      );
      await session.query("insert into parent values (1), (2)");
      const [parentSpec, childSpec] = [await aSpec(session, parent), await aSpec(session, child)];
      await session.query(`insert into ${parentSpec.candidate} values (2), (3)`);
      await session.query(`insert into ${childSpec.candidate} values (1, 1), (2, 2), (3, 3), (4, null)`);
      const parts = [
        { derived: parent, candidate: parentSpec.candidate, partitions: [[0, 1]] as const },
        { derived: child, candidate: childSpec.candidate, partitions: [[0, 1]] as const },
      ];
      const verdict = await judgeDataset(
        session,
        child,
        datasetProbes(child, await liveConstraints(session, child), parts),
      );
      expect(verdict.outcomes.map(({ failures, evidence }) => [failures, evidence.rows])).toEqual([
        [1, [{ parent: "1" }]],
      ]);
    });
  });
});

describe("candidates", () => {
  it("take types and collations of the owned columns and nothing else", async () => {
    await withSession(async (session) => {
      await session.query(`create table revenue (id int8 generated always as identity, day date not null,
        currency varchar(3) collate "C" not null check (currency <> ''), cents int8 not null, share numeric(6,3) default 1, note text,
        primary key (day, currency))`);
      const columns = await liveColumns(session, revenue);
      expect(
        columns.map((column) => [column.name, column.type, column.notNull, column.hasDefault, column.identity]),
      ).toEqual([
        ["id", "bigint", true, false, true],
        ["day", "date", true, false, false],
        ["currency", "character varying(3)", true, false, false],
        ["cents", "bigint", true, false, false],
        ["share", "numeric(6,3)", false, true, false],
        ["note", "text", false, false, false],
      ]);
      const { candidate } = candidateNames("revenue", "bf_x");
      await createCandidate(session, revenue, ownedOf(revenue, columns), candidate);
      const made = await session.query(
        `select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required, atthasdef as preset,
                (select collname from pg_collation c where c.oid = attcollation) as collation
           from pg_attribute where attrelid = $1::text::regclass and attnum > 0 order by attnum`,
        [candidate],
      );
      expect(made).toEqual([
        { name: "day", type: "date", required: false, preset: false, collation: null },
        { name: "currency", type: "character varying(3)", required: false, preset: false, collation: "C" },
        { name: "cents", type: "bigint", required: false, preset: false, collation: null },
        { name: "share", type: "numeric(6,3)", required: false, preset: false, collation: null },
      ]);
      const indexes = await session.query<{ def: string }>(
        "select indexdef as def from pg_indexes where schemaname = 'rederive_candidate'",
      );
      expect(indexes.map(({ def }) => def.replace(/.*using /i, ""))).toEqual(["btree (day, currency)"]);
    });
  });

  it("have names that fit, quoted, and different for different datasets", () => {
    const long = "a_schema.a_rather_long_dataset_name_of_forty";
    const { candidate, restorePoint } = candidateNames(`${long}_and_some_more_letters`, "bf_7k3m9x2q4d");
    const name = candidate.slice('"rederive_candidate".'.length);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(65);
    expect(restorePoint).toContain(name);
    expect(candidateNames("sales.orders", "bf_1").candidate).toBe('"rederive_candidate"."sales_orders__bf_1"');
  });
});
