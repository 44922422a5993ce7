/** Faults of data and of transforms, each planted alone, and the check that was made for it. */
import { runToEnd, tester } from "rederive/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goods, type Statements, statements } from "./goods.ts";
import { createTemplate, withStage } from "./stage.ts";

interface Fault {
  readonly fault: string;
  /** Statements that plant it. */
  readonly planted?: readonly string[];
  /** A transform that is wrong. */
  readonly replaced?: Partial<Statements>;
  readonly dataset: keyof Statements;
  /** Default: the day on which the clock goes back. */
  readonly partitions?: readonly string[];
  readonly check: string;
  /** Among the rows shown. */
  readonly guilty: Readonly<Record<string, unknown>>;
  /** Default: the dataset that is recomputed. */
  readonly at?: keyof Statements;
}

const day = "2026-10-25";
/** The first and the last order of that day, and one in yen. */
const [first, last, yen] = [8, 15, 11];

const downstream: Readonly<Record<keyof Statements, readonly string[]>> = {
  facts: ["revenue", "euros", "months"],
  revenue: ["months"],
  euros: [],
  months: [],
  hours: ["days"],
  days: [],
};

const facts = (from: string, to: string): Partial<Statements> => {
  if (!statements.facts.includes(from)) throw new Error(`there is no ${from} to replace`);
  return { facts: statements.facts.replace(from, to) };
};

