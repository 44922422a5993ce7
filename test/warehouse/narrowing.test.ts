/** What of the inputs the values of a result's row narrow down to, and what is said not to be certain. */
import { describe, expect, it } from "vitest";
import { compiledQuery } from "../../src/warehouse/column-lineage.ts";
import { narrow } from "../../src/warehouse/narrowing.ts";
import { equalityOperators } from "../../src/warehouse/row-origin.ts";
import { withResult } from "./sales.ts";

/** Statement; the places as handle(column=result column); the doubts. */
const cases: readonly [name: string, statement: string, places: string, doubts: string[]][] = [
  ["a group", "select code as a, sum(cents)::text as b from sales group by code", "sales(code=a)", []],
  ["an expression", "select upper(code) as a, code as b from sales", "sales(code=b)", []],
  [
    "a join that spreads a value",
    "select s.code as a, r.rate::text as b from sales s join rates r on r.code = s.code",
    "sales(code=a) rates(code=a)",
    [],
  ],
  [
    "a join by a column that is not shown",
    "select r.rate::text as a, s.day::text as b from sales s join rates r on r.code = s.code",
    "sales() rates()",
    ["a join may leave rows without a partner out"],
  ],
  [
    "a filter",
    "select code as a, '' as b from sales where cents > 0",
    "sales(code=a)",
    ["a condition leaves rows out"],
  ],
  [
    "an outer join",
    "select s.code as a, r.rate::text as b from sales s left join rates r on r.code = s.code",
    "sales(code=a) rates(code=a)",
    ["an outer join keeps rows without a partner"],
  ],
  [
    "a window, by its partition alone",
    "select code as a, (rank() over (partition by code order by cents))::text as b from sales",
    "sales(code=a)",
    ["a window function looks at other rows too"],
  ],
  [
    "a window over everything",
    "select code as a, (rank() over (order by cents))::text as b from sales",
    "sales()",
    ["a window function looks at other rows too"],
  ],
  [
    "both sides of a union, through a common table expression",
    "with x as (select code c from sales) select c as a, '' as b from x union all select code, '' from rates",
    "sales(code=a) rates(code=a)",
    [],
  ],
  [
    "an except",
    "select code as a, '' as b from sales except select code, '' from rates",
    "sales(code=a) rates(code=a)",
    ["an intersect or except decides which rows stay"],
  ],
  [
    "a limit, a having clause and a subquery in an expression",
    "select code as a, (select max(rate) from rates)::text as b from sales group by code having count(*) > 1 limit 5",
    "rates() sales(code=a)",
    [
      "a limit leaves rows out",
      "a having clause decides which groups stay",
      "a subquery in an expression reads rows of its own",
    ],
  ],
];

describe("narrowing", () => {
  for (const [name, statement, places, doubts] of cases) {
    it(`by ${name}`, () =>
      withResult(statement, async (session, result) => {
        const { query, relations } = await compiledQuery(session, result);
        const found = narrow(query, relations, ["a", "b"], await equalityOperators(session));
        const shown = found.places.map(
          ({ input, by }) =>
            `${input}(${Object.entries(by)
              .map((pair) => pair.join("="))
              .join(",")})`,
        );
        expect([shown.join(" "), found.doubts]).toEqual([places, doubts]);
      }));
  }
});
