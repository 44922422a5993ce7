/** Table `definition`: what stands behind a fingerprint or a metadata hash, written once under its hash. */
import type { DataShape, MetadataShape } from "../catalog/definition.ts";
import type { Tx } from "../tx.ts";

export interface KeptDefinition {
  readonly hash: string;
  readonly dataset: string;
  readonly content: DataShape | MetadataShape;
}

/** Keeps those that are not there yet. */
export async function keepDefinitions(tx: Tx, definitions: readonly KeptDefinition[]): Promise<void> {
  // Sorted, because two plans that insert the same hashes in different orders would wait for each other.
  const sorted = [...definitions].sort((a, b) => (a.hash < b.hash ? -1 : 1));
  await tx.query(
    `insert into rederive.definition (hash, dataset, content)
     select d.hash, d.dataset, d.content::jsonb from unnest($1::text[], $2::text[], $3::text[]) as d (hash, dataset, content)
     on conflict (hash) do nothing`,
    [
      sorted.map((each) => each.hash),
      sorted.map((each) => each.dataset),
      sorted.map((each) => JSON.stringify(each.content)),
    ],
  );
}

/** The content behind these hashes; hashes of older versions, which did not keep it, are left out. */
export async function definitionsBehind<Content extends DataShape | MetadataShape>(
  tx: Tx,
  hashes: readonly string[],
): Promise<Map<string, Content>> {
  const rows = await tx.query<{ hash: string; content: Content }>(
    "select hash, content from rederive.definition where hash = any($1::text[])",
    [hashes],
  );
  return new Map(rows.map((row) => [row.hash, row.content]));
}
