/**
 * What is planned and what is refused, with its code, while somebody looks: statements, checks, assumptions, expectations and
 * requests, each as a person would write it. A refusal stores nothing. docs/planning.md lists the codes.
 */
import { readFileSync } from "node:fs";
import { sql } from "drizzle-orm";
import { assume, check, type ErrorCode, isRederiveError } from "rederive";
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { PlanInput } from "../../src/usecases/plan.ts";
import { facts, type Shape, type Stage, shop, withShop } from "../usecases/shop.ts";

const setUp = [
  "create table public.rates (currency text primary key, rate numeric not null)",
  "create function public.taxed(x numeric) returns numeric language sql immutable as 'select x * 1.2'",
  "create function public.drawn(x numeric) returns numeric language sql volatile as 'select x * random()'",
];

type Refusal = readonly [code: ErrorCode, message: RegExp];

interface Case {
  readonly shape?: Shape;
  readonly input?: Partial<PlanInput>;
  /** Planned, where undefined. */
  readonly refused?: Refusal;
}

const amount = (expression: string, message?: RegExp): Case => ({
  shape: { amount: expression },
  ...(message === undefined ? {} : { refused: ["plan_refused", message] }),
});

const checked = (one: ReturnType<typeof check.sql> | ReturnType<typeof check.query>, message?: RegExp): Case => ({
  shape: { facts: { checks: [one] } },
  ...(message === undefined ? {} : { refused: ["plan_refused", message] }),
});

const assumed = (statement: string, refused?: Refusal): Case => ({
  shape: { orders: { assumptions: [assume("all is well", statement)] } },
  ...(refused === undefined ? {} : { refused }),
});

const asked = (input: Partial<PlanInput>, code?: ErrorCode, message?: RegExp): Case => ({
  input: { datasets: ["facts"], ...input },
  ...(code === undefined || message === undefined ? {} : { refused: [code, message] }),
});

const expected = (where: string, message?: RegExp): Case => ({
  input: { expect: { where } },
  ...(message === undefined ? {} : { refused: ["usage", message] }),
});

const cases: Readonly<Record<string, Case>> = {
  "a column": amount("amount"),
  "arithmetic and a case": amount("case currency when 'EUR' then round(amount * 1.2, 2) else amount end"),
  "a time literal": amount("case when at > '2001-01-01' then amount end"),
  "the word now as a text": amount("case when currency = 'now' then amount end"),
  "a stable function under pinned settings": amount("to_char(at, 'DD')::numeric"),
  "a declared function": { shape: { amount: "public.taxed(amount)", facts: { functions: ["public.taxed"] } } },
  "random()": amount("amount * random()", /random\(\) is volatile/),
  "gen_random_uuid()": amount("length(gen_random_uuid()::text)", /gen_random_uuid\(\) is volatile/),
  "clock_timestamp()": amount("extract(epoch from clock_timestamp())", /clock_timestamp\(\) depends on when it runs/),
  "now()": amount("extract(epoch from now() - at)", /now\(\) depends on when it runs/),
  current_date: amount("current_date - at::date", /current_date depends on when it runs/),
  "age() of one argument": amount("extract(epoch from age(at))", /age\(\) with one argument/),
  "the literal 'now'": amount("extract(epoch from timestamptz 'now' - at)", /the literal 'now'/),
  "the literal 'today'": amount("'today'::date - at::date", /the literal 'today'/),
  "a text that becomes now": amount("extract(epoch from 'now'::text::timestamptz)", /the literal 'now'/),
  current_user: amount("length(current_user)", /current_user depends on who is connected/),
  "current_setting()": amount("length(current_setting('a.b', true))", /current_setting\(\) depends on who/),
  "a function that is not declared": amount("public.taxed(amount)", /declare it: functions: \["public\.taxed"\]/),
  "a declared volatile function": {
    shape: { amount: "public.drawn(amount)", facts: { functions: ["public.drawn"] } },
    refused: ["plan_refused", /public\.drawn\(\) is volatile/],
  },
  "a table that is no input": amount(
    "(select rate from rates r where r.currency = orders.currency) * amount",
    /reads public\.rates, which is not an input/,
  ),
  "a function that reads by name": amount("length(table_to_xml('rates', true, true, '')::text)", /reads more than the/),
  "several statements": amount("amount from orders; drop table orders; select 1", /one statement, without a semicolon/),
  "a column that is not there": amount("price", /column "price" does not exist/),
  "a value of another type": amount("at", /column amount is timestamp with time zone/),
  "a check of values": checked(check.sql("positive", sql`${facts.amount} > 0`)),
  "a check that asks the clock": checked(check.sql("not of the future", "day <= current_date")),
  "a check that is a query": checked(
    check.query("all", "select o.id from orders o where o.id not in (select id from candidate)"),
  ),
  "a check with an unknown column": checked(
    check.sql("cheap", "price < 5"),
    /facts .*check cheap: .*"price" does not exist/s,
  ),
  "a check that draws lots": checked(check.sql("lucky", "random() < 0.5"), /check lucky: random\(\) is volatile/),
  "a check that calls what may write": checked(
    check.query("drawn", "select id from candidate where public.drawn(amount) > 1"),
    /check drawn: public\.drawn\(\) is volatile/,
  ),
  "a check that writes": checked(
    check.query("gone", "with gone as (delete from orders returning id) select id from gone"),
    /check gone: Postgres refuses it/,
  ),
  "a check that leaves its parentheses": checked(check.sql("true", "true) or (true"), /check true: a parenthesis/),
  "a check that locks": checked(check.query("locked", "select id from candidate for update"), /check locked: /),
  "a filter of a check": {
    shape: { facts: { checks: [check.conservesCount({ input: "orders", inputWhere: "price > 1" })] } },
    refused: ["plan_refused", /check conservesCount\(orders\): .*"price" does not exist/],
  },
  "an assumption": assumed("select id from orders where id < 0"),
  "an assumption that is broken": assumed("select id from orders where id < 3", [
    "assumption_broken",
    /orders assumes "all is well", and 3 rows break it/,
  ]),
  "an assumption that draws lots": assumed("select id from orders where random() < 0", [
    "plan_refused",
    /the assumption "all is well" of orders cannot be tested: random\(\) is volatile/,
  ]),
  "an expectation": expected("currency = 'USD'"),
  "an expectation that asks the clock": expected("day < 'today'", /the literal 'today'/),
  "an expectation that draws lots": expected("random() < 0.5", /random\(\) is volatile/),
  "an expectation that reads elsewhere": expected("id in (select id from orders)", /it reads orders/),
  "a window": asked({ window: { from: "2026-01-05", to: "2026-01-07" } }),
  "an empty window": asked({ window: { from: "2026-01-05", to: "2026-01-05" } }, "usage", /2026-01-05/),
  "a window of which nothing exists": asked(
    { window: { from: "2027-01-01", to: "2027-02-01" } },
    "plan_refused",
    /is an empty window: facts has 2026-01-01 to 2026-03-01/,
  ),
  "a bound inside a day": asked({ window: { from: "2026-01-05T10:00Z", to: "2026-01-07" } }, "usage", /2026-01-05/),
  "more tasks than a plan may have": asked(
    { window: { from: "0001-01-01", to: "9000-01-01" } },
    "plan_too_large",
    /more than the limit of 1,000,000 tasks/,
  ),
  "a source": asked({ datasets: ["orders"] }, "plan_refused", /orders is a source.*\(facts, revenue\)/),
  "an unknown dataset": asked({ datasets: ["fact"] }, "not_found", /there is no dataset "fact".*facts/),
  "a deadline without an offset": asked({ deadline: "2026-01-05T10:00" }, "usage", /is no instant/),
};

