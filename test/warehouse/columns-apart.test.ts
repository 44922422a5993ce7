/** What two statements have in common by Postgres' own analysis: their rows, and which of their columns. */
import { sql } from "drizzle-orm";
import { date, integer, pgTable, text } from "drizzle-orm/pg-core";
import { describe, expect, it } from "vitest";
import { derived, source } from "../../src/catalog/dataset.ts";
import type { ColumnsApart } from "../../src/warehouse/columns-apart.ts";
import { describeTransform } from "../../src/warehouse/describe.ts";
import type { Session } from "../../src/warehouse/session.ts";
import { withSession } from "./support.ts";

const salesTable = pgTable("sales", {
  day: date("day").notNull(),
  code: text("code").notNull(),
  cents: integer("cents").notNull(),
});
const totalsTable = pgTable("totals", {
  day: date("day").notNull(),
  code: text("code"),
  cents: integer("cents"),
  more: integer("more"),
});
const sales = source(salesTable);

async function apart(session: Session, statement: string): Promise<ColumnsApart> {
  const names = ["day", "code", "cents", "more"].filter((name) =>
    new RegExp(`\\b${name}\\b[^,]*(,|from)`, "is").test(statement),
  );
  const owned = Object.values({
    day: totalsTable.day,
    code: totalsTable.code,
    cents: totalsTable.cents,
    more: totalsTable.more,
  });
  const totals = derived(totalsTable, {
    version: 1,
    key: [totalsTable.day],
    owned: owned.filter((column) => names.includes(column.name)),
    inputs: { sales },
    select: () => sql.raw(statement),
  });
  await session.query("begin");
  try {
    return (await describeTransform(session, totals)).apart;
  } finally {
    await session.query("rollback");
  }
}

const base = "select day, sum(cents)::int as cents from sales where cents > 0 group by day";

/** Statement, whether its rows are those of `base`, and if so the columns in which it differs. */
const cases: readonly [string, string, boolean, string[]][] = [
  [
    "formatting and a comment",
    "SELECT day,\n sum(cents)::int  AS cents -- so\n FROM sales s WHERE (cents > 0) GROUP BY 1",
    true,
    [],
  ],
  ["a column more", base.replace("cents from", "cents, count(*)::int as more from"), true, ["more"]],
  [
    "columns in another order",
    "select sum(cents)::int as cents, day from sales where cents > 0 group by day",
    true,
    [],
  ],
  ["another expression", base.replace("sum(cents)", "max(cents)"), true, ["cents"]],
  ["another filter", base.replace("> 0", "> 1"), false, []],
  ["another grouping", `${base}, code`, false, []],
  [
    "what is grouped by",
    base.replace("select day", "select day + 1 as day").replace("by day", "by day + 1"),
    false,
    [],
  ],
];

const unprovable: Record<string, string> = {
  distinct: "select distinct day, cents from sales",
  "a union": "select day, cents from sales union all select day, cents from sales",
  "rows made in the list": "select day, generate_series(1, cents)::int as cents from sales",
};

async function setUp(session: Session): Promise<void> {
  await session.query("create table sales (day date not null, code text not null, cents int not null)");
  await session.query("create table totals (day date not null, code text, cents int, more int)");
}

describe("columnsApart", () => {
  it("tells rows from columns", async () => {
    await withSession(async (session) => {
      await setUp(session);
      const before = await apart(session, base);
      expect(before.rows).toMatch(/^[0-9a-f]{64}$/);
      for (const [name, statement, sameRows, differing] of cases) {
        const after = await apart(session, statement);
        const names = [...new Set([...Object.keys(before.columns), ...Object.keys(after.columns)])];
        const changed = names.filter((column) => before.columns[column] !== after.columns[column]);
        expect({ name, sameRows: after.rows === before.rows }).toEqual({ name, sameRows });
        if (sameRows) expect({ name, changed }).toEqual({ name, changed: differing });
      }
    });
  });

  it("proves nothing where a column more may change the rows", async () => {
    await withSession(async (session) => {
      await setUp(session);
      for (const [name, statement] of Object.entries(unprovable)) {
        expect({ name, rows: (await apart(session, statement)).rows }).toEqual({ name, rows: null });
      }
    });
  });

  it("sees rows that are read as a whole", async () => {
    await withSession(async (session) => {
      await setUp(session);
      expect((await apart(session, base)).wholeRows).toBe(false);
      const whole = "select day, count(sales)::int as cents from sales group by day";
      expect((await apart(session, whole)).wholeRows).toBe(true);
    });
  });
});
