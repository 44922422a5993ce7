/** How the data behind an exposure is, and telling those who want to know when that changes. */
import type { Catalog } from "../catalog/catalog.ts";
import type { Dataset, Exposure } from "../catalog/dataset.ts";
import type { WebhookSettings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import type { Term } from "../executor/settle.ts";
import type { ExposureStatus } from "../report.ts";
import { readDatasets } from "../store/backfills.ts";
import {
  changedExposures,
  type ExposureChange,
  type ExposureRow,
  exposureStatus,
  noteExposure,
  syncExposures,
} from "../store/exposures.ts";
import { holdTerm } from "../store/leaders.ts";
import { addMessage } from "../store/messages.ts";
import { didYouMean } from "../suggest.ts";
import type { Database } from "../tx.ts";
import type { Context } from "./context.ts";

/** Throws `not_found` for a name that the catalog does not have. */
export async function exposure(context: Context, name: string): Promise<ExposureStatus> {
  const { catalog, database } = context;
  const found = catalog.exposures.find((each) => each.name === name);
  if (found === undefined) {
    const hint = didYouMean(
      name,
      catalog.exposures.map((each) => each.name),
    );
    throw new RederiveError(
      "not_found",
      `there is no exposure ${JSON.stringify(name.slice(0, 80))} in the catalog${hint}`,
    );
  }
  const { description, owner } = found;
  // The table is filled by the planner; where none has run yet, nobody knows of the exposure.
  let status = await exposureStatus(database, name);
  if (status === undefined) {
    await database.transaction((tx) => syncExposures(tx, rowsOf(catalog)));
    status = await exposureStatus(database, name);
  }
  if (status === undefined) throw new RederiveError("internal", `the exposure ${name} was not written down`);
  return {
    ...status,
    backfills: await backfillsInSight(context, status.backfills),
    ...(description === undefined ? {} : { description }),
    ...(owner === undefined ? {} : { owner }),
  };
}

/** Those that recompute something of the actor's. */
async function backfillsInSight({ database, sight }: Context, ids: readonly string[]): Promise<readonly string[]> {
  if (sight === undefined) return ids;
  // Those that are under way have their datasets written down; a plan alone touches no exposure.
  const touched = await Promise.all(ids.map((id) => readDatasets(database, id)));
  return ids.filter((_id, index) => touched[index]?.some(({ dataset }) => sight.datasets.has(dataset)));
}

/** What the exposures of a catalog read and depend on. */
function rowsOf({ exposures }: Catalog): ExposureRow[] {
  return exposures.map(({ name, criticality, reads }: Exposure) => ({
    ...{ name, criticality, reads: reads.map((dataset) => dataset.name) },
    upstream: [...derivedAbove(reads)],
  }));
}

function derivedAbove(datasets: readonly Dataset[], found = new Set<string>()): Set<string> {
  for (const dataset of datasets) {
    if (dataset.kind !== "derived" || found.has(dataset.name)) continue;
    found.add(dataset.name);
    derivedAbove(
      dataset.inputs.map((input) => input.dataset),
      found,
    );
  }
  return found;
}

export interface ExposureTellerOptions {
  readonly database: Database;
  readonly catalog: Catalog;
  readonly webhooks: readonly WebhookSettings[];
}

/** Looks at the exposures, and writes a message for each webhook that wants to know of one that has changed. */
export class ExposureTeller {
  readonly #options: ExposureTellerOptions;
  #synced = false;

  constructor(options: ExposureTellerOptions) {
    this.#options = options;
  }

  async tell(term: Term): Promise<number> {
    const { database, catalog, webhooks } = this.#options;
    if (this.#synced && (webhooks.length === 0 || catalog.exposures.length === 0)) return 0;
    return database.transaction(async (tx) => {
      if (!(await holdTerm(tx, term))) return 0;
      if (!this.#synced) await syncExposures(tx, rowsOf(catalog));
      this.#synced = true;
      let told = 0;
      for (const change of webhooks.length === 0 ? [] : await changedExposures(tx)) {
        await noteExposure(tx, change.exposure, change.status);
        // The first look tells how it is, which is no change.
        if (change.before === null) continue;
        for (const { url } of webhooks.filter((webhook) => wants(webhook, change))) {
          await addMessage(tx, "webhook", url, bodyOf(change));
          told += 1;
        }
      }
      return told;
    });
  }
}

function wants({ exposures }: WebhookSettings, { exposure: name }: ExposureChange): boolean {
  return exposures === undefined || exposures.includes(name);
}

function bodyOf(change: ExposureChange): string {
  return JSON.stringify({ event: "exposure.changed", at: new Date().toISOString(), ...change });
}