/** Seen in the task that wrote the partition. */
const inPartition: readonly Fault[] = [
  {
    fault: "F43: a partition that had rows comes out empty",
    replaced: { facts: `select * from (${statements.facts}) r where id < 0` },
    dataset: "facts",
    check: "not_emptied",
    guilty: { id: String(first), email: "(masked)" },
  },
  {
    fault: "F44: an amount is not a number",
    planted: [`update public.orders set amount = 'NaN' where id = ${first}`],
    dataset: "facts",
    check: "currency(currency)",
    guilty: { id: String(first), amount: "NaN" },
  },
  {
    fault: "F44: a whole number goes through a floating-point one and loses its last digit",
    planted: [`update public.orders set points = 9007199254740993 where id = ${first}`],
    replaced: facts("o.points, o.pieces", "o.points::float8::bigint as points, o.pieces"),
    dataset: "facts",
    check: "conserves(points, orders.points)",
    guilty: { output: "9007199254741776", input: "9007199254741777" },
  },
  {
    fault: "F45: a floating-point sum swallows what is small",
    replaced: { revenue: statements.revenue.replace("sum(tax)", "sum(tax + 1e17) - count(*) * 1e17") },
    dataset: "revenue",
    check: "conserves(tax, facts.tax)",
    guilty: { output: "0", input: "2.00" },
  },
  {
    fault: "F47: a join gives a key twice",
    planted: ["insert into public.kinds values ('tea', 'beverage')"],
    replaced: facts("(select raw, min(clean) as clean from kinds group by raw) k", "kinds k"),
    dataset: "facts",
    check: "key_unique",
    guilty: { id: String(first + 2), repeats: "2" },
  },
  {
    fault: "rows land in another day than their own",
    replaced: facts(`::date as day, o.created_at`, `::date + (o.id = ${last})::int as day, o.created_at`),
    dataset: "facts",
    check: "row_outside_partition",
    guilty: { id: String(last), day: "2026-10-26" },
  },
  {
    fault: "a currency that does not exist",
    planted: [`update public.orders set currency = 'EURO' where id = ${first}`],
    dataset: "facts",
    check: "currency(currency)",
    guilty: { id: String(first), currency: "EURO" },
  },
  {
    fault: "yen with decimals",
    planted: [`update public.orders set amount = 1000.5 where id = ${yen}`],
    dataset: "facts",
    check: "currency(currency)",
    guilty: { id: String(yen), currency: "JPY", amount: "1000.5" },
  },
  {
    fault: "yen are added up as euros",
    replaced: {
      revenue: statements.revenue
        .replace("select day, currency,", "select day, 'EUR' as currency,")
        .replace("1, 2", "1"),
    },
    dataset: "revenue",
    check: "unmixed(amount, facts.currency)",
    guilty: { currency: "JPY", output: null },
  },
  {
    fault: "a sum that is meant to be of euros has all currencies",
    replaced: { euros: statements.euros.replace("where currency = 'EUR'", "") },
    dataset: "euros",
    check: "conserves(amount, facts.amount)",
    guilty: {},
  },
  {
    fault: "the local date is taken from UTC",
    replaced: facts(`(o.created_at at time zone 'Europe/Bratislava')::date as day`, "o.created_at::date as day"),
    dataset: "facts",
    check: "timeZone(day, created_at)",
    guilty: {},
    partitions: ["2026-10-24"],
  },
  {
    fault: "the hour that comes twice in autumn is there once",
    planted: ["delete from public.readings where at >= '2026-10-25T01:00Z' and at < '2026-10-25T02:00Z'"],
    dataset: "hours",
    check: "completeDays(at)",
    guilty: { day, sensor: "north", expected_hours: "25", hours: "24" },
  },
  {
    fault: "a category that nobody has mapped",
    planted: [`update public.orders set kind = 'lamp' where id = ${first}`],
    dataset: "facts",
    check: "category(clean)",
    guilty: { problem: "not mapped", category: "lamp", rows: "1" },
  },
  {
    fault: "a category that is mapped to another one than declared",
    replaced: facts("k.clean,", "case k.clean when 'tea' then 'kitchen' else k.clean end as clean,"),
    dataset: "facts",
    check: "category(clean)",
    guilty: { problem: "mapped wrongly", category: "tea", given: "kitchen", expected: "tea" },
  },
  {
    fault: "a category that is mapped to two",
    planted: ["insert into public.kinds values ('tea', 'beverage')"],
    dataset: "facts",
    check: "category(clean)",
    guilty: { problem: "mapped to several", category: "tea", expected: "beverage, tea" },
  },
  {
    fault: "a count is negative",
    planted: [`update public.orders set pieces = -1 where id = ${first}`],
    dataset: "facts",
    check: "unit(pieces, count)",
    guilty: { id: String(first), pieces: "-1" },
  },
  {
    fault: "seconds are taken for milliseconds",
    planted: [`update public.orders set paid_ms = paid_ms / 1000 where id = ${first}`],
    dataset: "facts",
    check: "unit(paid_ms, epochMilliseconds)",
    guilty: { id: String(first), paid_ms: "1790000000" },
  },
  {
    fault: "a ratio is given in percent",
    planted: [`update public.orders set tax = 25 where id = ${first}`],
    dataset: "facts",
    check: "unit(tax, ratio)",
    guilty: { id: String(first), tax: "25" },
  },
  {
    fault: "pounds are computed with the factor of another unit",
    replaced: facts("o.kilograms * 2.20462", "o.kilograms * 2.0"),
    dataset: "facts",
    check: "conversion(pounds, kilograms)",
    guilty: { id: String(first), pounds: "18" },
  },
  {
    fault: "a customer who is not there",
    planted: [`update public.orders set customer = 99 where id = ${first}`],
    dataset: "facts",
    check: "foreignKey(customer)",
    guilty: { id: String(first), customer: "99", email: "(masked)" },
  },
  {
    fault: "an inner join loses orders",
    planted: ["delete from public.kinds where raw = 'cup'"],
    replaced: facts("left join", "join"),
    dataset: "facts",
    check: "oneToOne(id, orders)",
    guilty: { id: String(yen), rows: "0", input_rows: "1" },
  },
  {
    fault: "orders are written twice under new keys",
    replaced: {
      facts: `with once as (${statements.facts}) select * from once union all
      select id + 1000 as id, day, created_at, customer, currency, amount, 0::bigint as points, pieces, kind, clean, email,
        kilograms, pounds, tax, paid_ms, total + 1000 as total, 'COPY-' || id as invoice from once`,
    },
    dataset: "facts",
    check: "conservesCount(orders)",
    guilty: { output: "16", input: "8" },
  },
  {
    fault: "a running total falls",
    replaced: facts("::bigint as total", `::bigint - case when o.id = ${last} then 500 else 0 end as total`),
    dataset: "facts",
    check: "monotonic(total)",
    guilty: { id: String(last), total: "392", previous_total: "777" },
  },
  {
    fault: "somebody else's address is on the order",
    replaced: facts("o.email,", `case o.id when ${last} then 'buyer1@example.org' else o.email end as email,`),
    dataset: "facts",
    check: "nobody buys for another",
    guilty: { id: String(last), email: "(masked)" },
  },
  {
    fault: "the newest rows of a day are left out",
    replaced: { revenue: statements.revenue.replace("max(created_at)", "max(created_at) - interval '3 hours'") },
    dataset: "revenue",
    check: "freshness(newest)",
    guilty: { newest: "2026-10-25T14:00:00+00:00", input_newest: "2026-10-25T17:00:00+00:00" },
  },
  {
    fault: "a filter leaves refunds out of one sum and not of the other",
    replaced: { revenue: statements.revenue.replace("sum(pieces)", "sum(pieces) filter (where points <> 108)") },
    dataset: "revenue",
    check: "pieces in euros",
    guilty: {},
  },
];

