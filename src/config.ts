/**
 * Configuration: one strict schema, read once, frozen. This is the only file that reads the environment.
 *
 * `defineConfig` types what a user writes in rederive.config.ts; `resolveSettings` adds the environment and the
 * defaults and reports every fault in one message. Values given in code win over environment variables.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { isTimeZone } from "./catalog/calendar.ts";
import type { Catalog } from "./catalog/catalog.ts";
import type { Criticality } from "./catalog/model.ts";
import { messageOf, RederiveError } from "./errors.ts";
import { didYouMean } from "./suggest.ts";

export type Environment = "development" | "test" | "production";

/** Who has to agree before derived data is recomputed and before it is published, and when that may happen. */
export interface GovernanceConfig {
  /** People other than the one who asked who have to approve a plan before it starts. Default: 1 in production, else 0. */
  readonly startApprovals?: number | undefined;
  /** The same for what a promotion would change. Default: 1 in production, else 0. */
  readonly promotionApprovals?: number | undefined;
  /** Plans that reach one of these need as many approvals to start. Default: none. */
  readonly thresholds?: readonly ApprovalThreshold[] | undefined;
  /** The owner groups of the exposures downstream have to be among those who approve. Default: true in production. */
  readonly signOff?: boolean | undefined;
  /** Hours for which an approval counts. Default 72. */
  readonly approvalHours?: number | undefined;
  /** When promotions are possible. Default: always. A rollback is always possible. */
  readonly changeWindow?: ChangeWindow | undefined;
  /**
   * How long a promotion waits until the audit trail is chained as far as it was written by then, before it is refused; 0: it
   * does not ask. Default: 10,000 in production, else 0.
   */
  readonly auditWaitMs?: number | undefined;
  /** Of these roles, who speaks for some owner groups sees and touches the datasets of those alone. Default: viewer, operator. */
  readonly limitedRoles?: readonly LimitedRole[] | undefined;
}

/** Admins are never limited: they make the tokens. */
export type LimitedRole = "viewer" | "operator" | "approver";

/** Reached where one of its limits is. */
export interface ApprovalThreshold {
  /** Rows that the plan is expected to write, at least. A plan of which nobody knows reaches it. */
  readonly rows?: number | undefined;
  /** Of an exposure downstream, at least. */
  readonly criticality?: Criticality | undefined;
  readonly approvals: number;
}

/** Half-open, in the wall time of a zone. */
export interface ChangeWindow {
  readonly timeZone: string;
  /** Default: every day. */
  readonly days?: readonly Weekday[] | undefined;
  /** Such as "09:00". */
  readonly from: string;
  /** Such as "16:30"; "24:00" for the end of the day. */
  readonly to: string;
}

export type Weekday = "mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun";

export interface GovernanceSettings {
  readonly startApprovals: number;
  readonly promotionApprovals: number;
  readonly thresholds: readonly ApprovalThreshold[];
  readonly signOff: boolean;
  readonly approvalHours: number;
  readonly changeWindow: ChangeWindow | undefined;
  readonly auditWaitMs: number;
  readonly limitedRoles: readonly LimitedRole[];
}

export interface ServerSettings {
  readonly host: string;
  readonly port: number;
  readonly publicUrl?: string | undefined;
  readonly proxies: number;
  readonly tls?: TlsSettings | undefined;
  readonly oidc?: OidcSettings | undefined;
}

