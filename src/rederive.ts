/**
 * The composition root: opens the parts of one instance and hands out the use cases.
 *
 * Every use case has an actor: `rederive.as(actor)` gives the methods (acting.ts), which authorize, call one feature and
 * leave the audit row to that feature's transaction. Opening does no work by itself; workers and planners are started on
 * purpose.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Queue } from "bullmq";
import { Acting } from "./acting.ts";
import type { Catalog } from "./catalog/catalog.ts";
import type { LockFile } from "./catalog/definition.ts";
import { queueOf } from "./catalog/definition.ts";
import { type Config, openLineageVariables, resolveSettings, type Settings } from "./config.ts";
import { RederiveError } from "./errors.ts";
import { PlannerLoop } from "./executor/planner-loop.ts";
import { checkRedis, laneQueues, openQueues, type Queues } from "./executor/queues.ts";
import { openWorker, type RunningWorker } from "./executor/worker.ts";
import { appendLine } from "./governance/files.ts";
import { actorOfIdentity } from "./governance/identities.ts";
import { Issuer, isAccessToken } from "./governance/issuer.ts";
import { type KeyedRequests, keyedRequestsIn } from "./governance/keyed-requests.ts";
import type { Actor, UseCase } from "./governance/roles.ts";
import { chainSome } from "./governance/sequencer.ts";
import { authenticate } from "./governance/tokens.ts";
import { sightOf } from "./governance/visibility.ts";
import { openLineageSettings } from "./lineage/settings.ts";
import { lockedHashes, parseLock, requireLock } from "./planner/lock.ts";
import { safeguardsOf } from "./safeguards.ts";
import { checkSchema, migrate, requireEnvironment } from "./store/migrate.ts";
import { checkReachable, openDatabase } from "./store/postgres.ts";
import { hasAdminToken } from "./store/tokens.ts";
import type { Logger } from "./telemetry/log.ts";
import type { FleetSample } from "./telemetry/metrics.ts";
import { tracedDatabase } from "./telemetry/sql.ts";
import type { Database } from "./tx.ts";
import { checkpointKeeper } from "./usecases/audit.ts";
import { type BrowserLogin, browserLogin } from "./usecases/browser-login.ts";
import { type Context, requireDatabase } from "./usecases/context.ts";
import { fleetSample } from "./usecases/fleet.ts";
import { judgeGate } from "./usecases/gate.ts";
import { messenger } from "./usecases/messenger.ts";
import { type About, permitted } from "./usecases/permitted.ts";
import { type PartReadiness, readiness } from "./usecases/readiness.ts";
import { verify } from "./usecases/verify.ts";
import { watching } from "./usecases/watch.ts";

export interface RederiveOptions {
  /** Default: silence. */
  readonly log?: Logger | undefined;
  /** Look neither at the control schema nor at the lock file while opening, so that `doctor` can. Default false. */
  readonly unchecked?: boolean;
}

/**
 * Opens an instance. In development it migrates the control schema; elsewhere it refuses one that is not up to date
 * (`schema_incompatible`). Throws `configuration` for settings that cannot work, `unavailable` where Postgres or Redis
 * cannot be reached.
 */
export async function createRederive(config: Config, options: RederiveOptions = {}): Promise<Rederive> {
  const { settings, catalog } = resolveSettings(config);
  const databaseUrl = requireDatabase(settings);
  const { faults, warnings } = safeguardsOf(settings);
  if (faults.length > 0) throw new RederiveError("configuration", faults.join("\n"));
  for (const warning of warnings) options.log?.warn(warning);
  const database = tracedDatabase(openDatabase(databaseUrl, { max: settings.controlConnections }));
  try {
    await checkReachable(database, databaseUrl);
    if (options.unchecked !== true) {
      await requireEnvironment(database, settings.environment);
      if (settings.environment !== "production") await migrate(databaseUrl);
      await checkSchema(database);
      await warnAboutRedis(settings, options.log);
    }
    const queues = openQueues({
      backend: settings.queueBackend,
      redisUrl: settings.redisUrl,
      databaseUrl,
      prefix: settings.prefix,
      leaseMs: settings.leaseMs,
      onError: (message) => options.log?.warn(message),
    });
    return new Rederive({
      settings,
      databaseUrl,
      catalog,
      database,
      queues,
      lock: readLock(settings, catalog, options.unchecked === true),
      log: options.log,
    });
  } catch (error) {
    await database.close();
    throw error;
  }
}

interface Parts {
  readonly settings: Settings;
  readonly databaseUrl: string;
  readonly catalog: Catalog;
  readonly database: Database;
  readonly queues: Queues;
  readonly lock: LockFile | undefined;
  readonly log: Logger | undefined;
}

