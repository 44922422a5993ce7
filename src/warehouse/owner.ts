/**
 * Who owns the tables that backfills make. Where `rederive migrate --roles` has set up the roles of a deployment, they belong
 * to a role that all processes have in common; elsewhere to whoever made them.
 */
import type { Tx } from "../tx.ts";

const owner = "rederive_data";

/** Run it in the transaction that makes the table. */
export async function shareTable(tx: Tx, table: string): Promise<void> {
  const [shared] = await tx.query(
    `select from pg_catalog.pg_roles r join pg_catalog.pg_roles me on me.rolname = current_user
     where r.rolname = $1::text and not me.rolsuper and pg_has_role(r.oid, 'member')`,
    [owner],
  );
  if (shared !== undefined) await tx.query(`alter table ${table} owner to ${owner}`);
}
