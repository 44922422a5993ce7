/**
 * The composition root: opens the parts of one instance and hands out the use cases.
 *
 * Every use case has an actor: `rederive.as(actor)` gives the methods, which authorize, call one feature and leave the
 * audit row to that feature's transaction. Opening does no work by itself; workers and planners are started on purpose.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Queue } from "bullmq";
import { Audit } from "./audit.ts";
import { Backfill } from "./backfill.ts";
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
import {
  authenticate,
  createToken,
  type IssuedToken,
  listTokens,
  type NewToken,
  revokeToken,
} from "./governance/tokens.ts";
import { catalogInSight, sightOf } from "./governance/visibility.ts";
import type { ColumnsReport } from "./lineage/columns.ts";
import type { Lineage } from "./lineage/graph.ts";
import type { RowLineage } from "./lineage/rows.ts";
import { openLineageSettings } from "./lineage/settings.ts";
import type { Plan } from "./plan.ts";
import type { Affected } from "./planner/affected.ts";
import { type CatalogGraph, graphOf } from "./planner/catalog-graph.ts";
import { lockedHashes, parseLock, requireLock } from "./planner/lock.ts";
import type { Baseline, CheckReport, ExposureStatus, Finding, LimitSetting, LiveValidation, Status } from "./report.ts";
import { safeguardsOf } from "./safeguards.ts";
import type { BackfillState } from "./states.ts";
import { appendAudit } from "./store/audit.ts";
import { type AuditLag, auditLag } from "./store/audit-chain.ts";
import type { IdentityReport } from "./store/identities.ts";
import { checkSchema, migrate, requireEnvironment } from "./store/migrate.ts";
import { checkReachable, openDatabase } from "./store/postgres.ts";
import { hasAdminToken, type TokenRow } from "./store/tokens.ts";
import type { Logger } from "./telemetry/log.ts";
import type { FleetSample } from "./telemetry/metrics.ts";
import { tracedDatabase } from "./telemetry/sql.ts";
import type { Database } from "./tx.ts";
import { checkpointKeeper } from "./usecases/audit.ts";
import {
  approve,
  type BaselineChoice,
  baselines,
  type CaptureInput,
  captureBaseline,
  retire,
} from "./usecases/baseline.ts";
import { type BrowserLogin, browserLogin } from "./usecases/browser-login.ts";
import { type CatalogReport, describedCatalog } from "./usecases/catalog.ts";
import { type CheckInput, check } from "./usecases/check.ts";
import { type Context, requireDatabase } from "./usecases/context.ts";
import { doctor } from "./usecases/doctor.ts";
import { exposure } from "./usecases/exposures.ts";
import { fleetSample } from "./usecases/fleet.ts";
import { judgeGate } from "./usecases/gate.ts";
import { disable, enable, type IdentityChoice, identities } from "./usecases/identities.ts";
import { type ImpactInput, impact } from "./usecases/impact.ts";
import { type LimitInput, limits, setLimit } from "./usecases/limit.ts";
import { type LineageInput, lineage } from "./usecases/lineage.ts";
import { columns } from "./usecases/lineage-columns.ts";
import { type RowInputWish, row } from "./usecases/lineage-rows.ts";
import { messenger } from "./usecases/messenger.ts";
import { type About, permitted } from "./usecases/permitted.ts";
import { openBackfill, type PlanInput, plan, preview } from "./usecases/plan.ts";
import { type PartReadiness, readiness } from "./usecases/readiness.ts";
import { list } from "./usecases/status.ts";
import { validation } from "./usecases/validation.ts";
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

/** The use cases of one actor. */
export class Acting {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** Plans and stores; nothing runs before `start`. */
  async plan(input: PlanInput): Promise<Backfill> {
    const made = await permitted(this.#context, "backfill.plan", aboutPlan(input), () => plan(this.#context, input));
    return new Backfill(this.#context, made.id, made.plan);
  }

  /** Plans and stores nothing. */
  async preview(input: PlanInput): Promise<Plan> {
    return permitted(this.#context, "plan.preview", aboutPlan(input), () => preview(this.#context, input));
  }

  /** What a change of a dataset would reach; plans nothing. */
  async impact(input: ImpactInput): Promise<Affected> {
    return permitted(this.#context, "plan.preview", { datasets: [input.dataset] }, () => impact(this.#context, input));
  }

  /** What a dataset or a partition of it was computed from, and what was computed from it; now or as of an instant. */
  async lineage(input: LineageInput): Promise<Lineage> {
    return permitted(this.#context, "lineage.read", { datasets: [input.dataset] }, () => lineage(this.#context, input));
  }

  /** The input rows behind one row, exactly or as a stated superset. Throws `not_found` where there is no such row. */
  async lineageRow(input: RowInputWish): Promise<RowLineage> {
    return permitted(this.#context, "lineage.rows", { datasets: [input.dataset] }, () => row(this.#context, input));
  }

  /** How the data behind an exposure is: whether what feeds on it should wait. Throws `not_found`. */
  async exposure(name: string): Promise<ExposureStatus> {
    return permitted(this.#context, "exposure.read", { exposure: name }, () => exposure(this.#context, name));
  }

  /** The definitions, as far as the actor sees them. */
  get catalog(): Catalog {
    const { catalog, sight } = this.#context;
    return sight === undefined ? catalog : catalogInSight(sight, catalog);
  }

  /** The graph of datasets and exposures. */
  async graph(): Promise<CatalogGraph> {
    return permitted(this.#context, "catalog.read", {}, async () => graphOf(this.catalog));
  }

  /** What the datasets and exposures are, for people: meaning, owners, rules in words, freshness, last change and why. */
  async describedCatalog(): Promise<CatalogReport> {
    return permitted(this.#context, "catalog.read", {}, () => describedCatalog(this.#context));
  }

  /** From which columns of its inputs, and through them of the sources, each column of a dataset comes. */
  async lineageColumns(dataset: string): Promise<ColumnsReport> {
    return permitted(this.#context, "lineage.read", { datasets: [dataset] }, () => columns(this.#context, dataset));
  }

  /** A stored backfill. Throws `not_found`. */
  async backfill(id: string): Promise<Backfill> {
    const found = await permitted(this.#context, "backfill.read", { backfill: id }, () =>
      openBackfill(this.#context, id),
    );
    return new Backfill(this.#context, found.id, found.plan);
  }

  /** How far the chain of the audit trail is behind; no secret. */
  async auditLag(): Promise<AuditLag> {
    return permitted(this.#context, "backfill.read", {}, () => auditLag(this.#context.database));
  }

  /** Who decided what and why: the log, its verification, checkpoints and exports. */
  get audit(): Audit {
    return new Audit(this.#context);
  }

  /** Newest first; default 20. */
  async backfills(options: { limit?: number; state?: BackfillState } = {}): Promise<Status[]> {
    return permitted(this.#context, "backfill.read", {}, () => list(this.#context, options));
  }

  /** Asks the checks again, of what is live or of the candidates of a backfill, without computing anything. */
  async check(input: CheckInput = {}): Promise<CheckReport> {
    return permitted(this.#context, "check.run", input, () => check(this.#context, input));
  }

  /** What scheduled looks have found in live data. Asks nothing of the tables themselves. */
  async validation(): Promise<LiveValidation[]> {
    return permitted(this.#context, "check.read", {}, () => validation(this.#context));
  }

  /** Keeps what a dataset or a query over datasets gives now, as the next version of a golden baseline. */
  async captureBaseline(input: CaptureInput): Promise<Baseline> {
    return permitted(this.#context, "baseline.capture", { datasets: [input.dataset], query: input.query }, () =>
      captureBaseline(this.#context, input),
    );
  }

  /** Every candidate is compared with this version from now on. In production not by the one who captured it. */
  async approveBaseline(input: BaselineChoice): Promise<Baseline> {
    return permitted(this.#context, "baseline.decide", { baseline: input.name }, () => approve(this.#context, input));
  }

  /** Nothing is compared with it any more. */
  async retireBaseline(input: BaselineChoice): Promise<Baseline> {
    return permitted(this.#context, "baseline.decide", { baseline: input.name }, () => retire(this.#context, input));
  }

  /** All versions, or those of one name; newest first. */
  async baselines(of: { readonly name?: string | undefined } = {}): Promise<Baseline[]> {
    return permitted(this.#context, "baseline.read", { baseline: of.name }, () => baselines(this.#context, of));
  }

  async limits(): Promise<LimitSetting[]> {
    return permitted(this.#context, "limit.read", {}, () => limits(this.#context));
  }

  /** Changes a limit for the whole fleet while it runs. */
  async setLimit(name: string, limit: LimitInput, reason: string): Promise<LimitSetting> {
    return permitted(this.#context, "limit.set", { datasets: [name] }, () =>
      setLimit(this.#context, name, limit, reason),
    );
  }

  /** Makes an API token; it is shown this once. */
  async createToken(wish: NewToken): Promise<IssuedToken> {
    const { actor, database } = this.#context;
    return permitted(this.#context, "token.create", {}, () =>
      database.transaction(async (tx) => {
        const issued = await createToken(tx, actor.name, wish);
        const details = { id: issued.id, name: issued.name, role: issued.role };
        await appendAudit(tx, { actor: actor.name, act: "token.create", details });
        return issued;
      }),
    );
  }

  async tokens(): Promise<TokenRow[]> {
    return permitted(this.#context, "token.read", {}, () => listTokens(this.#context.database));
  }

  /** The token is refused from the next request on. Throws `not_found`. */
  async revokeToken(id: string): Promise<TokenRow> {
    const { actor, database } = this.#context;
    return permitted(this.#context, "token.revoke", {}, () =>
      database.transaction(async (tx) => {
        const revoked = await revokeToken(tx, id);
        const details = { id: revoked.id, name: revoked.name };
        await appendAudit(tx, { actor: actor.name, act: "token.revoke", details });
        return revoked;
      }),
    );
  }

  /** People whom the issuer vouched for. */
  async identities(): Promise<IdentityReport[]> {
    return permitted(this.#context, "identity.read", {}, () => identities(this.#context));
  }

  /** Refuses a person of the issuer from the next request on. Throws `not_found`. */
  async disableIdentity(choice: IdentityChoice): Promise<IdentityReport> {
    return permitted(this.#context, "identity.disable", {}, () => disable(this.#context, choice));
  }

  /** Lets a person in again. Throws `not_found`. */
  async enableIdentity(choice: IdentityChoice): Promise<IdentityReport> {
    return permitted(this.#context, "identity.disable", {}, () => enable(this.#context, choice));
  }

  /** What is wrong with the set-up, and how to mend it. */
  async doctor(): Promise<Finding[]> {
    return permitted(this.#context, "doctor.run", {}, () => doctor(this.#context));
  }
}

/** Everything that a wish for a plan names. */
function aboutPlan({ datasets = [], expect, sample, continues }: PlanInput): About {
  const sampled = sample !== undefined && "partitions" in sample ? Object.keys(sample.partitions ?? {}) : [];
  return { datasets: [...datasets, ...Object.keys(expect?.datasets ?? {}), ...sampled], backfill: continues };
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
