/** What the chapters work with: a private Postgres (and Redis, where there is one), and an instance of rederive on it. */
import { fileURLToPath } from "node:url";
import type pg from "pg";
import { type Actor, type Config, createRederive, type Rederive } from "rederive";
import { resolveSettings } from "../../src/config.ts";
import { type EmbeddedServers, openEmbeddedServers } from "../../src/embedded/servers.ts";
import type { Options } from "./options.ts";
import config from "./rederive.config.ts";
import type { Story } from "./story.ts";

export interface Stage {
  readonly options: Options;
  readonly story: Story;
  readonly servers: EmbeddedServers;
  readonly client: pg.Client;
}

export const actor: Actor = { name: "demo", role: "admin" };

/** Postgres for one large machine-load and nothing else; a crash may lose the demo, never a user's data. */
const postgresSettings = {
  shared_buffers: "512MB",
  work_mem: "64MB",
  max_wal_size: "8GB",
  wal_level: "minimal",
  max_wal_senders: "0",
  jit: "off",
};

export function startServers({ queues }: Options): Promise<EmbeddedServers> {
  const { settings } = resolveSettings(config);
  return openEmbeddedServers({
    directory: ".rederive/demo",
    settings: postgresSettings,
    searchPath: queues === "postgres" ? "" : settings.searchPath,
  });
}

/** Two demos in one database would drop each other's tables. The lock ends with the connection. */
export async function takeDatabase(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ taken: boolean }>(
    "select pg_try_advisory_lock(hashtext('flights demo')) as taken",
  );
  if (rows[0]?.taken !== true) throw new Error("another demo runs in this folder; wait until it has ended");
}

export function open({ servers }: Stage, definition: Config): Promise<Rederive> {
  return createRederive({
    ...definition,
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
    environment: "development",
    lockFile: fileURLToPath(new URL("rederive.lock.json", import.meta.url)),
  });
}
