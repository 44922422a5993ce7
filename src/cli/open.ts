/**
 * Opens an instance for one command: configuration → servers → lock file → telemetry → instance, and closes all of it
 * in the opposite order whatever happens. What is large is imported when it is needed, so that help and refusals are
 * quick.
 */
import type { Acting } from "../acting.ts";
import {
  actorNameFrom,
  actorTokenFrom,
  type Config,
  logLevelFrom,
  resolveSettings,
  type Settings,
  telemetryVariables,
} from "../config.ts";
import { RederiveError } from "../errors.ts";
import type { Actor } from "../governance/roles.ts";
import type { Rederive } from "../rederive.ts";
import { createLog, type Logger } from "../telemetry/log.ts";
import { startTelemetry, type Telemetry } from "../telemetry/sdk.ts";
import { loadConfig } from "./load-config.ts";
import { type LockMode, settleLock } from "./lock.ts";
import { createOutput, type Output } from "./output.ts";

/** Options that every command has. */
export interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
}

export interface Opened {
  readonly rederive: Rederive;
  /** The use cases, as whoever REDERIVE_TOKEN names; without one, outside of production, as the local admin. */
  readonly acting: Acting;
  readonly output: Output;
  /** For a process that serves; undefined in a command, which tells people what they need. */
  readonly log: Logger | undefined;
  /** The text behind /metrics, where this process keeps it. */
  readonly metrics: Telemetry["prometheus"];
}

export interface OpenOptions {
  /** A process that serves until it is stopped: it logs, and says in its telemetry what it is. */
  readonly role?: "dev" | "web" | "worker" | "planner";
  /** Default: the lock file only has to name every map. */
  readonly lock?: LockMode;
  readonly change?: (config: Config) => Config;
  /** Looks neither at the control schema nor at the lock file while opening. */
  readonly unchecked?: boolean;
  /** The command may be what makes the first admin's token. */
  readonly first?: boolean;
}

/** Opens, runs `work`, and closes whatever happens. */
export async function withRederive(
  options: CommonOptions,
  work: (opened: Opened) => Promise<void>,
  open: OpenOptions = {},
): Promise<void> {
  const output = createOutput(options.json === true);
  const { config: loaded } = await loadConfig(options.config);
  const config = open.change ? open.change(loaded) : loaded;
  if (open.lock !== undefined) await settleLock(resolveSettings(config), open.lock, output);
  await using servers = await serversFor(config, open, output);
  await using telemetry = await telemetryFor(open);
  const log = logFor(open);
  log?.info(`${open.role} starts`);
  const { createRederive } = await import("../rederive.ts");
  const rederive = await createRederive(servers.config, { log, unchecked: open.unchecked === true });
  try {
    const acting = rederive.as(await actorOf(rederive, open));
    await work({ rederive, acting, output, log, metrics: telemetry.prometheus });
  } finally {
    output.endProgress();
    await rederive.close();
  }
  log?.info(`${open.role} has stopped`);
}

/**
 * Whoever has the database's password could be anybody, so in production commands need a token. Processes of the fleet act
 * for nobody. Before there is an admin's token, the first one is made by whoever has the database.
 */
async function actorOf(rederive: Rederive, { role, first, unchecked }: OpenOptions): Promise<Actor> {
  const token = actorTokenFrom();
  if (token !== undefined) {
    const actor = await rederive.authenticate(token);
    if (actor !== undefined) return actor;
    throw new RederiveError(
      "unauthenticated",
      "REDERIVE_TOKEN is unknown, expired or revoked; ask an admin for another",
    );
  }
  const isOpen = rederive.settings.environment !== "production" || role !== undefined || unchecked === true;
  if (isOpen || (first === true && !(await rederive.hasAdmin()))) return { name: actorNameFrom(), role: "admin" };
  throw new RederiveError(
    "unauthenticated",
    'in production say who you are: set REDERIVE_TOKEN to a token of yours ("rederive token create" makes one)',
  );
}

function logFor({ role }: OpenOptions): Logger | undefined {
  if (role === undefined) return undefined;
  // In a terminal people read what the command prints; the log is for what went wrong.
  return createLog({ name: role, level: logLevelFrom(role === "dev" ? "warn" : "info") });
}

async function telemetryFor({ role }: OpenOptions): Promise<Telemetry & AsyncDisposable> {
  const telemetry = await startTelemetry({
    serviceName: "rederive",
    role: role === undefined ? "cli" : role === "dev" ? "web" : role,
    variables: telemetryVariables(),
  });
  return { ...telemetry, [Symbol.asyncDispose]: () => telemetry.shutdown() };
}

interface Servers extends AsyncDisposable {
  readonly config: Config;
}

/** A named database wins; then servers of this project that run already; then embedded ones, where asked for. */
async function serversFor(config: Config, { role }: OpenOptions, output: Output): Promise<Servers> {
  const { settings } = resolveSettings(config);
  if (settings.databaseUrl !== undefined) return others(config);
  // The processes of a fleet must agree on the database, so each is told, and none looks for servers in a folder.
  if (role !== undefined && role !== "dev") {
    throw new RederiveError(
      "configuration",
      `DATABASE_URL is not set; a process of a fleet needs the database that the others use`,
    );
  }
  const { attachEmbeddedServers, openEmbeddedServers } = await import("../embedded/servers.ts");
  const running = attachEmbeddedServers(settings.embeddedDirectory);
  if (running) return others(withServers(config, settings, running));
  if (!settings.embedded && role !== "dev") {
    throw new RederiveError(
      "configuration",
      'DATABASE_URL is not set; set it, or run "rederive dev" in another terminal, or set REDERIVE_EMBEDDED=1 for an embedded Postgres',
    );
  }
  const servers = await openEmbeddedServers({
    directory: settings.embeddedDirectory,
    // A Redis that is named already is not started again.
    searchPath: settings.redisUrl === undefined ? settings.searchPath : "",
  });
  output.note(`using ${servers.description}`);
  return { config: withServers(config, settings, servers), [Symbol.asyncDispose]: () => servers.stop() };
}

function withServers(
  config: Config,
  settings: Settings,
  servers: { readonly databaseUrl: string; readonly redisUrl: string | undefined },
): Config {
  return { ...config, databaseUrl: servers.databaseUrl, redisUrl: settings.redisUrl ?? servers.redisUrl };
}

/** Servers that somebody else started and stops. */
function others(config: Config): Servers {
  return { config, [Symbol.asyncDispose]: async () => {} };
}
