import { describe, expect, it } from "vitest";
import { canonicalType, type TypeChange, typeChange } from "../../src/planner/column-types.ts";

describe("canonicalType", () => {
  it.each([
    ["varchar(3)", "character varying(3)"],
    ["numeric(12, 2)", "numeric(12,2)"],
    ["numeric(12)", "numeric(12,0)"],
    ["serial", "integer"],
    ["char", "character(1)"],
    ["timestamp with time zone", "timestamp with time zone"],
    ["timestamp (3) with time zone", "timestamp(3) with time zone"],
    ["timestamp", "timestamp without time zone"],
    ["double precision", "double precision"],
    ["text[]", "text[]"],
    ["INT8", "bigint"],
    ['public."Mood"', 'public."Mood"'],
    ["mood", "mood"],
  ])("writes %s as %s", (given, canonical) => {
    expect(canonicalType(given)).toBe(canonical);
    expect(canonicalType(canonical)).toBe(canonical);
  });
});

describe("typeChange", () => {
  it.each<[string, string, TypeChange]>([
    ["integer", "int4", "same"],
    ["integer", "bigint", "widened"],
    ["bigint", "integer", "narrowed"],
    ["bigint", "numeric", "widened"],
    ["bigint", "numeric(12,2)", "other"],
    ["smallint", "numeric(8,2)", "widened"],
    ["numeric(12,2)", "numeric(14,4)", "widened"],
    ["numeric(12,2)", "numeric(12,4)", "other"],
    ["numeric", "numeric(12,2)", "narrowed"],
    ["text", "varchar(10)", "narrowed"],
    ["varchar(3)", "varchar(10)", "widened"],
    ["char(3)", "text", "widened"],
    ["varchar(3)", "char(3)", "narrowed"],
    ["real", "double precision", "widened"],
    ["bigint", "double precision", "other"],
    ["timestamp(3)", "timestamp", "widened"],
    ["timestamp", "timestamp with time zone", "other"],
    ["text", "integer", "other"],
    ["text[]", "text", "other"],
    ["integer[]", "bigint[]", "widened"],
    ["mood", "temper", "other"],
  ])("from %s to %s is %s", (was, is, change) => {
    expect(typeChange(was, is)).toBe(change);
  });
});
