/**
 * What a scheduled look found stays known after its schedule was taken out of the catalog, and with it that exposures are
 * `diverged`: the rows are still wrong. No other look will correct it, so it is corrected where somebody checks the live
 * content, or puts other content in its place.
 */
import { recountFailures } from "../store/watches.ts";
import type { Context } from "./context.ts";

/** Of these datasets, those without a schedule. */
export async function correctUnwatched(
  { catalog, database }: Pick<Context, "catalog" | "database">,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    const dataset = catalog.datasets.get(name);
    if (dataset?.kind === "derived" && dataset.validate === undefined) await recountFailures(database, name);
  }
}
