/** Scheduled looks at live data, with planners as they run and rows that others wrote. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { check, type Rederive } from "rederive";
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Term } from "../../src/executor/settle.ts";
import type { LiveValidation } from "../../src/report.ts";
import { takeLead } from "../../src/store/leaders.ts";
import type { Database } from "../../src/tx.ts";
import type { Context } from "../../src/usecases/context.ts";
import { look } from "../../src/usecases/watch.ts";
import { eventually } from "../support/eventually.ts";
import { facts, revenue, type Stage, shop, withShop } from "./shop.ts";

const loader = fileURLToPath(import.meta.resolve("tsx"));
const slowPlanner = fileURLToPath(new URL("./slow-planner.ts", import.meta.url));
const schedule = { dataset: "revenue", everyMs: 1_000 };
const rules = { checks: [check.range(revenue.amount, { max: 1_000 })], validate: { every: "1s" } };
const bad = "update revenue set amount = 5000 where day = '2026-01-07' and currency = 'EUR'";

function found(rederive: Rederive): Promise<LiveValidation | undefined> {
  return rederive
    .as(tester)
    .validation()
    .then(([first]) => first);
}

/** Waits for a look that has ended and satisfies the condition. */
function untilFound(rederive: Rederive, what: string, holds: (look: LiveValidation) => boolean) {
  return eventually(
    () => found(rederive),
    (last) => last !== undefined && last.finishedAt !== null && holds(last),
    { what },
  );
}

/** What `look` needs, with every statement that it sends. */
function spied(stage: Stage, rederive: Rederive): { context: Context; statements: string[] } {
  const statements: string[] = [];
  const noting = <Queries extends Pick<Database, "query">>(tx: Queries): Queries["query"] =>
    ((text: string, params: unknown[]) => {
      statements.push(text);
      return tx.query(text, params as never);
    }) as Queries["query"];
  const { database } = stage;
  const spy: Database = {
    ...database,
    query: noting(database),
    transaction: (work, options) => database.transaction((tx) => work({ query: noting(tx) }), options),
  };
  const { settings, catalog } = rederive;
  const context = { settings, catalog, database: spy, lock: undefined, actor: tester, wake: () => {} };
  return { context: context as unknown as Context, statements };
}

async function aTerm(stage: Stage, holder = "one"): Promise<Term> {
  const leadership = { name: "planner", holder };
  const term = await takeLead(stage.database, { ...leadership, leaseMs: 60_000 });
  return { ...leadership, term: term as string };
}

/** As if the schedule's time had passed. */
const letPass = (stage: Stage) =>
  stage.database.query("update rederive.watch set started_at = started_at - interval '1 hour'");

const reads = (statements: readonly string[]) => statements.filter((text) => text.includes('from "public"."revenue"'));

const signal = new AbortController().signal;

describe("a schedule", () => {
  it("finds a bad row that somebody wrote, says so, and finds that it is gone", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ revenue: rules }));
      expect(await found(rederive)).toMatchObject({ dataset: "revenue", every: "1s", startedAt: null, failing: null });
      // Two planners: one leads, the other waits.
      rederive.startPlanner();
      rederive.startPlanner();
      await untilFound(
        rederive,
        "a look at what was promoted",
        ({ failing, checked }) => failing === 0 && checked === 60,
      );
      await stage.database.query(bad);
      const wrong = await untilFound(rederive, "a look that finds the bad row", ({ failing }) => failing === 1);
      expect(wrong?.failures).toMatchObject([
        {
          ...{ dataset: "revenue", partition: "2026-01-07", name: "range(amount)", severity: "error", failures: 1 },
          evidence: { rows: [{ day: "2026-01-07", currency: "EUR", amount: "5000" }] },
        },
      ]);
      // The backfill whose content it was says so too, and nothing of it is held.
      const [backfill] = await rederive.as(tester).backfills();
      expect(backfill).toMatchObject({ state: "promoted", failedChecks: [{ name: "range(amount)", failures: 1 }] });
      const sample = await rederive.fleet();
      expect(sample.failing).toEqual({ revenue: 1 });
      await stage.database.query("update revenue set amount = 100 where amount = 5000");
      await untilFound(rederive, "a look that finds it mended", ({ failing }) => failing === 0);
      const audit = await stage.database.query(
        "select details from rederive.audit where act = 'dataset.validate' order by id",
      );
      expect(audit).toMatchObject([{ details: { failing: 1 } }, { details: { failing: 0 } }]);
    }));

  it("goes on while backfills run, and under another planner when one is gone", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ revenue: rules }));
      const other = await stage.open(shop({ revenue: rules }));
      const first = rederive.startPlanner();
      await untilFound(rederive, "a first look", () => true);
      other.startPlanner();
      await first.stop();
      await stage.database.query(bad);
      const backfill = await rederive.as(tester).plan({ datasets: ["facts"], reason: "again" });
      await backfill.start();
      await untilFound(other, "a look of the other planner", ({ failing }) => failing === 1);
      expect((await backfill.status()).state).toBe("running");
    }));

  it("goes on after a planner was killed in the middle of a look", { timeout: 120_000 }, () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ revenue: rules }));
      const planner = spawn(process.execPath, ["--import", loader, slowPlanner], {
        env: { PATH: process.env["PATH"], NODE_ENV: "test", DATABASE_URL: stage.url },
        stdio: "ignore",
      });
      try {
        await eventually(
          () => stage.database.query("select from pg_stat_activity where wait_event = 'PgSleep'"),
          (asleep) => asleep.length > 0,
          { what: "the planner is in the middle of a look" },
        );
      } finally {
        planner.kill("SIGKILL");
      }
      expect(await found(rederive)).toMatchObject({ startedAt: expect.any(String), finishedAt: null });
      await stage.database.query(bad);
      rederive.startPlanner();
      await untilFound(
        rederive,
        "a look of the next leader",
        ({ failing, checked }) => failing === 1 && checked === 60,
      );
    }),
  );

  it("tells why a look could not be made", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ revenue: rules }));
      await stage.database.query("alter table revenue drop column orders");
      rederive.startPlanner();
      const last = await untilFound(rederive, "a look that fails", ({ error }) => error !== null);
      expect(last).toMatchObject({ failing: null, error: expect.stringContaining("has no column orders") });
    }));
});

