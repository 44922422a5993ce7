/** Sales and rates, and a result that statements over them are tried on. */
import { sql } from "drizzle-orm";
import { date, integer, pgTable, text } from "drizzle-orm/pg-core";
import { type Derived, derived, source } from "../../src/catalog/dataset.ts";
import type { Session } from "../../src/warehouse/session.ts";
import { withSession } from "./support.ts";

const salesTable = pgTable("sales", { day: date("day"), code: text("code"), cents: integer("cents") });
const ratesTable = pgTable("rates", { code: text("code"), rate: integer("rate") });
export const resultTable = pgTable("result", { a: text("a"), b: text("b") });
export const inputs = { sales: source(salesTable), rates: source(ratesTable) };

/** The result as a statement gives it, in a transaction that is rolled back. */
export async function withResult(
  statement: string,
  callback: (session: Session, result: Derived) => Promise<void>,
): Promise<void> {
  const select = () => sql.raw(statement);
  await withSales((session) =>
    callback(session, derived(resultTable, { version: 1, key: [resultTable.a], inputs, select })),
  );
}

/** The tables, in a transaction that is rolled back. */
export function withSales(callback: (session: Session) => Promise<void>): Promise<void> {
  return withSession(async (session) => {
    await session.query("begin");
    for (const table of [
      "sales (day date, code text, cents int)",
      "rates (code text, rate int)",
      "result (a text, b text)",
    ]) {
      await session.query(`create table ${table}`);
    }
    await callback(session);
    await session.query("rollback");
  });
}
