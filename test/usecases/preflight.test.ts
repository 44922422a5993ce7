/** What is looked at before a plan is approved, on good and on bad sources. */
import { sql } from "drizzle-orm";
import { assume, createRederive, daily, defineCatalog, derived, type Rederive, source } from "rederive";
import { runToEnd, tester, withTestDatabase } from "rederive/testing";
import { describe, expect, inject, it } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { SourceOptions } from "../../src/catalog/typing.ts";
import { explainPlan } from "../../src/planner/explain.ts";
import { planMarkdown } from "../../src/planner/markdown.ts";
import type { Preflight } from "../../src/report.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { briefly, tableSize } from "../../src/warehouse/source-facts.ts";
import { facts, orders, shop, withShop } from "./shop.ts";

/** The shop with a key for its orders. */
function keyed(options: Partial<SourceOptions<typeof orders>> = {}): Catalog {
  const orderSource = source(orders, { key: [orders.id], partitions: daily(orders.at), ...options });
  const factsOf = derived(facts, {
    version: 1,
    key: [facts.id],
    partitions: daily(facts.day),
    inputs: { orders: orderSource },
    select: ({ orders: o }) =>
      sql`select id, (at at time zone 'UTC')::date as day, currency, amount, amount > 14 as big from ${o}`,
  });
  return defineCatalog({ datasets: [orderSource, factsOf] });
}

const request = { datasets: ["facts"], reason: "test" };

async function found(rederive: Rederive, window?: { from: string; to: string }): Promise<Preflight> {
  const plan = await rederive.as(tester).preview({ ...request, ...(window && { window }) });
  return plan.forecast.preflight as Preflight;
}

/** Sixty days of twenty orders, changed by some statements, and what a plan of all of it finds. */
async function given(
  statements: readonly string[],
  work: (found: Preflight, database: Database) => void,
): Promise<void> {
  await withShop(async (stage) => {
    await stage.database.query("alter table orders drop constraint orders_pkey");
    for (const statement of statements) await stage.database.query(statement);
    work(await found(await stage.open(keyed())), stage.database);
  });
}

describe("a preflight of sources", () => {
  it("finds nothing in good ones, and says what it looked at", () =>
    given([], ({ findings, looked }) => {
      expect(findings).toEqual([]);
      expect(looked).toEqual([
        "the columns of 2 tables",
        "orders (60 partitions for gaps, 1,200 rows of 60 partitions counted, the keys of 1,200 rows)",
        expect.stringMatching(/^room on disk \(nobody knows how large facts will be, never computed so far; .*\)$/),
      ]);
    }));

  it("names partitions without rows between others", () =>
    given(
      [
        "delete from orders where at >= '2026-01-10Z' and at < '2026-01-12Z' or at >= '2026-02-03Z' and at < '2026-02-04Z'",
      ],
      ({ findings }) =>
        expect(findings).toEqual([
          {
            code: "missing_partitions",
            severity: "warn",
            dataset: "orders",
            what: "orders has no rows in 3 partitions between others that the plan reads",
            seen: "nothing in 2026-01-10 to 2026-01-11 (2), 2026-02-03",
            mitigation: expect.stringContaining("load them first"),
          },
        ]),
    ));

  it("takes days that are empty every week for usual", () =>
    given(["delete from orders where extract(dow from at at time zone 'UTC') = 0"], ({ findings }) =>
      expect(findings).toEqual([]),
    ));

  it("names partitions with unusually few rows, and columns with unusually many nulls", () =>
    given(
      [
        "delete from orders where at >= '2026-02-10Z' and at < '2026-02-11Z' and id % 2 = 0",
        "update orders set amount = null where at >= '2026-02-20Z' and at < '2026-02-21Z' and id % 4 = 0",
      ],
      ({ findings }) =>
        expect(findings).toMatchObject([
          {
            code: "unusual_rows",
            what: "orders has unusually many or few rows in 1 of 60 partitions that the plan reads",
            seen: "2026-02-10 has 10 where 20 is usual",
          },
          {
            code: "unusual_rows",
            column: "amount",
            what: "orders has unusually many or few nulls in amount in 1 of 60 partitions that the plan reads",
            seen: "2026-02-20 has 25.0 % where 0.0 % is usual",
          },
        ]),
    ));

  it("names rows that share the declared key, unless an index keeps it unique", async () => {
    await given(["insert into orders select * from orders where id in (7, 8, 1000)"], ({ findings }) =>
      expect(findings).toMatchObject([
        {
          code: "duplicate_keys",
          dataset: "orders",
          what: "orders has rows that share the key (id)",
          seen: "3 keys of 1,203 rows more than once",
          mitigation: expect.stringContaining('from "public"."orders" group by "id" having count(*) > 1; remove them'),
        },
      ]),
    );
    await given(["alter table orders add primary key (id)"], ({ looked }) =>
      expect(looked[1]).toContain("a key that an index keeps unique"),
    );
  });

  it("compares a window with what lies around it, and leaves out what has no index", () =>
    withShop(async (stage) => {
      await stage.database.query("delete from orders where at >= '2026-02-10Z' and at < '2026-02-13Z' and id % 2 = 0");
      const rederive = await stage.open(keyed());
      const window = { from: "2026-02-10", to: "2026-02-13" };
      expect((await found(rederive, window)).findings).toMatchObject([
        { what: "orders has unusually many or few rows in 3 of 3 partitions that the plan reads" },
      ]);
      await stage.database.query("drop index orders_at_idx");
      const without = await found(rederive, window);
      expect(without.findings).toEqual([]);
      expect(without.looked[1]).toBe("orders (no partitions, for want of an index, a key that an index keeps unique)");
    }));

  it("does not count what is too large, and gives up what takes too long", () =>
    withShop(async (stage) => {
      const { database } = stage;
      // As a table of a thousand million rows tells of itself.
      await database.query("update pg_class set reltuples = 1e9 where oid = 'orders'::regclass");
      expect((await found(await stage.open(keyed()))).looked[1]).toContain(
        "no rows, about 16,666,667 rows a partition being too many to count",
      );
      expect(await briefly(database, (tx) => tx.query("select pg_sleep(60)"))).toBeUndefined();
      await expect(briefly(database, (tx) => tx.query("select 1 / 0"))).rejects.toThrow(/division by zero/);
      expect(await tableSize(database, "orders")).toMatchObject({ rows: 1e9 });
      expect(await tableSize(database, "nowhere")).toEqual({ rows: null, bytes: 0 });
    }));
});

