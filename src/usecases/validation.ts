/** What scheduled looks have found in live data, by dataset in the order of the catalog. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import type { CheckOutcome, LiveValidation } from "../report.ts";
import { liveFailures, looks, type WatchRow } from "../store/watches.ts";
import type { Tx } from "../tx.ts";

const failuresShown = 20;

export async function validation({
  catalog,
  database,
}: {
  readonly catalog: Catalog;
  readonly database: Tx;
}): Promise<LiveValidation[]> {
  const rows = new Map((await looks(database)).map((row) => [row.dataset, row]));
  const known: LiveValidation[] = [];
  for (const name of catalog.order) {
    const derived = catalog.datasets.get(name);
    if (derived?.kind !== "derived" || derived.validate === undefined) continue;
    known.push(await validationOf(database, derived as Derived, derived.validate.every, rows.get(name)));
  }
  return known;
}

async function validationOf(
  tx: Tx,
  derived: Derived,
  every: string,
  row: WatchRow | undefined,
): Promise<LiveValidation> {
  const { startedAt = null, finishedAt = null, checked = null, failing = null, error = null } = row ?? {};
  const failures = (failing ?? 0) > 0 ? await failuresOf(tx, derived) : [];
  return { dataset: derived.name, every, startedAt, finishedAt, checked, failing, error, failures };
}

async function failuresOf(tx: Tx, { name, partitions }: Derived): Promise<CheckOutcome[]> {
  const rows = await liveFailures(tx, name, failuresShown);
  return rows.map((row) => ({ ...row, partition: row.partition === null ? null : labelOf(partitions, row.partition) }));
}