/** One opened instance; close it, or let `await using` do it. */
export class Rederive implements AsyncDisposable {
  readonly settings: Settings;
  readonly catalog: Catalog;
  readonly #parts: Parts;
  readonly #issuer: Issuer | undefined;
  #login: BrowserLogin | undefined;
  readonly #running = new Set<RunningWorker | PlannerLoop>();
  #closed: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.settings = parts.settings;
    this.catalog = parts.catalog;
    const { oidc } = parts.settings.server;
    this.#issuer = oidc && new Issuer(oidc);
  }

  /** How people log in with a browser; undefined where none can. Throws `configuration` without the client's secret. */
  get login(): BrowserLogin | undefined {
    this.#login ??= browserLogin(this.#parts.database, this.settings);
    return this.#login;
  }

  /** Where the queues live. */
  get backend(): "redis" | "postgres" {
    return this.#parts.queues.backend;
  }

  /** Every queue: lanes, limited resources and the gate. For boards and metrics. */
  get queues(): readonly Queue[] {
    const { queues, catalog } = this.#parts;
    const resources = [...catalog.datasets.values()].flatMap((dataset) =>
      dataset.kind === "derived" ? [queueOf(dataset)] : [],
    );
    return [
      ...[...new Set<string>([...laneQueues, ...resources])].map((name) => queues.queueFor(name)),
      queues.gates,
    ] as Queue[];
  }

  /** The use cases of one actor. */
  as(actor: Actor): Acting {
    return new Acting(this.#contextOf(actor));
  }

  /**
   * The actor of an API token or, where an issuer is configured, of its access token; undefined where it is unknown, expired
   * or revoked. Throws `unavailable` where the issuer's keys cannot be had.
   */
  async authenticate(token: string): Promise<Actor | undefined> {
    const { database } = this.#parts;
    if (this.#issuer === undefined || !isAccessToken(token)) return authenticate(database, token);
    const known = await this.#issuer.identify(token);
    return known && actorOfIdentity(database, known);
  }

  /** Throws unless the actor may do this; for a door that stands before the use case itself. */
  async admit(actor: Actor, useCase: UseCase, about: Pick<About, "backfill"> = {}): Promise<void> {
    await permitted(this.#contextOf(actor), useCase, about, async () => undefined);
  }

  /** Answers kept for requests that are sent again. */
  get keyedRequests(): KeyedRequests {
    return keyedRequestsIn(this.#parts.database);
  }

  /** Whether there is an admin's token. */
  async hasAdmin(): Promise<boolean> {
    return hasAdminToken(this.#parts.database);
  }

  /** Tasks by state and jobs by queue, for metrics. */
  async fleet(): Promise<FleetSample> {
    return fleetSample(this.#parts.database, this.queues);
  }

  /** What /readyz says. Never rejects for a part that is away. */
  async readiness(): Promise<readonly PartReadiness[]> {
    return readiness(this.#parts.database, this.#parts.queues);
  }

  /** Runs tasks in this process until it is stopped. Default concurrency: that of the settings. */
  async startWorker(options: { readonly concurrency?: number } = {}): Promise<RunningWorker> {
    const { settings, databaseUrl, catalog, lock, database, queues, log } = this.#parts;
    const worker = await openWorker({
      settings: { ...settings, concurrency: options.concurrency ?? settings.concurrency },
      databaseUrl,
      catalog,
      lock,
      database,
      queues,
      log,
      onIdle: () => this.#wake(),
    });
    return this.#track(worker);
  }

  /** Takes part in releasing tasks and healing what was lost; of all planners of a fleet one leads. */
  startPlanner(): PlannerLoop {
    const { settings, catalog, database, queues, log } = this.#parts;
    const planner = new PlannerLoop({
      delivery: { database, queues, onError: (message, error) => log?.warn({ err: error }, message) },
      catalog,
      holder: `${hostname().slice(0, 24)}-${process.pid}-${randomBytes(4).toString("hex")}`,
      verify: async (backfill) => {
        if (!(await judgeGate(database, catalog, backfill))) await verify(database, catalog, backfill);
      },
      chain: auditKeeping(database, settings),
      messenger: messenger({ ...this.#parts, openLineage: openLineageSettings(openLineageVariables()) }),
      codeDriftMs: settings.codeDriftMs,
      watch: watching(this.#contextOf({ name: "planner", role: "operator" }), log),
      onLate: (backfill, message) => log?.warn({ backfill }, message),
      release: { windowTasks: settings.windowTasks },
      recovery: { maxLosses: settings.maxLosses },
    });
    planner.start();
    return this.#track(planner);
  }

  /** Stops what runs in this process, in order, and closes all connections. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    for (const running of [...this.#running].reverse()) await running.stop();
    await this.#parts.queues.close();
    await this.#parts.database.close();
  }

  #contextOf(actor: Actor): Context {
    const { settings, catalog, database, queues, lock } = this.#parts;
    const sight = sightOf(actor, settings.governance.limitedRoles, catalog);
    return { settings, catalog, database, queues, lock, actor, sight, wake: () => this.#wake() };
  }

  #wake(): void {
    for (const running of this.#running) if ("wake" in running) running.wake();
  }

  #track<Running extends RunningWorker | PlannerLoop>(running: Running): Running {
    this.#running.add(running);
    return running;
  }
}

/** Chains the audit trail, and signs it outside of the database where a directory for that is named. */
function auditKeeping(database: Database, { auditCheckpoints }: Settings): () => Promise<void> {
  const keep =
    auditCheckpoints &&
    checkpointKeeper(database, {
      everyMs: auditCheckpoints.everyMs,
      write: (checkpoint) =>
        appendLine(join(auditCheckpoints.directory, "checkpoints.ndjson"), JSON.stringify(checkpoint)),
    });
  return async () => {
    await chainSome(database);
    await keep?.();
  };
}

async function warnAboutRedis(settings: Settings, log: Logger | undefined): Promise<void> {
  if (settings.redisUrl === undefined) return;
  const warning = await checkRedis(settings.redisUrl, settings.environment);
  if (warning !== undefined) log?.warn(warning);
}

/** The lock is needed only for `map` datasets, and then it must name them all. */
function readLock(settings: Settings, catalog: Catalog, unchecked: boolean): LockFile | undefined {
  const hasMaps = [...catalog.datasets.values()].some(
    (dataset) => dataset.kind === "derived" && dataset.transform.kind === "map",
  );
  if (!hasMaps) return undefined;
  if (unchecked) return undefined;
  const lock = parseLockFile(settings.lockFile);
  requireLock(catalog, lock);
  return lockedHashes(lock);
}

function parseLockFile(path: string): ReturnType<typeof parseLock> | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  return parseLock(text);
}