/** Files in PEM: the certificate, with those of its issuers behind it, and its private key without a passphrase. */
export interface TlsSettings {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface OidcSettings extends OidcConfig {
  readonly nameClaim: string;
  readonly roleClaim: string;
  readonly login?: { readonly clientId: string; readonly scopes: readonly string[] } | undefined;
}

/** What a user may configure. Every option but `catalog` has a default. */
export interface Config {
  /** The datasets, from `defineCatalog`. */
  readonly catalog: Catalog;
  /** Postgres that holds sources, targets and the control schema. Default: DATABASE_URL. */
  readonly databaseUrl?: string | undefined;
  /** Redis for the queues. Default: REDIS_URL. Where there is none, the queues live in Postgres. */
  readonly redisUrl?: string | undefined;
  /** Default: NODE_ENV where it is "production" or "test", else "development". */
  readonly environment?: Environment | undefined;
  /** Key prefix of the queues; one hash tag, so that a Redis cluster keeps a flow in one slot. Default "{rederive}". */
  readonly prefix?: string | undefined;
  /** The file that defines the catalog, for the hashes of `map` functions. Default: the configuration file. */
  readonly catalogFile?: string | undefined;
  /** Hashes of `map` functions; committed and shipped. Default "rederive.lock.json" beside the configuration. */
  readonly lockFile?: string | undefined;
  /** Where embedded servers keep their data. Default ".rederive". */
  readonly embeddedDirectory?: string | undefined;
  /** Tasks that one worker process runs at a time; each has a database connection of its own. Default 4. */
  readonly concurrency?: number | undefined;
  /** Tasks of one backfill in the queue at a time. Default 2,000. */
  readonly windowTasks?: number | undefined;
  /** A worker that was silent for so long has lost its tasks. Default 30,000. */
  readonly leaseMs?: number | undefined;
  /** How long a stopping worker waits for its running tasks. Default 25,000. */
  readonly drainMs?: number | undefined;
  /** After so many lost workers a task is quarantined. Default 3. */
  readonly maxLosses?: number | undefined;
  /** A backfill is held after so long without a worker that has its definitions. Default 60,000. */
  readonly codeDriftMs?: number | undefined;
  /** Plans with more tasks are refused. Default 1,000,000. */
  readonly maxTasks?: number | undefined;
  /** Plans whose candidates would take more bytes, by estimate, are refused. Default: no limit. */
  readonly maxCandidateBytes?: number | undefined;
  /** Longest wait for a lock on a live table in a promotion; at most 500. Default 500. */
  readonly lockTimeoutMs?: number | undefined;
  /** Promotion attempts before it is deferred. Default 10. */
  readonly promoteAttempts?: number | undefined;
  /**
   * Where the leading planner keeps signed checkpoints of the audit trail, in a file `checkpoints.ndjson`, every
   * `everyMs` (default 3,600,000) in which something was chained. It must have a key: REDERIVE_AUDIT_KEY(_FILE).
   * Default: nowhere.
   */
  readonly auditCheckpoints?: { readonly directory: string; readonly everyMs?: number | undefined } | undefined;
  /** Connections of the control plane in one process. Default 10. */
  readonly controlConnections?: number | undefined;
  readonly governance?: GovernanceConfig | undefined;
  /** Called, signed with REDERIVE_WEBHOOK_SECRET, when the data behind an exposure changes its status. Default: none. */
  readonly webhooks?:
    | readonly (Pick<WebhookSettings, "url" | "exposures"> & { readonly allowLoopback?: boolean | undefined })[]
    | undefined;
  readonly server?: ServerConfig | undefined;
  /** Production may talk to Postgres and Redis on other machines without TLS. Default false. */
  readonly allowPlaintext?: boolean | undefined;
}

export interface ServerConfig {
  /** Where `rederive server` listens. Default "127.0.0.1". */
  readonly host?: string | undefined;
  /** Default: PORT, or 3000. */
  readonly port?: number | undefined;
  /** Where people reach the server through a proxy that ends TLS; in production needed off a loopback address. */
  readonly publicUrl?: string | undefined;
  /** Proxies in front of the server whose X-Forwarded-For is believed. Default 0. */
  readonly proxies?: number | undefined;
  /** Serve https with this certificate, read at the start. Default: http, for this machine or behind a proxy. */
  readonly tls?: TlsSettings | undefined;
  /** Accept access tokens of an OpenID issuer besides our own. Default: none. */
  readonly oidc?: OidcConfig | undefined;
}

/** Whose access tokens are accepted, and what their claims mean here. */
export interface OidcConfig {
  /** Exactly as the issuer writes it; https, or http on this machine. */
  readonly issuer: string;
  /** What a token must be for. */
  readonly audience: string;
  /** Names a person; must be one that people cannot change themselves. Default "preferred_username", else the subject. */
  readonly nameClaim?: string | undefined;
  /** A text or a list; a path such as "realm_access.roles" leads into objects. Default "roles". */
  readonly roleClaim?: string | undefined;
  /** Owner groups that people speak for. Default: everybody speaks for all. */
  readonly groupsClaim?: string | undefined;
  /** From values of the role claim to roles; of several the highest counts, and without one nothing is allowed. */
  readonly mapping: Readonly<Record<string, "viewer" | "operator" | "approver" | "admin">>;
  /** People log in with a browser, too. Needs REDERIVE_OIDC_CLIENT_SECRET and, off this machine, `server.publicUrl`. Default: no. */
  readonly login?: LoginConfig | undefined;
}

/** The server as a client of the issuer, which sends browsers back to `/login/callback` below the server's address. */
export interface LoginConfig {
  readonly clientId: string;
  /** Asked for besides "openid", so that the issuer tells name, roles and groups. Default ["profile"]. */
  readonly scopes?: readonly string[] | undefined;
}

/** Who is called when an exposure changes. */
export interface WebhookSettings {
  /** https; http only on this machine, where `allowLoopback` permits it. */
  readonly url: string;
  /** Names of exposures. Default: all. */
  readonly exposures?: readonly string[] | undefined;
  /** Addresses of this machine may be called; private ones never. Default false. */
  readonly allowLoopback: boolean;
}

/** Resolved configuration. */
export interface Settings {
  readonly databaseUrl: string | undefined;
  readonly redisUrl: string | undefined;
  /** The one switch between the two delivery backends. */
  readonly queueBackend: "redis" | "postgres";
  readonly environment: Environment;
  /** REDERIVE_EMBEDDED=1, or `dev`, `demo`, `init`. */
  readonly embedded: boolean;
  readonly prefix: string;
  readonly catalogFile: string | undefined;
  readonly lockFile: string;
  readonly embeddedDirectory: string;
  readonly concurrency: number;
  readonly windowTasks: number;
  readonly leaseMs: number;
  readonly drainMs: number;
  readonly maxLosses: number;
  readonly codeDriftMs: number;
  readonly maxTasks: number;
  readonly maxCandidateBytes?: number | undefined;
  readonly lockTimeoutMs: number;
  readonly promoteAttempts: number;
  readonly auditCheckpoints: { readonly directory: string; readonly everyMs: number } | undefined;
  readonly controlConnections: number;
  readonly governance: GovernanceSettings;
  readonly webhooks: readonly WebhookSettings[];
  /** REDERIVE_WEBHOOK_SECRET. */
  readonly webhookSecret: string | undefined;
  /** REDERIVE_OIDC_CLIENT_SECRET. */
  readonly oidcClientSecret: string | undefined;
  readonly server: ServerSettings;
  readonly allowPlaintext: boolean;
  /** The search path of this process, for finding a Redis binary. */
  readonly searchPath: string;
}

const positive = (fallback: number, maximum = Number.MAX_SAFE_INTEGER) =>
  z.number().int().min(1).max(maximum).default(fallback);

const minute = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, "must be a time such as 09:00");

