/** What Postgres says about statements: a corpus of accepted and refused ones, and what the fingerprint depends on. */
import { sql } from "drizzle-orm";
import { bigint, date, integer, pgTable, text, timestamp } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { type Derived, derived, source } from "../../src/catalog/dataset.ts";
import { daily, hash } from "../../src/catalog/scheme.ts";
import { isRederiveError } from "../../src/errors.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { liveColumns } from "../../src/warehouse/columns.ts";
import { type Description, describeTransform } from "../../src/warehouse/describe.ts";
import { extentOf, partitionIndexWarning } from "../../src/warehouse/extent.ts";
import { fingerprintOf } from "../../src/warehouse/fingerprint.ts";
import type { Session } from "../../src/warehouse/session.ts";
import { withSession } from "./support.ts";

const ordersTable = pgTable("orders", {
  id: bigint("id", { mode: "number" }).notNull(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
  currency: text("currency").notNull(),
  cents: integer("amount_cents").notNull(),
});

const revenueTable = pgTable("revenue", {
  day: date("day").notNull(),
  currency: text("currency").notNull(),
  cents: bigint("cents", { mode: "number" }).notNull(),
  note: text("note").default("none"),
});

const orders = source(ordersTable, { partitions: daily(ordersTable.createdAt) });

const revenue = derived(revenueTable, {
  version: 1,
  key: [revenueTable.day, revenueTable.currency],
  partitions: daily(revenueTable.day),
  inputs: { orders },
  select: () => sql`select 1`,
});

const setUp = `
  create table orders (id int8 primary key, created_at timestamptz not null, currency text not null, amount_cents int4 not null);
  create table revenue (day date not null, currency text not null, cents int8 not null, note text default 'none');
  create table customers (id int8 primary key, name text);
  create type mood as enum ('now', 'never');
  create function double(x int8) returns int8 language sql immutable as 'select x * 2';
  create function noisy(x int8) returns int8 language plpgsql volatile as 'begin return x; end';
  create function add_up(state int8, x int4) returns int8 language sql immutable as 'select coalesce(state, 0) + x';
  create aggregate add_all (int4) (sfunc = add_up, stype = int8);
`;

/** The usual statement, with an expression for `cents` and something after the table. */
const statement = (cents: string, rest = "") =>
  `select created_at::date as day, currency, ${cents} as cents from orders ${rest} group by 1, 2`;

const plain = statement("sum(amount_cents)");

function withStatement(text: string, overrides: Partial<Derived> = {}): Derived {
  return { ...revenue, ...overrides, transform: { kind: "select", statement: text, columns: undefined } };
}

async function inRollback<Result>(session: Session, work: () => Promise<Result>): Promise<Result> {
  await session.query("begin");
  try {
    return await work();
  } finally {
    await session.query("rollback");
  }
}

async function describeText(session: Session, text: string, overrides: Partial<Derived> = {}): Promise<Description> {
  return inRollback(session, () => describeTransform(session, withStatement(text, overrides)));
}

async function refusalOf(session: Session, text: string, overrides: Partial<Derived> = {}): Promise<string> {
  try {
    await describeText(session, text, overrides);
  } catch (error) {
    if (isRederiveError(error) && error.code === "plan_refused") return error.message;
    throw error;
  }
  return "accepted";
}

const accepted: Record<string, string> = {
  "an aggregate": plain,
  "a user's own with": `with paid as (select * from orders where amount_cents > 0) select created_at::date as day, currency, sum(amount_cents) as cents from paid group by 1, 2`,
  "a subquery and a window": `select day, currency, max(total) as cents from (select created_at::date as day, currency, sum(amount_cents) over (partition by currency order by id) as total from orders) r group by 1, 2`,
  "columns in another order":
    "select sum(amount_cents) as cents, currency, created_at::date as day from orders group by 2, 3",
  "values by assignment": statement("sum(amount_cents)::numeric"),
  "stable functions under pinned settings": `select date_trunc('day', created_at)::date as day, to_char(created_at, 'YYYY') as currency, 1 as cents from orders`,
  "time literals": statement(
    "count(*)",
    "where created_at >= '2001-01-01 00:00Z' and created_at < timestamptz '2002-01-01'",
  ),
  "the word now as a text": statement("count(*) filter (where currency = 'now')", "where created_at > '2001-01-01'"),
  "the word today in a sentence": statement(
    "count(*) filter (where currency like '%it is today;%')",
    "where created_at > '2001-01-01'",
  ),
  "the word now as an enum": statement("count(*) filter (where 'now'::mood = 'never'::mood)"),
  "a semicolon in a string and in comments": statement("sum(amount_cents) /* ; */", "where currency <> ';' -- ;\n"),
  "the word now in JSON": statement(
    "count(*) filter (where jsonb_build_object('at', currency) = '{\"at\": \"now\"}')",
    "where created_at > '2001-01-01'",
  ),
  "a backslash before a quote": statement("count(*)", String.raw`where currency <> '\' and created_at > '2001-01-01'`),
  "a string over two lines": statement("count(*)", "where currency <> 'E'\n 'UR'"),
  "age with two arguments": statement("sum(extract(epoch from age(created_at, '2001-01-01'::timestamptz)))::int8"),
  "a text search by its configuration": statement(
    "count(*) filter (where to_tsvector('english', currency) @@ to_tsquery('english', 'EUR'))",
  ),
  "a set-returning function": `select d::date as day, currency, 1::int8 as cents from orders, generate_series(created_at::date, created_at::date, interval '1 day') d`,
  "a lateral join and grouping sets": `select o.created_at::date as day, coalesce(o.currency, 'all') as currency, sum(l.x) as cents from orders o, lateral (select o.amount_cents as x) l group by 1, grouping sets ((o.currency), ())`,
};

const refused: Record<string, { text: string; says: RegExp[] }> = {
  "now()": { text: statement("count(*)", "where created_at < now()"), says: [/now\(\) depends on when it runs/] },
  current_date: {
    text: statement("count(*)", "where created_at < current_date"),
    says: [/current_date depends on when/],
  },
  localtimestamp: {
    text: statement("count(*)", "where created_at < localtimestamp(3)"),
    says: [/localtimestamp depends/],
  },
  clock_timestamp: {
    text: statement("count(*)", "where created_at < clock_timestamp()"),
    says: [/clock_timestamp\(\) depends/],
  },
  statement_timestamp: {
    text: statement("count(*)", "where created_at < statement_timestamp()"),
    says: [/statement_timestamp/],
  },
  timeofday: { text: statement("max(timeofday())"), says: [/timeofday\(\)/] },
  random: { text: statement("(random() * sum(amount_cents))::int8"), says: [/random\(\) is volatile/] },
  gen_random_uuid: { text: statement("count(gen_random_uuid())"), says: [/gen_random_uuid\(\) is volatile/] },
  nextval: { text: statement("nextval('seq')"), says: [/nextval\(\) is volatile|seq/] },
  "one-argument age": {
    text: statement("max(extract(epoch from age(created_at)))::int8"),
    says: [/age\(\) with one argument/],
  },
  current_user: {
    text: statement("count(*) filter (where currency = current_user)"),
    says: [/current_user depends on who/],
  },
  current_setting: {
    text: statement("count(*) filter (where currency = current_setting('a.b', true))"),
    says: [/current_setting\(\)/],
  },
  pg_backend_pid: { text: statement("max(pg_backend_pid())"), says: [/pg_backend_pid\(\)/] },
  txid_current: { text: statement("max(txid_current())"), says: [/txid_current\(\)/] },
  version: { text: statement("count(*) filter (where currency = version())"), says: [/version\(\)/] },
  inet_client_addr: { text: statement("count(inet_client_addr())"), says: [/inet_client_addr\(\)/] },
  "the literal now": { text: statement("count(*)", "where created_at < 'now'"), says: [/the literal 'now'/] },
  "the literal today": {
    text: statement("count(*)", "where created_at < timestamptz 'today 12:00'"),
    says: [/'today 12:00'/],
  },
  "the literal yesterday": {
    text: statement("count(*)", "where created_at::date = 'Yesterday'::date"),
    says: [/'Yesterday'/],
  },
  "the literal tomorrow in dollars": {
    text: statement("count(*)", "where created_at < $$tomorrow$$::timestamptz"),
    says: [/'tomorrow'/],
  },
  "now cast from text": {
    text: statement("count(*)", "where created_at < 'now'::text::timestamptz"),
    says: [/the literal 'now'/],
  },
  "now by escapes": {
    text: statement("count(*)", String.raw`where created_at < E'\x6eow'`),
    says: [/the literal 'now'/],
  },
  "today by octal escapes": {
    text: statement("count(*)", String.raw`where created_at < E'\164oday'`),
    says: [/the literal 'today'/],
  },
  "now by unicode escapes": {
    text: statement("count(*)", String.raw`where created_at < U&'\006eow'`),
    says: [/the literal 'now'/],
  },
  "tomorrow over two lines": {
    text: statement("count(*)", "where created_at < 'tom' -- and\n  'orrow'"),
    says: [/the literal 'tomorrow'/],
  },
  "now in an array": {
    text: statement("count(*)", "where created_at = any('{now}'::timestamptz[])"),
    says: [/the literal '\{now\}'/],
  },
  "now in a range that looks like JSON": {
    text: statement("count(*)", `where created_at <@ '["now","tomorrow"]'::tstzrange`),
    says: [/the literal/],
  },
  "several statements": { text: `${plain}; drop table orders`, says: [/one statement, without a semicolon/] },
  "an escape from the parentheses": { text: `${plain}) r) select 1 from (select 1`, says: [/parenthesis/] },
  "a syntax error": { text: "select from where", says: [/Postgres refuses it: .*syntax error/] },
  "a data-modifying with": {
    text: `with gone as (delete from orders returning *) select created_at::date as day, currency, 1 as cents from gone`,
    says: [/Postgres refuses it/],
  },
  "an insert": { text: "insert into revenue select * from revenue", says: [/Postgres refuses it/] },
  "select into": {
    text: "select created_at::date as day, currency, 1 as cents into other from orders",
    says: [/Postgres refuses it/],
  },
  "a parameter": { text: statement("$1::int8"), says: [/cannot have parameters/] },
  "a table that is no input": {
    text: `select o.created_at::date as day, c.name as currency, 1 as cents from orders o join customers c on c.id = o.id`,
    says: [/reads public\.customers, which is not an input/],
  },
  "the input's table itself": {
    text: "select created_at::date as day, currency, amount_cents as cents from public.orders",
    says: [/reads public\.orders itself; read the input "orders"/],
  },
  "a system catalog": { text: statement("(select count(*) from pg_class)"), says: [/reads pg_catalog\.pg_class/] },
  "an unknown table": {
    text: "select * from nowhere",
    says: [/"nowhere" does not exist; read the inputs by their handles \(orders\)/],
  },
  "row locks": {
    text: "select created_at::date as day, currency, amount_cents as cents from orders for update",
    says: [/locks rows/],
  },
  "a sample": {
    text: "select created_at::date as day, currency, amount_cents as cents from orders tablesample system (10)",
    says: [/TABLESAMPLE|samples rows/],
  },
  "an undeclared function": {
    text: statement("double(sum(amount_cents))"),
    says: [/public\.double\(\) is a function of your own.*functions: \["public\.double"\]/],
  },
  "an undeclared aggregate": {
    text: statement("add_all(amount_cents)"),
    says: [/public\.add_all\(\) is a function of your own/],
  },
  "a text search without its configuration": {
    text: statement("count(*) filter (where to_tsvector(currency) @@ plainto_tsquery('english', 'EUR'))"),
    says: [/to_tsvector\(\) takes its configuration from the session; name it first: to_tsvector\('english', …\)/],
  },
  "time zones as they are now": {
    text: statement("(select count(*) from pg_timezone_names())"),
    says: [/pg_timezone_names\(\) depends on when/],
  },
  "the encoding of the client": {
    text: statement("length(pg_client_encoding())"),
    says: [/depends on who is connected/],
  },
  comments: {
    text: statement("length(obj_description(1, 'pg_class'))"),
    says: [/obj_description\(\) reads more than/],
  },
  "hidden reads": { text: statement("count(query_to_xml('select 1', true, true, ''))"), says: [/query_to_xml\(\)/] },
  "a missing column": { text: "select created_at::date as day, currency from orders", says: [/gives no column cents/] },
  "a surplus column": { text: `select *, 1 as more from (${plain}) r`, says: [/gives a column more/] },
  "two columns of one name": { text: "select 1 as cents, 2 as cents from orders", says: [/alias of its own/] },
  "a wrong type": {
    text: "select created_at::date as day, currency, currency as cents from orders",
    says: [/column cents is text, but cents of "public"\."revenue" is bigint/],
  },
};

describe("describeTransform", () => {
  it("accepts statements that depend on their inputs alone", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      for (const [name, text] of Object.entries(accepted)) {
        expect({ name, outcome: await refusalOf(session, text) }).toEqual({ name, outcome: "accepted" });
      }
    });
  });

  it("refuses the others, naming what is wrong", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      await session.query("create sequence seq");
      for (const [name, { text, says }] of Object.entries(refused)) {
        const message = await refusalOf(session, text);
        for (const pattern of says)
          expect({ name, message }).toEqual({ name, message: expect.stringMatching(pattern) });
      }
    });
  });

  it("lists everything that is wrong at once", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      const text = "select current_date as day, currency, random()::text as cents from orders for update";
      const message = await refusalOf(session, text);
      expect(message).toMatch(/current_date/);
      expect(message).toMatch(/random/);
      expect(message).toMatch(/locks rows/);
      expect(message).toMatch(/cents is text/);
    });
  });

  it("takes declared functions, and never volatile ones", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      const declared = { functions: ["public.double", "add_all", "noisy"] };
      expect(await refusalOf(session, statement("double(add_all(amount_cents))"), declared)).toBe("accepted");
      expect(await refusalOf(session, statement("noisy(count(*))"), declared)).toMatch(/public\.noisy\(\) is volatile/);
    });
  });

  it("leaves nothing behind, and keeps the transaction usable after a refusal", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      await session.query("begin");
      await describeTransform(session, withStatement(plain));
      await expect(describeTransform(session, withStatement("select 1 as x"))).rejects.toThrow(/gives no column/);
      const left = await session.query("select relname from pg_class where relnamespace = pg_my_temp_schema()");
      const [settings] = await session.query<{ path: string }>("select current_setting('search_path') as path");
      await session.query("commit");
      expect(left).toEqual([]);
      expect(settings?.path).toBe("public, pg_temp");
    });
  });

  it("says to migrate where a table or column is missing", async () => {
    await withSession(async (session) => {
      await session.query("create table orders (id int8, created_at timestamptz, currency text)");
      expect(await refusalOf(session, plain)).toMatch(/input orders cannot be read.*amount_cents.*migrate/s);
      await session.query("alter table orders add amount_cents int4");
      expect(await refusalOf(session, plain)).toMatch(/table cannot be used.*revenue.*migrate/s);
    });
  });
});

