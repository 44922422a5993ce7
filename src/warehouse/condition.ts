/**
 * A condition that a person writes over the owned columns of a dataset: whether it may be asked of rows at all.
 *
 * It is compiled as a view in a transaction part that is rolled back. The view's own tree says whether it reads anything
 * beside the row, and which functions it calls, so that a condition can neither look elsewhere nor do anything.
 */
import type { Derived } from "../catalog/dataset.ts";
import { messageOf, RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { clockFaults } from "./clock.ts";
import { compileView, pinLocally, rolledBack } from "./compiled.ts";
import { judgeFunctions } from "./functions.ts";
import { identifiers, tableName } from "./quote.ts";
import { scanSql } from "./sql-text.ts";

const view = "rederive_condition";

/** The condition for the row of this alias: true, or false where it is not true. */
export function holdsFor(derived: Derived, condition: string, alias: string): string {
  const values = derived.owned.map((column) => `${alias}.${identifiers([column.name])}`).join(", ");
  return `coalesce((select (${condition}\n) from (select ${values}) as differing), false)`;
}

/** Throws `usage` where the condition cannot be asked, with everything that is wrong. Must run inside a transaction. */
export async function requireCondition(tx: Tx, derived: Derived, condition: string): Promise<void> {
  const { faults, literals } = scanSql(condition);
  const all = faults.length > 0 ? faults : await compiledFaults(tx, derived, condition, literals);
  if (all.length === 0) return;
  throw new RederiveError(
    "usage",
    `"${condition}" cannot be expected of the rows of ${derived.name}: ${all.join("; ")}; ` +
      `write a condition over ${derived.owned.map((column) => column.name).join(", ")}`,
    { details: { dataset: derived.name, faults: all } },
  );
}

async function compiledFaults(
  tx: Tx,
  derived: Derived,
  condition: string,
  literals: readonly string[],
): Promise<string[]> {
  return rolledBack(tx, "rederive_condition", async () => {
    await pinLocally(tx);
    const table = tableName(derived.table);
    const owned = identifiers(derived.owned.map((column) => column.name));
    const statement = `select from (select ${owned} from ${table}) as differing where (${condition}\n)`;
    const compiled = await compileView(tx, view, statement);
    if ("failure" in compiled) return [messageOf(compiled.failure)];
    const { tree } = compiled;
    const { faults } = await judgeFunctions(tx, derived, tree.functions);
    const elsewhere = await relationsBeside(tx, table, tree.relations);
    return [...elsewhere.map((name) => `it reads ${name}`), ...clockFaults(tree, literals), ...faults];
  });
}

async function relationsBeside(tx: Tx, table: string, relations: readonly number[]): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `select id::regclass::text as name from unnest($2::text[]::oid[]) as r (id)
     where id <> $1::text::regclass and id <> $3::text::regclass order by 1`,
    [table, relations.map(String), `pg_temp.${view}`],
  );
  return rows.map((row) => row.name);
}