/** The codes that docs/planning.md lists. */
function documentedCodes(): ReadonlySet<string> {
  const document = readFileSync(new URL("../../docs/planning.md", import.meta.url), "utf8");
  const [, table = ""] = /## Refusals([\s\S]*?)\n## /.exec(document) ?? [];
  return new Set([...table.matchAll(/^\| `(\w+)`/gm)].map(([, code = ""]) => code));
}

/** Undefined where it was planned. */
async function refusalOf(stage: Stage, { shape, input }: Case) {
  await using rederive = await stage.open(shop(shape));
  try {
    await rederive.as(tester).plan({ reason: "test", ...input });
    return undefined;
  } catch (error) {
    if (!isRederiveError(error)) throw error;
    return [error.code, error.message];
  }
}

describe("a plan", { timeout: 300_000 }, () => {
  it(`is made or refused, in ${Object.keys(cases).length} cases`, async () => {
    await withShop(async (stage) => {
      for (const statement of setUp) await stage.database.query(statement);
      let planned = 0;
      for (const [name, one] of Object.entries(cases)) {
        const [code, message] = one.refused ?? [];
        const outcome = one.refused === undefined ? undefined : [code, expect.stringMatching(message as RegExp)];
        expect({ name, outcome: await refusalOf(stage, one) }).toEqual({ name, outcome });
        planned += one.refused === undefined ? 1 : 0;
        // What was refused has left nothing behind.
        expect(await stage.database.query("select count(*)::int as plans from rederive.backfill")).toEqual([
          { plans: planned },
        ]);
      }
      expect(await stage.database.query("select count(*)::int as rows from orders")).toEqual([{ rows: 1200 }]);
    });
  });

  it("is refused where another backfill is at work on the same partitions", async () => {
    await withShop(async (stage) => {
      const acting = (await stage.open(shop())).as(tester);
      const first = await acting.plan({
        datasets: ["facts"],
        window: { from: "2026-01-05", to: "2026-01-07" },
        reason: "a",
      });
      await first.start();
      const overlapping = acting.preview({ datasets: ["facts"], partitions: ["2026-01-06"], reason: "b" });
      await expect(overlapping).rejects.toMatchObject({ code: "overlapping_plan" });
      await expect(
        acting.preview({ datasets: ["facts"], partitions: ["2026-01-07"], reason: "c" }),
      ).resolves.toBeDefined();
    });
  });

  it("is refused with codes that the documentation lists", () => {
    const codes = Object.values(cases).flatMap(({ refused }) => refused?.[0] ?? []);
    expect([...documentedCodes()]).toEqual(expect.arrayContaining([...codes, "overlapping_plan"]));
  });

  it("names everything that is wrong with the checks of a dataset at once", async () => {
    await withShop(async (stage) => {
      const checks = [check.sql("cheap", "price < 5"), check.sql("fine", "id > 0"), check.sql("lucky", "random() < 1")];
      const refusal = await refusalOf(stage, { shape: { facts: { checks } } });
      expect(refusal?.[1]).toMatch(/the checks of facts cannot be asked:\n- check cheap: .*\n- check lucky: /);
    });
  });
});