const governance = z.strictObject({
  startApprovals: z.number().int().min(0).max(10).optional(),
  promotionApprovals: z.number().int().min(0).max(10).optional(),
  thresholds: z
    .array(
      z
        .strictObject({
          rows: z.number().int().min(1).optional(),
          criticality: z.enum(["low", "medium", "high", "critical"]).optional(),
          approvals: z.number().int().min(1).max(10),
        })
        .refine(({ rows, criticality }) => rows !== undefined || criticality !== undefined, {
          error: "a threshold needs rows or criticality",
        }),
    )
    .default([]),
  signOff: z.boolean().optional(),
  approvalHours: positive(72, 8_760),
  changeWindow: z
    .strictObject({
      timeZone: z.string().refine(isTimeZone, "must be an IANA time zone such as Europe/Berlin"),
      days: z
        .array(z.enum(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]))
        .min(1)
        .optional(),
      from: minute,
      to: minute,
    })
    .refine(({ from, to }) => from < to, "from must be before to")
    .optional(),
  auditWaitMs: z.number().int().min(0).max(600_000).optional(),
  limitedRoles: z.array(z.enum(["viewer", "operator", "approver"])).default(["viewer", "operator"]),
});

const webhook = z
  .strictObject({
    url: z.url({ protocol: /^https?$/, error: "must be an https:// URL" }),
    exposures: z.array(z.string()).optional(),
    allowLoopback: z.boolean().default(false),
  })
  .refine(({ url, allowLoopback }) => allowLoopback || url.startsWith("https:"), "must be an https:// URL");

