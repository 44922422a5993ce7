/** Databases in which the goods were computed and promoted once, cloned for each test, and instances on them. */
import { createRederive, type Rederive } from "rederive";
import { createTestDatabase as createDatabase, runToEnd, tester, withTestDatabase } from "rederive/testing";
import { inject } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { goods, tables } from "./goods.ts";

export interface Stage {
  readonly database: Database;
  readonly url: string;
  /** An instance with this catalog; closed at the end. */
  readonly open: (catalog: Catalog) => Promise<Rederive>;
}

/** Runs `callback` on a database of its own; `template` is the name of one to clone, else the tables are made anew. */
export async function withStage(
  template: string | undefined,
  callback: (stage: Stage) => Promise<void>,
): Promise<void> {
  await withTestDatabase(
    inject("databaseUrl"),
    async (url) => {
      const opened: Rederive[] = [];
      const database = openDatabase(url, { max: 2 });
      try {
        if (template === undefined) for (const statement of tables) await database.query(statement);
        await callback({
          database,
          url,
          open: async (catalog) => {
            const rederive = await createRederive({ catalog, databaseUrl: url, environment: "test" });
            opened.push(rederive);
            return rederive;
          },
        });
      } finally {
        for (const rederive of opened) await rederive.close();
        await database.close();
      }
    },
    template === undefined ? {} : { template, migrated: false },
  );
}

/** A database with everything computed and live; its name is a template for `withStage`. Nobody stays connected. */
export async function createTemplate(): Promise<{ name: string; drop: () => Promise<void> }> {
  const { url, drop } = await createDatabase(inject("databaseUrl"));
  const database = openDatabase(url, { max: 1 });
  for (const statement of tables) await database.query(statement);
  await database.close();
  const rederive = await createRederive({ catalog: goods(), databaseUrl: url, environment: "test" });
  try {
    const backfill = await rederive.as(tester).plan({ reason: "first" });
    const status = await runToEnd(rederive, backfill, { workers: 4 });
    if (status.state !== "verified" || status.failedChecks.length > 0) throw new Error(JSON.stringify(status, null, 1));
    await backfill.promote({ reason: "first" });
  } finally {
    await rederive.close();
  }
  return { name: new URL(url).pathname.slice(1), drop };
}
