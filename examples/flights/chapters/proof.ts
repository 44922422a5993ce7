/** The proof: every row equals an independent recomputation in SQL. */
import { type Divergence, divergence, type FlightsVersion } from "../oracle.ts";
import type { DerivedTable } from "../schema.ts";
import type { Stage } from "../stage.ts";
import { count, plural } from "../story.ts";

/** Compares with the oracle and returns how many rows differ. */
export async function prove(
  { story, client }: Stage,
  version: FlightsVersion,
  tables?: readonly DerivedTable[],
): Promise<number> {
  const found = await story.timed(
    ({ rows, tables: compared }: Divergence) =>
      `rows of ${plural(compared.length, "table")} that differ from an independent recomputation in SQL: ${count(rows)}`,
    () => divergence(client, version, tables),
  );
  for (const { table, missing, unexpected } of found.tables) {
    if (missing + unexpected > 0) story.line(`  ${table}: ${count(missing)} missing, ${count(unexpected)} unexpected`);
  }
  return found.rows;
}
