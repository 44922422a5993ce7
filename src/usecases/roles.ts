/** Sets up the Postgres roles of a deployment, in one transaction: run it again after each migration or change of the catalog. */
import type { Catalog } from "../catalog/catalog.ts";
import { openDatabase } from "../store/postgres.ts";
import { createRoles, grantControlRights, groupRoles } from "../store/roles.ts";
import { grantDatasetRights } from "../warehouse/grants.ts";

/** Gives the group roles, to be granted to the login users of the deployment. */
export async function setUpRoles(databaseUrl: string, catalog: Catalog): Promise<readonly string[]> {
  const database = openDatabase(databaseUrl, { max: 1 });
  try {
    await database.transaction(async (tx) => {
      await createRoles(tx);
      await grantControlRights(tx);
      await grantDatasetRights(tx, [...catalog.datasets.values()]);
    });
  } finally {
    await database.close();
  }
  return groupRoles;
}
