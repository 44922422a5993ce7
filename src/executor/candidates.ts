/**
 * Looks after candidate tables: has them analysed as they fill, much sooner than autovacuum would, because consumers are
 * planned on them at once; and drops those of backfills that were given up, and what a sampled replay left that was killed.
 */
import { leftoverTables } from "../store/backfills.ts";
import type { Database } from "../tx.ts";
import { analyzeTable, dropTable, grownCandidates } from "../warehouse/candidate.ts";
import { abandonedScratchSchemas, dropScratchSchema } from "../warehouse/scratch.ts";

export interface Tended {
  readonly analyzed: number;
  readonly dropped: number;
}

/** One look. A table that somebody still works on is left for the next one. */
export async function tendCandidates(database: Database): Promise<Tended> {
  const grown = await grownCandidates(database);
  for (const table of grown) await database.transaction((tx) => analyzeTable(tx, table));
  const leftovers = await leftoverTables(database);
  for (const table of leftovers) {
    await database.transaction(async (tx) => {
      // An attempt that was cancelled may hold the table for a moment longer.
      await tx.query("set local lock_timeout = '200ms'");
      await dropTable(tx, table);
    });
  }
  await dropAbandonedScratch(database);
  return { analyzed: grown.length, dropped: leftovers.length };
}

/** Drops the schemas of sampled replays that ended without doing so. Returns how many. */
export async function dropAbandonedScratch(database: Database): Promise<number> {
  return database.transaction(async (tx) => {
    const schemas = await abandonedScratchSchemas(tx);
    for (const schema of schemas) await dropScratchSchema(tx, schema, 200);
    return schemas.length;
  });
}
