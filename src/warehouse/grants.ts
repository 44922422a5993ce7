/** What the roles of a deployment may do with users' tables: all read them, and only who promotes writes derived ones. */
import type { Derived, Source } from "../catalog/dataset.ts";
import type { Tx } from "../tx.ts";
import { tableName } from "./quote.ts";

const readers = "rederive_api, rederive_worker";
const promoter = "rederive_api";

/** Needs the right to grant on every table of the catalog, as their owners have it. */
export async function grantDatasetRights(tx: Tx, datasets: readonly (Source | Derived)[]): Promise<void> {
  for (const dataset of datasets) {
    const table = tableName(dataset.table);
    const [found] = await tx.query<{ schema: string }>(
      `select relnamespace::regnamespace::text as schema from pg_catalog.pg_class where oid = $1::text::regclass`,
      [table],
    );
    await tx.query(`grant usage on schema ${(found as { schema: string }).schema} to ${readers}`);
    await tx.query(`grant select on ${table} to ${readers}`);
    if (dataset.kind !== "derived") continue;
    await tx.query(`revoke insert, update, delete, truncate on ${table} from rederive_worker`);
    await tx.query(`grant insert, update, delete on ${table} to ${promoter}`);
    for (const sequence of await sequencesOf(tx, table))
      await tx.query(`grant usage on sequence ${sequence} to ${promoter}`);
  }
}

/** Behind columns such as serial: a row that a promotion inserts takes its default from there. */
async function sequencesOf(tx: Tx, table: string): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `select d.objid::regclass::text as name from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid
     where d.refobjid = $1::text::regclass and d.deptype = 'a' and s.relkind = 'S'`,
    [table],
  );
  return rows.map(({ name }) => name);
}