describe("describeTransform of builders and maps", () => {
  const built = derived(revenueTable, {
    version: 1,
    key: [revenueTable.day, revenueTable.currency],
    partitions: daily(revenueTable.day),
    inputs: { orders },
    select: ({ db, orders }) =>
      db
        .select({
          cents: sql<number>`sum(${orders.cents})`,
          currency: orders.currency,
          day: sql<string>`${orders.createdAt}::date`,
        })
        .from(orders)
        .groupBy(sql`2`, sql`3`),
  });
  const mapped = derived(revenueTable, {
    version: 1,
    key: [revenueTable.day, revenueTable.currency],
    partitions: daily(revenueTable.day),
    inputs: { orders, before: built },
    read: ({ db, orders, before }) =>
      db
        .select({ at: orders.createdAt, last: before.cents })
        .from(orders)
        .leftJoin(before, sql`${before.currency} = ${orders.currency}`),
    map: (row) => ({ day: String(row.at), currency: "EUR", cents: Number(row.last) }),
  });

  it("matches their columns by position", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      const description = await inRollback(session, () => describeTransform(session, built));
      expect(description.columns.map((column) => column.name)).toEqual(["cents", "currency", "day"]);
      expect(description.reads).toEqual([
        { name: "orders.amount_cents", type: "integer" },
        { name: "orders.created_at", type: "timestamp with time zone" },
        { name: "orders.currency", type: "text" },
      ]);
      const reading = await inRollback(session, () => describeTransform(session, mapped));
      expect(reading.reads.map((column) => column.name)).toContain("before.cents");
      expect(fingerprintOf(mapped, reading, await liveColumns(session, mapped), { maps: { revenue: "a" } })).not.toBe(
        fingerprintOf(mapped, reading, await liveColumns(session, mapped), { maps: { revenue: "b" } }),
      );
    });
  });

  it("refuses with its own error through the control plane's driver too", async () => {
    await withSession(async (session, url) => {
      await session.query(setUp);
      const database = openDatabase(url, { max: 1 });
      try {
        const description = await database.transaction((tx) => describeTransform(tx, built));
        expect(description).toEqual(await inRollback(session, () => describeTransform(session, built)));
        for (const text of ["select nothing", "select currency as day, 'x' as currency, true as cents from orders"]) {
          const refusal = database.transaction((tx) => describeTransform(tx, withStatement(text)));
          await expect(refusal).rejects.toMatchObject({ code: "plan_refused" });
        }
      } finally {
        await database.close();
      }
    });
  });
});

