import { describe, expect, it } from "vitest";
import { sqlKeyword, sqlWithoutLiterals } from "../../src/telemetry/sql.ts";

describe("statements in spans", () => {
  it.each([
    ["select 'a' || 'it''s'", "select ? || ?"],
    ["select e'a\\'b', E'c'", "select ?, ?"],
    ["select $1::text, $23::int8", "select $1::text, $23::int8"],
    ["select 1, -2.5, 1e10, 3.14e-5", "select ?, -?, ?, ?"],
    ["select t1.c2 from t1 where c2 = 7", "select t1.c2 from t1 where c2 = ?"],
    ["select $$ secret $$, $x$ a $$ b $x$", "select ?, ?"],
    ['select "it\'s" from "1 table"', 'select "it\'s" from "1 table"'],
    ["select 1 -- secret 'x'\n, 2 /* secret */ as b", "select ? , ? as b"],
    ["  select\n\n  a\tfrom b ", "select a from b"],
    ["select '--' , 'x' -- y", "select ? , ?"],
    ["values (date '2001-01-31', x'1F')", "values (date ?, x?)"],
  ])("%j", (text, expected) => {
    expect(sqlWithoutLiterals(text)).toBe(expected);
  });

  it("are cut", () => {
    expect(sqlWithoutLiterals(`select ${"a, ".repeat(5_000)} b`)).toHaveLength(2_001);
  });

  it.each([
    ["select 1", "SELECT"],
    ["-- why\n  /* and */ with x as (select 1) select 1", "WITH"],
    ["(select 1)", "SELECT"],
    ["", "SQL"],
  ])("are named by their keyword: %j", (text, keyword) => {
    expect(sqlKeyword(text)).toBe(keyword);
  });
});