const oidc = z.strictObject({
  issuer: z.url().refine((url) => isSafe(new URL(url), "https:"), "must be https, or http on this machine"),
  audience: z.string().min(1),
  nameClaim: z.string().min(1).default("preferred_username"),
  roleClaim: z.string().min(1).default("roles"),
  groupsClaim: z.string().min(1).optional(),
  mapping: z.record(z.string(), z.enum(["viewer", "operator", "approver", "admin"])),
  login: z
    .strictObject({ clientId: z.string().min(1), scopes: z.array(z.string().min(1)).default(["profile"]) })
    .optional(),
});

const schema = z.strictObject({
  catalog: z.custom<Catalog>((value) => typeof value === "object" && value !== null && "datasets" in value, {
    error: "catalog must come from defineCatalog(...)",
  }),
  databaseUrl: z.url({ protocol: /^postgres(ql)?$/, error: "must be a postgres:// URL" }).optional(),
  redisUrl: z.url({ protocol: /^rediss?$/, error: "must be a redis:// or rediss:// URL" }).optional(),
  environment: z.enum(["development", "test", "production"]),
  prefix: z
    .string()
    .regex(/^\{[a-z0-9_-]{1,24}\}$/, "must be one hash tag such as {rederive}, at most 24 characters")
    .default("{rederive}"),
  catalogFile: z.string().optional(),
  lockFile: z.string().default("rederive.lock.json"),
  embeddedDirectory: z.string().default(".rederive"),
  concurrency: positive(4, 256),
  windowTasks: positive(2_000, 20_000),
  leaseMs: z.number().int().min(1_000).max(600_000).default(30_000),
  drainMs: positive(25_000),
  maxLosses: positive(3),
  codeDriftMs: positive(60_000),
  maxTasks: positive(1_000_000),
  maxCandidateBytes: z.number().int().min(1).optional(),
  lockTimeoutMs: positive(500, 500),
  promoteAttempts: positive(10, 100),
  auditCheckpoints: z.strictObject({ directory: z.string(), everyMs: positive(3_600_000) }).optional(),
  controlConnections: positive(10, 100),
  governance: governance.prefault({}),
  webhooks: z.array(webhook).max(100).default([]),
  server: z
    .strictObject({
      host: z.string().default("127.0.0.1"),
      port: z.number().int().min(0).max(65_535).default(3_000),
      publicUrl: z.url({ protocol: /^https?$/, error: "must be an http:// or https:// URL" }).optional(),
      proxies: z.number().int().min(0).max(10).default(0),
      tls: z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) }).optional(),
      oidc: oidc.optional(),
    })
    .refine(({ publicUrl, oidc }) => !oidc?.login || !publicUrl || isSafe(new URL(publicUrl), "https:"), {
      ...{ path: ["publicUrl"], error: "must be https where people log in, or http on this machine" },
    })
    .default({ host: "127.0.0.1", port: 3_000, proxies: 0 }),
  allowPlaintext: z.boolean().default(false),
});

/** Types a configuration file; returns it as it is. */
export function defineConfig(config: Config): Config {
  return config;
}

/** Adds environment and defaults. Throws `configuration` with every fault, one a line. */
export function resolveSettings(
  config: Config,
  env: NodeJS.ProcessEnv = process.env,
): { settings: Settings; catalog: Catalog } {
  const port = env["PORT"] === undefined ? undefined : Number(env["PORT"]);
  const parsed = schema.safeParse({
    ...config,
    databaseUrl: config.databaseUrl ?? emptyAsMissing(env["DATABASE_URL"]),
    redisUrl: config.redisUrl ?? emptyAsMissing(env["REDIS_URL"]),
    environment: config.environment ?? environmentOf(env["NODE_ENV"]),
    server: { ...(port === undefined ? {} : { port }), ...config.server },
  });
  if (!parsed.success) throw new RederiveError("configuration", faultsOf(parsed.error));
  const { catalog, ...options } = parsed.data;
  const settings: Settings = Object.freeze({
    ...options,
    governance: governanceOf(options),
    databaseUrl: options.databaseUrl,
    redisUrl: options.redisUrl,
    auditCheckpoints: options.auditCheckpoints,
    catalogFile: options.catalogFile,
    queueBackend: options.redisUrl === undefined ? "postgres" : "redis",
    embedded: env["REDERIVE_EMBEDDED"] === "1",
    searchPath: env["PATH"] ?? "",
    webhookSecret: emptyAsMissing(env["REDERIVE_WEBHOOK_SECRET"]),
    oidcClientSecret: emptyAsMissing(env["REDERIVE_OIDC_CLIENT_SECRET"]),
  });
  if (settings.webhooks.length > 0 && settings.webhookSecret === undefined) {
    throw new RederiveError("configuration", "webhooks are signed: set REDERIVE_WEBHOOK_SECRET to a long random text");
  }
  return { settings, catalog };
}