describe("fingerprintOf", () => {
  it("ignores formatting, comments and unrelated columns, and sees what matters", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      const fingerprint = async (text: string, overrides: Partial<Derived> = {}) => {
        const dataset = withStatement(text, overrides);
        const description = await inRollback(session, () => describeTransform(session, dataset));
        return fingerprintOf(dataset, description, await liveColumns(session, dataset), undefined);
      };
      const first = await fingerprint(plain);
      expect(
        await fingerprint(
          `SELECT created_at :: date AS day,\n  currency, -- money\n sum((amount_cents)) as "cents"\nFROM orders GROUP BY 1,2`,
        ),
      ).toBe(first);
      expect(await fingerprint(plain, { description: "changed", attempts: 9, checks: [] })).toBe(first);
      await session.query("alter table orders add extra text");
      await session.query("alter table revenue add extra text");
      expect(await fingerprint(plain)).toBe(first);

      expect(await fingerprint(statement("sum(amount_cents + 0)"))).not.toBe(first);
      expect(await fingerprint(plain, { version: 2 })).not.toBe(first);
      expect(
        await fingerprint(plain, { partitions: daily(revenueTable.day, { timeZone: "Europe/Bratislava" }) }),
      ).not.toBe(first);
      await session.query("alter table orders alter amount_cents type int8");
      expect(await fingerprint(plain)).not.toBe(first);
      await session.query("alter table orders alter amount_cents type int4");
      expect(await fingerprint(plain)).toBe(first);
      await session.query("alter table revenue alter cents type numeric");
      expect(await fingerprint(plain)).not.toBe(first);
    });
  });

  it("follows the source of declared functions and of an aggregate's parts", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      const text = statement("double(add_all(amount_cents))");
      const functions = ["double", "add_all"];
      const sources = async () => (await describeText(session, text, { functions })).functions;
      const before = await sources();
      expect(before.map((found) => found.name)).toEqual([
        "public.add_all(integer)",
        "public.add_up(state bigint, x integer)",
        "public.double(x bigint)",
      ]);
      await session.query(
        "create or replace function double(x int8) returns int8 language sql immutable as 'select x + x'",
      );
      const after = await sources();
      expect(after).not.toEqual(before);
      await session.query(
        "create or replace function add_up(state int8, x int4) returns int8 language sql immutable as 'select x'",
      );
      expect(await sources()).not.toEqual(after);
    });
  });
});

