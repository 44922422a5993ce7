/** What this role may not do with users' tables and would have to: read sources, write derived tables. */
import type { Derived, Source } from "../catalog/dataset.ts";
import type { Tx } from "../tx.ts";
import { tableName } from "./quote.ts";

export interface MissingRight {
  readonly object: string;
  readonly right: string;
  /** The statement that gives it. */
  readonly grant: string;
}

/** A table that is not there is named too, with what to do about it. */
export async function missingRights(tx: Tx, datasets: readonly (Source | Derived)[]): Promise<MissingRight[]> {
  const missing: MissingRight[] = [];
  for (const dataset of datasets) {
    const table = tableName(dataset.table);
    const rights = dataset.kind === "source" ? ["select"] : ["select", "insert", "update", "delete"];
    const rows = await tx.query<{ right: string; exists: boolean }>(
      `select r.right, to_regclass($1::text) is not null as exists
       from unnest($2::text[]) as r ("right")
       where to_regclass($1::text) is null or not has_table_privilege(to_regclass($1::text), r.right)`,
      [table, rights],
    );
    if (rows.some((row) => !row.exists)) {
      missing.push({
        object: `${table} (it does not exist)`,
        right: "the table",
        grant: "the application's own migrations",
      });
      continue;
    }
    for (const { right } of rows)
      missing.push({ object: table, right, grant: `grant ${right} on ${table} to current_user` });
  }
  return missing;
}