/** Production asks for other people's agreement unless it is told not to. */
function governanceOf({
  environment,
  governance: given,
}: Pick<z.infer<typeof schema>, "environment" | "governance">): GovernanceSettings {
  const isProduction = environment === "production";
  return {
    ...given,
    startApprovals: given.startApprovals ?? (isProduction ? 1 : 0),
    promotionApprovals: given.promotionApprovals ?? (isProduction ? 1 : 0),
    signOff: given.signOff ?? isProduction,
    auditWaitMs: given.auditWaitMs ?? (isProduction ? 10_000 : 0),
    changeWindow: given.changeWindow,
  };
}

/** The configuration file named by the environment, for the command line. */
export function configPathFrom(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return emptyAsMissing(env["REDERIVE_CONFIG"]);
}

/** The standard OTEL_* variables, for the OpenTelemetry SDK. */
export function telemetryVariables(env: NodeJS.ProcessEnv = process.env): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith("OTEL_")));
}

/** The OPENLINEAGE_* variables of the OpenLineage clients, and whether statements may be sent along. */
export function openLineageVariables(
  env: NodeJS.ProcessEnv = process.env,
): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => /^(REDERIVE_)?OPENLINEAGE_/.test(name)));
}

/** LOG_LEVEL: a pino level. */
export function logLevelFrom(fallback: string, env: NodeJS.ProcessEnv = process.env): string {
  return emptyAsMissing(env["LOG_LEVEL"]) ?? fallback;
}

/** REDERIVE_AUDIT_KEY: the PEM of the key that signs audit checkpoints; REDERIVE_AUDIT_KEY_FILE: a file with it. */
export function auditKeyFrom(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const pem = emptyAsMissing(env["REDERIVE_AUDIT_KEY"]);
  // Where a variable cannot hold lines, they are written as \\n.
  if (pem !== undefined) return pem.replaceAll("\\n", "\n");
  const path = emptyAsMissing(env["REDERIVE_AUDIT_KEY_FILE"]);
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new RederiveError("configuration", `cannot read REDERIVE_AUDIT_KEY_FILE: ${messageOf(error)}`);
  }
}

/** REDERIVE_TOKEN: the API token of whoever runs a command. Production accepts no other identity. */
export function actorTokenFrom(env: NodeJS.ProcessEnv = process.env): string | undefined {
  return emptyAsMissing(env["REDERIVE_TOKEN"]);
}

/** Who acts where nobody says so: REDERIVE_ACTOR, else the login name. */
export function actorNameFrom(env: NodeJS.ProcessEnv = process.env): string {
  return emptyAsMissing(env["REDERIVE_ACTOR"]) ?? emptyAsMissing(env["USER"]) ?? "local";
}

/** Encrypted, or without a network in between. */
function isSafe({ protocol, hostname }: URL, encrypted: string): boolean {
  return protocol === encrypted || isLoopbackName(hostname);
}

/** Whether a host name means this machine. */
export function isLoopbackName(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function environmentOf(nodeEnv: string | undefined): Environment {
  return nodeEnv === "production" || nodeEnv === "test" ? nodeEnv : "development";
}

function emptyAsMissing(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function faultsOf(error: z.ZodError): string {
  const known = Object.keys(schema.shape);
  const lines = error.issues.map((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => `  unknown option "${key}"${didYouMean(key, known)}`).join("\n");
    }
    return `  ${issue.path.join(".") || "configuration"}: ${issue.message}`;
  });
  return `the configuration has ${lines.length === 1 ? "a fault" : `${lines.length} faults`}:\n${lines.join("\n")}`;
}