describe("a preflight", () => {
  it("is in the plan, its text, its Markdown, and asked again of a stored one", () =>
    withShop(async (stage) => {
      const catalog = shop();
      const rederive = await stage.bootstrap(catalog);
      await stage.database.query("delete from orders where at >= '2026-01-10Z' and at < '2026-01-11Z'");
      const backfill = await rederive.as(tester).plan(request);
      const text =
        "orders has no rows in 1 partition between others that the plan reads: nothing in 2026-01-10; load them first, " +
        "or go on if there is nothing to load: what is computed from them has no rows either [missing_partitions]";
      const lines = explainPlan(catalog, backfill.plan);
      expect(lines).toContain(`warn: ${text}`);
      expect(lines.at(-1)).toMatch(
        /^Preflight, 1 found; looked at the columns of 3 tables; orders \(.*\); room on disk/,
      );
      expect(planMarkdown(catalog, backfill.plan, null)).toContain(`**Preflight**\n\n- ${text}`);
      expect((await backfill.preflight()).findings).toHaveLength(1);
      await stage.database.query(
        "insert into orders select -i, '2026-01-10Z', 'EUR', 12 from generate_series(1, 20) i",
      );
      expect(await backfill.preflight()).toMatchObject({ backfill: backfill.id, stopped: false, findings: [] });
      const viewer = await rederive.as({ name: "vera", role: "viewer" }).backfill(backfill.id);
      await expect(viewer.preflight()).rejects.toThrow(/needs the role operator/);
    }));
});

describe("an assumption", () => {
  it("that is broken since the plan was made stops it", () =>
    withShop(async (stage) => {
      const catalog = keyed({
        assumptions: [assume("amounts are positive", "select id from orders where amount <= 0")],
      });
      const rederive = await stage.open(catalog);
      const backfill = await rederive.as(tester).plan(request);
      expect(await backfill.preflight()).toMatchObject({ stopped: false, findings: [] });
      await stage.database.query("update orders set amount = -1 where id in (5, 6)");
      expect(await backfill.preflight()).toMatchObject({
        stopped: true,
        findings: [
          {
            code: "assumption_broken",
            severity: "stop",
            dataset: "orders",
            what: 'orders assumes "amounts are positive"',
            seen: "2 rows of: select id from orders where amount <= 0",
          },
        ],
      });
    }));
});

describe("a deprecated column", () => {
  it("warns whose statement reads it, and is told again", () =>
    withShop(async (stage) => {
      const deprecatedColumns = [{ column: orders.amount, since: "2001-01-31", replacedBy: "cents" }];
      const rederive = await stage.open(keyed({ deprecatedColumns }));
      const backfill = await rederive.as(tester).plan(request);
      const warning = { code: "deprecated", dataset: "orders", reader: "facts", column: "amount" };
      expect(backfill.plan.forecast.preflight?.findings).toMatchObject([warning]);
      expect((await backfill.preflight()).findings).toMatchObject([warning]);
      const past = [{ column: orders.amount, since: "2001-01-31", removeAfter: "2001-07-31" }];
      const later = await stage.open(keyed({ deprecatedColumns: past }));
      expect((await found(later)).findings).toMatchObject([{ code: "past_removal", severity: "warn" }]);
    }));
});

describe("room on disk", () => {
  it("stops a plan that would take more than the configuration allows", () =>
    withTestDatabase(inject("databaseUrl"), async (databaseUrl) => {
      const database = openDatabase(databaseUrl, { max: 1 });
      await database.query(
        `create table public.facts (id int primary key, day date not null, currency text not null, amount numeric, big boolean)`,
      );
      await database.query(
        "create table public.orders (id int primary key, at timestamptz not null, currency text not null, amount numeric)",
      );
      await database.query(
        "insert into public.orders select i, timestamptz '2026-01-01Z' + i / 20 * interval '1 day', 'EUR', i from generate_series(0, 99) i",
      );
      await database.close();
      await using rederive = await createRederive({
        catalog: keyed(),
        databaseUrl,
        environment: "test",
        maxCandidateBytes: 5_000,
      });
      // Nobody knows how large it will be before it was computed once.
      const first = await rederive.as(tester).plan({ reason: "test" });
      expect((await runToEnd(rederive, first)).state).toBe("verified");
      await first.promote({ reason: "test" });
      await expect(rederive.as(tester).preview(request)).rejects.toThrow(
        /the candidates need more room than the configuration allows \(maxCandidateBytes: 5 kB\)/,
      );
      await expect(rederive.as(tester).preview({ ...request, partitions: ["2026-01-02"] })).resolves.toBeDefined();
    }));
});
