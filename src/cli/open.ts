/** Opens an instance for one command: configuration, servers, actor. */
import { actorNameFrom, type Config, type Settings } from "../config.ts";
import { resolveSettings } from "../config.ts";
import { attachEmbeddedServers, openEmbeddedServers } from "../embedded/servers.ts";
import { RederiveError } from "../errors.ts";
import { type Acting, createRederive, type Rederive } from "../rederive.ts";
import type { Logger } from "../telemetry/log.ts";
import { loadConfig } from "./load-config.ts";
import { createOutput, type Output } from "./output.ts";

/** Options that every command has. */
export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export interface Opened {
  readonly rederive: Rederive;
  /** The use cases, as the local admin. */
  readonly acting: Acting;
  readonly output: Output;
  readonly configPath: string;
}

export interface OpenOptions {
  /** A process of a fleet: it never starts or looks for embedded servers. */
  readonly fleet?: boolean;
  /** `dev`: starts embedded servers where no database is named. */
  readonly embedded?: boolean;
  readonly change?: (config: Config) => Config;
  /** Does not look at the control schema while opening. */
  readonly unchecked?: boolean;
  /** Default: silence; a command tells people what they need. */
  readonly log?: Logger;
}

/** Opens, runs `work`, and closes whatever happens. */
export async function withRederive(
  options: CommonOptions,
  work: (opened: Opened) => Promise<void>,
  open: OpenOptions = {},
): Promise<void> {
  const output = createOutput(options.json === true);
  const { config: loaded, path } = await loadConfig(options.config);
  const servers = await serversFor(open.change ? open.change(loaded) : loaded, open, output);
  try {
    const rederive = await createRederive(servers.config, { log: open.log, unchecked: open.unchecked === true });
    try {
      await work({ rederive, acting: rederive.as({ name: actorNameFrom(), role: "admin" }), output, configPath: path });
    } finally {
      output.endProgress();
      await rederive.close();
    }
  } finally {
    await servers.stop();
  }
}

interface Servers {
  readonly config: Config;
  stop(): Promise<void>;
}

/** A named database wins; then servers of this project that run already; then embedded ones, where asked for. */
async function serversFor(config: Config, open: OpenOptions, output: Output): Promise<Servers> {
  const { settings } = resolveSettings(config);
  const nothing = async (): Promise<void> => {};
  if (settings.databaseUrl !== undefined) return { config, stop: nothing };
  if (open.fleet === true) {
    throw new RederiveError("configuration", "DATABASE_URL is not set; a process of a fleet needs the database that the others use");
  }
  const running = attachEmbeddedServers(settings.embeddedDirectory);
  if (running) return { config: { ...config, ...running }, stop: nothing };
  if (!settings.embedded && open.embedded !== true) {
    throw new RederiveError(
      "configuration",
      'DATABASE_URL is not set; set it, or run "rederive dev" in another terminal, or set REDERIVE_EMBEDDED=1 for an embedded Postgres',
    );
  }
  return startEmbedded(config, settings, output);
}

async function startEmbedded(config: Config, settings: Settings, output: Output): Promise<Servers> {
  const servers = await openEmbeddedServers({ directory: settings.embeddedDirectory, searchPath: settings.searchPath });
  output.note(`using ${servers.description}`);
  return {
    config: { ...config, databaseUrl: servers.databaseUrl, redisUrl: config.redisUrl ?? servers.redisUrl },
    stop: () => servers.stop(),
  };
}
