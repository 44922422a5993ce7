/** From which columns of the inputs each column of a statement comes, and what decides about its rows. */
import { sql } from "drizzle-orm";
import { describe, expect, it } from "vitest";
import { derived } from "../../src/catalog/dataset.ts";
import { type ColumnLineage, columnLineage } from "../../src/warehouse/column-lineage.ts";
import type { ColumnUse } from "../../src/warehouse/column-uses.ts";
import { inputs, resultTable, withResult, withSales } from "./sales.ts";

/** Statement; then what a, b and the rows come from, as handle.column:how. */
const cases: readonly [name: string, statement: string, a: string, b: string, rows: string][] = [
  [
    "columns as they are and expressions",
    "select code::varchar as a, upper(code) || cents as b from sales",
    "sales.code:identity",
    "sales.code:transformation sales.cents:transformation",
    "",
  ],
  [
    "aggregates, groups and filters",
    "select code as a, sum(cents + 1) filter (where day > '2020-01-01') as b from sales where cents > 0 group by code having count(day) > 1",
    "sales.code:identity",
    "sales.cents:aggregation sales.day:condition",
    "sales.cents:filter sales.code:group sales.day:filter",
  ],
  [
    "joins, through a subquery and a common table expression",
    "with r as (select code c, rate * 2 d from rates where rate > 1) select x.code as a, r.d as b from (select code, cents from sales) x join r on r.c = x.code",
    "sales.code:identity",
    "rates.rate:transformation",
    "rates.code:join sales.code:join rates.rate:filter",
  ],
  [
    "columns of a join with using",
    "select code as a, rate::text as b from sales full join rates using (code)",
    "sales.code:transformation rates.code:transformation",
    "rates.rate:transformation",
    "sales.code:join rates.code:join",
  ],
  [
    "a case, a window and a limit",
    "select case when cents > 1 then code else 'x' end as a, rank() over (partition by day order by cents) as b from sales order by code limit 3",
    "sales.cents:condition sales.code:transformation",
    "sales.day:window sales.cents:window",
    "sales.code:sort",
  ],
  [
    "a union of two inputs",
    "select code as a, cents::text as b from sales union all select code, rate::text from rates",
    "sales.code:identity rates.code:identity",
    "sales.cents:transformation rates.rate:transformation",
    "",
  ],
  [
    "a subquery in an expression, which refers to the row around it",
    "select code as a, (select max(rate) from rates r where r.code = s.code) as b from sales s",
    "sales.code:identity",
    "rates.rate:aggregation rates.code:filter sales.code:filter",
    "",
  ],
  [
    "a group of expressions, distinct rows and the whole row",
    "select distinct lower(code) as a, (s)::text as b from sales s group by 1, s.*",
    "sales.code:transformation",
    "sales.day:transformation sales.code:transformation sales.cents:transformation",
    "sales.code:group sales.day:group sales.cents:group",
  ],
  [
    "a recursive query",
    "with recursive t (c, n) as (select code, 1 from sales union all select c, n + 1 from t where n < 3) select c as a, n::text as b from t",
    "sales.code:identity",
    "",
    "",
  ],
  [
    "names that need quotes, and a lateral function",
    'select x.v as a, "odd "" name" as b from (select code as "odd "" name", cents from sales) y cross join lateral unnest(array[cents]) x (v)',
    "sales.cents:transformation",
    "sales.code:identity",
    "",
  ],
];

describe("column lineage", () => {
  for (const [name, statement, a, b, rows] of cases) {
    it(`follows ${name}`, () =>
      withResult(statement, async (session, result) => {
        const found = await columnLineage(session, result);
        expect({ a: usesOf(found, "a"), b: usesOf(found, "b"), rows: sorted(found.rows) }).toEqual({
          ...{ a: words(a), b: words(b), rows: words(rows) },
        });
        expect(found.proven).toBe(true);
      }));
  }

  it("says of a map that every column may be in every other", () =>
    withSales(async (session) => {
      const mapped = derived(resultTable, {
        version: 1,
        key: [resultTable.a],
        inputs: { sales: inputs.sales },
        read: ({ db, sales }) => db.select({ code: sales.code, cents: sales.cents }).from(sales).where(sql`cents > 0`),
        map: (row) => ({ a: row.code, b: String(row.cents) }),
      });
      const found = await columnLineage(session, mapped);
      const all = words("sales.cents:transformation sales.code:transformation");
      expect(found).toMatchObject({ proven: false, rows: [{ input: "sales", column: "cents", how: "filter" }] });
      expect([usesOf(found, "a"), usesOf(found, "b")]).toEqual([all, all]);
    }));
});

function usesOf({ columns }: ColumnLineage, name: string): string[] {
  return sorted(columns.find((column) => column.name === name)?.uses ?? []);
}

function sorted(uses: readonly ColumnUse[]): string[] {
  return uses.map(({ input, column, how }) => `${input}.${column}:${how}`).sort();
}

function words(text: string): string[] {
  return text
    .split(" ")
    .filter((word) => word !== "")
    .sort();
}