/** Seen when all tasks are done, because no partition shows it alone. */
const across: readonly Fault[] = [
  {
    fault: "F48: rows refer to nothing by a foreign key of the live table",
    planted: [`update public.orders set currency = 'USD' where id = ${first}`],
    dataset: "facts",
    at: "revenue",
    check: "foreign_key(revenue_currency_fkey)",
    guilty: { currency: "USD" },
  },
  {
    fault: "an invoice number is given on two days",
    replaced: facts("'INV-' || o.id", "'INV-' || o.id % 8"),
    dataset: "facts",
    partitions: [day, "2026-10-26"],
    check: "unique(invoice)_in_dataset",
    guilty: { invoice: "INV-0", repeats: "2" },
  },
];

describe("planted faults", { timeout: 120_000 }, () => {
  let template: Awaited<ReturnType<typeof createTemplate>>;
  beforeAll(async () => {
    template = await createTemplate();
  }, 120_000);
  afterAll(() => template?.drop());

  it("a clean run raises none", async () => {
    await withStage(template.name, async (stage) => {
      const rederive = await stage.open(goods());
      const backfill = await rederive.as(tester).plan({ datasets: ["facts", "hours"], reason: "again" });
      expect(await runToEnd(rederive, backfill, { workers: 4 })).toMatchObject({ state: "verified", failedChecks: [] });
      expect((await backfill.diff()).datasets.map(({ added, removed, changed }) => added + removed + changed)).toEqual(
        Array.from({ length: 6 }, () => 0),
      );
    });
  });

  it.each(inPartition)("$fault", async (fault) => {
    await withFault(template.name, fault, ({ status, found }) => {
      const at = fault.at ?? fault.dataset;
      expect(status.datasets.find(({ dataset }) => dataset === at)).toMatchObject({ held: true });
      const done = status.datasets
        .filter(({ dataset }) => downstream[at].includes(dataset))
        .map(({ dataset, tasks }) => [dataset, tasks.done]);
      expect(done).toEqual(downstream[at].map((dataset) => [dataset, 0]));
      expect(found?.partition).toBe((fault.partitions ?? [day])[0]);
      expect(found?.evidence.suspects?.length).toBeGreaterThan(0);
    });
  });

  it("F46: a value that is another one each time is refused before anything runs", async () => {
    await withStage(template.name, async (stage) => {
      const rederive = await stage.open(goods(facts("o.tax,", "random() as tax,")));
      const planned = rederive.as(tester).plan({ datasets: ["facts"], partitions: [day], reason: "random" });
      await expect(planned).rejects.toMatchObject({ code: "plan_refused", message: expect.stringContaining("random") });
    });
  });

  it.each(across)("$fault", async (fault) => {
    await withFault(template.name, fault, async ({ found, promote }) => {
      expect(found?.partition).toBeNull();
      await expect(promote()).rejects.toMatchObject({ code: expect.stringMatching(/held|wrong_state/) });
    });
  });
});

interface Told {
  readonly status: Awaited<ReturnType<typeof runToEnd>>;
  readonly found: Awaited<ReturnType<typeof runToEnd>>["failedChecks"][number] | undefined;
  readonly promote: () => Promise<unknown>;
}

/** Plants a fault, computes the partition anew, and tells what the check made for it said. */
async function withFault(template: string, fault: Fault, told: (told: Told) => void | Promise<void>): Promise<void> {
  await withStage(template, async (stage) => {
    for (const statement of fault.planted ?? []) await stage.database.query(statement);
    const rederive = await stage.open(goods(fault.replaced));
    const backfill = await rederive
      .as(tester)
      .plan({ datasets: [fault.dataset], partitions: fault.partitions ?? [day], reason: fault.fault });
    const status = await runToEnd(rederive, backfill);
    expect([status.state, status.troubles]).toEqual(["held", []]);
    const at = fault.at ?? fault.dataset;
    const found = status.failedChecks.find(({ dataset, name }) => dataset === at && name === fault.check);
    expect(
      found ?? status.failedChecks.map(({ dataset, name, evidence }) => [dataset, name, evidence.message]),
    ).toMatchObject({ dataset: at, name: fault.check, severity: "error" });
    expect(found?.evidence.rows).toContainEqual(expect.objectContaining(fault.guilty));
    await told({ status, found, promote: () => backfill.promote({ reason: "anyway" }) });
  });
}
