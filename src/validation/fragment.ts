/** Pieces of SQL that several checks are made of. */
import type { PgColumn } from "drizzle-orm/pg-core";
import { constant, identifier } from "../warehouse/quote.ts";

/** An aggregate over the rows that a filter lets through. */
export function filtered(aggregate: string, filter: string | undefined): string {
  return filter === undefined ? aggregate : `${aggregate} filter (where (${filter}\n))`;
}

/** ` where …` of the conditions that are given, or nothing. */
export function where(...conditions: readonly (string | undefined)[]): string {
  const given = conditions.filter((condition) => condition !== undefined);
  return given.length === 0 ? "" : ` where ${given.map((condition) => `(${condition}\n)`).join(" and ")}`;
}

/** Two numbers differ by more than the tolerance. Not a number equals itself here, and has no distance to anything. */
export function apart(a: string, b: string, tolerance: number): string {
  return `${a} <> ${b}${tolerance === 0 ? "" : ` and (abs(${a} - ${b}) <= ${constant(tolerance)}) is not true`}`;
}

/** A column as an instant: dates and times without a zone are meant in UTC. */
export function instantOf(column: PgColumn): string {
  const name = identifier(column.name);
  return hasZone(column) ? name : `(${name}::timestamp at time zone 'UTC')`;
}

/** Type names as Postgres and drizzle write them: `timestamptz`, `timestamp (3) with time zone`. */
function hasZone(column: PgColumn): boolean {
  return /^timestamp(tz| ?(\(\d\) )?with time zone)/.test(column.getSQLType());
}

/** A condition that is false for not a number and infinities; undefined for types that have none of these. */
export function finiteness(column: PgColumn): string | undefined {
  const name = identifier(column.name);
  const type = column.getSQLType();
  return /^(numeric|decimal|real|double|float)/.test(type)
    ? `${name} < 'Infinity' and ${name} > '-Infinity'`
    : undefined;
}