describe("extentOf and partitionIndexWarning", () => {
  it("finds the ends, ignores infinities, and is empty for an empty table", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      expect(await extentOf(session, orders)).toEqual([]);
      await session.query(`insert into orders values (1, '2001-01-03 23:59:59.999999Z', 'EUR', 1), (2, '2001-01-01', 'EUR', 1),
        (3, 'infinity', 'EUR', 1), (4, '-infinity', 'EUR', 1)`);
      expect(await extentOf(session, orders)).toEqual([[11_323, 11_326]]);
    });
  });

  it("gives the statement for a missing index", async () => {
    await withSession(async (session) => {
      await session.query(setUp);
      await session.query("create index partial on orders (created_at) where amount_cents > 0");
      expect(await partitionIndexWarning(session, orders)).toMatch(
        /run: create index concurrently on "public"\."orders" \("created_at"\)/,
      );
      await session.query('create index concurrently on "public"."orders" ("created_at")');
      expect(await partitionIndexWarning(session, orders)).toBeUndefined();
      const buckets = source(ordersTable, { partitions: hash(ordersTable.id, 16) });
      const warning = await partitionIndexWarning(session, buckets);
      expect(warning).toMatch(/run: create index concurrently on "public"\."orders" \(\(.*md5\("id"::text\)/);
      await session.query((warning as string).split("run: ")[1] as string);
      expect(await partitionIndexWarning(session, buckets)).toBeUndefined();
    });
  });
});