describe("a look", () => {
  it("reads nothing where nobody has written, and all of it once somebody has", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ revenue: rules }));
      const term = await aTerm(stage);
      const { context, statements } = spied(stage, rederive);
      await look(context, schedule, { term, signal });
      expect(reads(statements).length).toBeGreaterThanOrEqual(60);
      // The promotion's own writes may be counted a moment late.
      await eventually(
        async () => {
          await letPass(stage);
          statements.length = 0;
          await look(context, schedule, { term, signal });
          return reads(statements).length;
        },
        (count) => count === 0,
        { what: "a look that reads nothing" },
      );
      expect(await found(rederive)).toMatchObject({ checked: 0, failing: 0 });
      // Not due: nothing but the question.
      statements.length = 0;
      await look(context, schedule, { term, signal });
      expect(statements).toHaveLength(2);
      await stage.database.query(bad);
      await eventually(
        async () => {
          await letPass(stage);
          await look(context, schedule, { term, signal });
          return found(rederive);
        },
        (last) => last?.failing === 1,
        { what: "a look that reads what was written" },
      );
      // Nothing new: what is known still stands.
      await letPass(stage);
      await look(context, schedule, { term, signal });
      expect(await found(rederive)).toMatchObject({ failing: 1, failures: [{ name: "range(amount)" }] });
    }));

  it("looks again where the rules are others, and asks the clock's rules each time", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ facts: { validate: { every: "1s" } } }));
      const term = await aTerm(stage);
      const of = { dataset: "facts", everyMs: 1_000 };
      await look(spied(stage, rederive).context, of, { term, signal });
      const fresh = check.freshness(facts.day, { maxAge: "1 day", name: "fresh" });
      const strict = await stage.open(shop({ facts: { checks: [fresh], validate: { every: "1s" } } }));
      for (const checked of [60, 0]) {
        await eventually(
          async () => {
            await letPass(stage);
            await look(spied(stage, strict).context, of, { term, signal });
            return found(strict);
          },
          (last) => last?.checked === checked && last.failing === 1,
          { what: `a look that reads ${checked} partitions and finds that the newest day is old` },
        );
      }
      expect((await found(strict))?.failures).toMatchObject([{ name: "fresh", partition: null }]);
    }));

  it("is made by one process at a time, and by none that leads no more", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ revenue: rules }));
      const { context, statements } = spied(stage, rederive);
      const stale = await aTerm(stage);
      await stage.database.query("update rederive.leader set term = term + 1");
      await look(context, schedule, { term: stale, signal });
      expect(reads(statements)).toEqual([]);
      expect(await stage.database.query("select from rederive.watch")).toEqual([]);

      // It begins, and loses the lead between two partitions.
      const term = { ...stale, term: String(Number(stale.term) + 1) };
      const { database } = context;
      let measured = 0;
      const losing: Database = {
        ...database,
        transaction: async (work, options) => {
          const result = await database.transaction(work, options);
          measured += 1;
          if (measured === 4) await stage.database.query("update rederive.leader set term = term + 1");
          return result;
        },
      };
      await look({ ...context, database: losing }, schedule, { term, signal });
      expect(reads(statements)).toHaveLength(3);
      expect(await found(rederive)).toMatchObject({ finishedAt: null });

      // Whoever leads now makes it again, though not at once, and not while the other is at it still.
      const next = { ...stale, term: String(Number(term.term) + 1) };
      statements.length = 0;
      await look(context, schedule, { term: next, signal });
      expect(reads(statements)).toEqual([]);
      await letPass(stage);
      await stage.database.transaction(async (tx) => {
        await tx.query("select pg_advisory_xact_lock(hashtextextended('rederive look at revenue', 0))");
        await look(context, schedule, { term: next, signal });
      });
      expect(await found(rederive)).toMatchObject({ finishedAt: null });
      await letPass(stage);
      await look(context, schedule, { term: next, signal });
      expect(await found(rederive)).toMatchObject({ finishedAt: expect.any(String), checked: 60, failing: 0 });
    }));

  it("keeps what else is known of the backfill", () =>
    withShop(async (stage) => {
      const rederive = await stage.bootstrap(shop({ revenue: rules }));
      await stage.database.query(`insert into rederive.check_result (backfill, dataset, name, severity, failures, evidence)
        select id, 'revenue', 'anomaly(rows)', 'warn', 1, '{"message":"unusual","rows":[]}' from rederive.backfill`);
      await look(spied(stage, rederive).context, schedule, { term: await aTerm(stage), signal });
      const [backfill] = await rederive.as(tester).backfills();
      expect(backfill?.failedChecks).toMatchObject([{ name: "anomaly(rows)" }]);
      // It is about that backfill, and nothing that a look has found.
      expect(await found(rederive)).toMatchObject({ failing: 0, failures: [] });
    }));
});
