/** Assumptions: what a dataset's transforms take for granted about tables, with a query that finds what breaks it. */
import { sql as drizzleSql, type SQL } from "drizzle-orm";
import { statementText } from "./literal.ts";

export interface Assumption {
  readonly kind: "assumption";
  /** What is taken for granted, as a sentence for people. */
  readonly description: string;
  /** Its rows break the assumption. Reads tables by their names. */
  readonly statement: string;
}

/**
 * Something that is taken for granted about the data: `assume("orders are never edited after 30 days", sql`select …`)`.
 * The query gives the rows that break it; it reads live tables by name. It is run before each plan and each start of the
 * dataset, or of one that reads it, near or far. One that is broken refuses them with `assumption_broken`.
 */
export function assume(description: string, statement: SQL | string): Assumption {
  const text = statementText(typeof statement === "string" ? drizzleSql.raw(statement) : statement);
  return Object.freeze({ kind: "assumption", description, statement: text });
}
