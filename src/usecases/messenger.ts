/** The correspondence of one instance, as its settings say: OpenLineage events, and webhooks about exposures. */
import { createRequire } from "node:module";
import type { Catalog } from "../catalog/catalog.ts";
import type { Settings } from "../config.ts";
import { type Correspondence, Messenger } from "../executor/messenger.ts";
import type { Place } from "../lineage/openlineage.ts";
import type { OpenLineageSettings } from "../lineage/settings.ts";
import { eventSender } from "../lineage/transport.ts";
import { callWebhook } from "../lineage/webhook.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Database } from "../tx.ts";
import { ExposureTeller } from "./exposures.ts";
import { LineageTeller } from "./tell-lineage.ts";

export interface MessengerParts {
  readonly database: Database;
  readonly databaseUrl: string;
  readonly catalog: Catalog;
  readonly openLineage: OpenLineageSettings | undefined;
  readonly settings: Pick<Settings, "webhooks" | "webhookSecret">;
  readonly log: Logger | undefined;
}

export function messenger(parts: MessengerParts): Messenger {
  const { database, log } = parts;
  const correspondences = [...openLineage(parts), webhooks(parts)];
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

/** Also where nobody is called: the view of the exposures' status needs to know them. */
function webhooks({ database, catalog, settings }: MessengerParts): Correspondence {
  const { webhooks: targets, webhookSecret } = settings;
  const teller = new ExposureTeller({ database, catalog, webhooks: targets });
  return {
    channel: "webhook",
    tell: (term) => teller.tell(term),
    send: async ({ id, target, body }) => {
      const webhook = targets.find(({ url }) => url === target);
      // Who was taken out of the configuration is not called any more.
      if (webhook === undefined || webhookSecret === undefined) return undefined;
      const { url, allowLoopback } = webhook;
      return callWebhook({ url, secret: webhookSecret, allowLoopback, id, body, now: Date.now() });
    },
  };
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
