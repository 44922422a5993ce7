/** The correspondence of one instance, as its settings say: OpenLineage events. */
import { createRequire } from "node:module";
import type { Catalog } from "../catalog/catalog.ts";
import { type Correspondence, Messenger } from "../executor/messenger.ts";
import type { Place } from "../lineage/openlineage.ts";
import type { OpenLineageSettings } from "../lineage/settings.ts";
import { eventSender } from "../lineage/transport.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Database } from "../tx.ts";
import { LineageTeller } from "./tell-lineage.ts";

export interface MessengerParts {
  readonly database: Database;
  readonly databaseUrl: string;
  readonly catalog: Catalog;
  readonly openLineage: OpenLineageSettings | undefined;
  readonly log: Logger | undefined;
}

/** Undefined where there is nobody to tell anything. */
export function messenger(parts: MessengerParts): Messenger | undefined {
  const correspondences = openLineage(parts);
  if (correspondences.length === 0) return undefined;
  const { database, log } = parts;
  return new Messenger({ database, correspondences, onError: (message, error) => log?.warn({ err: error }, message) });
}

function openLineage({ database, databaseUrl, catalog, openLineage: settings }: MessengerParts): Correspondence[] {
  if (settings === undefined) return [];
  const send = eventSender(settings.transport);
  let teller: LineageTeller | undefined;
  const opened = async (): Promise<LineageTeller> => {
    teller ??= new LineageTeller({
      database,
      catalog,
      place: await placeOf(database, databaseUrl, settings),
      sql: settings.sql,
    });
    return teller;
  };
  return [
    { channel: "openlineage", tell: async (term) => (await opened()).tell(term), send: ({ body }) => send(body) },
  ];
}

/** Without user and password. */
async function placeOf(database: Database, databaseUrl: string, { namespace }: OpenLineageSettings): Promise<Place> {
  const { hostname, port } = new URL(databaseUrl);
  const [row] = await database.query<{ database: string; engine: string }>(
    "select current_database()::text as database, current_setting('server_version') as engine",
  );
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  return {
    ...{ jobs: namespace, tables: `postgres://${hostname}:${port || "5432"}` },
    ...{ database: row?.database ?? "", engine: row?.engine ?? "", version },
  };
}
