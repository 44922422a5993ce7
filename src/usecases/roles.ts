/** Sets up the Postgres roles of a deployment, in one transaction: run it again after each migration or change of the catalog. */
import type { Catalog } from "../catalog/catalog.ts";
import { openDatabase } from "../store/postgres.ts";
import { createRoles, grantControlRights, grantSessionRights, groupRoles, sessionRights } from "../store/roles.ts";
import { grantDatasetRights } from "../warehouse/grants.ts";

export interface RolesSetUp {
  /** Group roles, to be granted to the login users of the deployment. */
  readonly roles: readonly string[];
  /** What `rederive_worker` needs and only a superuser may grant. */
  readonly missing: readonly string[];
}

export async function setUpRoles(databaseUrl: string, catalog: Catalog): Promise<RolesSetUp> {
  const database = openDatabase(databaseUrl, { max: 1 });
  try {
    return await database.transaction(async (tx) => {
      await createRoles(tx);
      await grantControlRights(tx);
      await grantDatasetRights(tx, [...catalog.datasets.values()]);
      return { roles: groupRoles, missing: (await grantSessionRights(tx)) ? [] : sessionRights };
    });
  } finally {
    await database.close();
  }
}
