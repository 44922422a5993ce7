/**
 * What is wrong with a set-up, and how to mend it: one finding a check, so that people see what was looked at. A check
 * that cannot run because an earlier one failed says so; nothing here changes anything.
 */
import { messageOf } from "../errors.ts";
import { checkRedis } from "../executor/queues.ts";
import type { Finding } from "../report.ts";
import { clockOffsetMs, controlRights, poolsTransactions, powerlessLogins, serverVersion } from "../store/health.ts";
import { undeliveredMessages } from "../store/messages.ts";
import { appliedMigrations, knownMigrations } from "../store/migrate.ts";
import { sessionRights } from "../store/roles.ts";
import { liveProcesses } from "../store/status.ts";
import { partitionIndexWarning } from "../warehouse/extent.ts";
import { missingRights } from "../warehouse/rights.ts";
import { loginOf } from "./browser-login.ts";
import type { Context } from "./context.ts";

const oldestServer = 14;
const tolerableClockMs = 2_000;

type Check = (context: Context) => Promise<Finding | Finding[]>;

export async function doctor(context: Context): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [name, check] of checks) findings.push(...(await run(name, check, context)));
  return findings;
}

/** In this order: what comes first explains what fails later. */
const checks: readonly (readonly [name: string, check: Check])[] = [
  ["postgres", postgres],
  ["pooling", pooling],
  ["migrations", migrations],
  ["permissions", permissions],
  ["sessions", sessions],
  ["clock", clock],
  ["redis", redis],
  ["fleet", fleet],
  ["deliveries", deliveries],
  ["login", login],
  ["tables", tables],
];

async function run(name: string, check: Check, context: Context): Promise<Finding[]> {
  try {
    return [await check(context)].flat();
  } catch (error) {
    return [{ check: name, level: "error", message: `could not be checked: ${messageOf(error)}` }];
  }
}

async function postgres({ database }: Context): Promise<Finding> {
  const { major, text } = await serverVersion(database);
  if (major >= oldestServer) return { check: "postgres", level: "ok", message: `PostgreSQL ${text}` };
  return {
    check: "postgres",
    level: "error",
    message: `PostgreSQL ${text} has no multiranges`,
    remedy: `upgrade to PostgreSQL ${oldestServer} or newer`,
  };
}

async function pooling({ database }: Context): Promise<Finding> {
  if (!(await poolsTransactions(database))) return { check: "pooling", level: "ok", message: "a direct connection" };
  return {
    check: "pooling",
    level: "error",
    message: "the connection goes through a transaction pool: sessions are not pinned and attempts cannot be fenced",
    remedy: "point DATABASE_URL at Postgres itself, or at a pool in session mode",
  };
}

async function migrations({ database }: Context): Promise<Finding> {
  const [applied, known] = [await appliedMigrations(database), knownMigrations()];
  if (applied >= known) return { check: "migrations", level: "ok", message: `${applied} of ${known} applied` };
  return {
    check: "migrations",
    level: "error",
    message: `${applied} of ${known} applied`,
    remedy: "run: rederive migrate",
  };
}

async function permissions({ database, catalog }: Context): Promise<Finding[]> {
  const control = await controlRights(database);
  const tablesLacking = await missingRights(database, [...catalog.datasets.values()]);
  const findings = [...control, ...tablesLacking].map(
    ({ object, right, grant }): Finding => ({
      check: "permissions",
      level: "error",
      message: `this role lacks ${right} on ${object}`,
      remedy: `run as its owner: ${grant}`,
    }),
  );
  return findings.length > 0 ? findings : [{ check: "permissions", level: "ok", message: "all rights are there" }];
}

/** Where workers and planners have one login, they need no right for this. */
async function sessions({ database }: Context): Promise<Finding> {
  const powerless = await powerlessLogins(database);
  if (powerless.length === 0) return { check: "sessions", level: "ok", message: "those of lost workers can be ended" };
  return {
    check: "sessions",
    level: "warn",
    message:
      `as a worker or planner, ${powerless.join(", ")} cannot see or end sessions of other logins: ` +
      "a partition whose worker froze, and logs in as another, waits until its session ends by itself",
    remedy: `run: rederive migrate --roles, or as a superuser: grant ${sessionRights.join(", ")} to ${powerless.join(", ")}`,
  };
}

async function clock({ database }: Context): Promise<Finding> {
  const offset = await clockOffsetMs(database);
  if (Math.abs(offset) <= tolerableClockMs) {
    return { check: "clock", level: "ok", message: `differs from Postgres by ${Math.round(Math.abs(offset))} ms` };
  }
  return {
    check: "clock",
    level: "warn",
    message: `this machine's clock differs from that of Postgres by ${(offset / 1_000).toFixed(1)} s; logs and traces will not line up`,
    remedy: "synchronise both with NTP (leases use the clock of Postgres alone, so work is not at risk)",
  };
}

async function redis({ settings, queues }: Context): Promise<Finding[]> {
  if (settings.redisUrl === undefined) {
    return [
      {
        check: "redis",
        level: settings.environment === "production" ? "error" : "warn",
        message: "REDIS_URL is not set; the queues live in Postgres, which is several times slower",
        remedy: "set REDIS_URL to a Redis with maxmemory-policy noeviction",
      },
    ];
  }
  const health = await queues.health();
  if (!health.reachable) {
    return [
      {
        check: "redis",
        level: "error",
        message: `not reachable: ${health.error ?? "no answer"}`,
        remedy: "start it, or correct REDIS_URL",
      },
    ];
  }
  const warning = await checkRedis(settings.redisUrl, "development");
  const reached: Finding = { check: "redis", level: "ok", message: `answers in ${health.latencyMs.toFixed(1)} ms` };
  if (warning === undefined) return [reached];
  return [
    reached,
    {
      check: "redis",
      level: settings.environment === "production" ? "error" : "warn",
      message: warning,
      remedy: "run: redis-cli config set maxmemory-policy noeviction (and put it into redis.conf)",
    },
  ];
}

async function fleet({ database }: Context): Promise<Finding> {
  const workers = await liveProcesses(database, "worker");
  if (workers > 0) return { check: "fleet", level: "ok", message: `${workers} workers alive` };
  return {
    check: "fleet",
    level: "warn",
    message: "no worker is alive",
    remedy: "start one: rederive worker (and rederive planner), or use rederive run --workers 4",
  };
}

/** A target is told without its path, which is a secret with some receivers. */
async function deliveries({ database }: Context): Promise<Finding[]> {
  const undelivered = await undeliveredMessages(database);
  if (undelivered.length === 0) return [{ check: "deliveries", level: "ok", message: "every message arrives" }];
  return undelivered.map(({ channel, target, waiting, refused, error }) => {
    const receiver = target === "" ? channel : `${channel} ${new URL(target).origin}`;
    const again = `update rederive.message set failed_at = null where channel = '${channel}'`;
    return {
      check: "deliveries",
      level: "warn",
      message: `${receiver}: ${refused} refused for good, ${waiting} tried again; the last: ${error}`,
      remedy: refused === 0 ? "see to the receiver" : `see to the receiver; to send what it refused again: ${again}`,
    };
  });
}

async function login({ settings }: Context): Promise<Finding[]> {
  const { oidc, publicUrl, tls, host, port } = settings.server;
  if (oidc?.login === undefined) return [];
  const here = tls === undefined ? `http://${host}:${port}` : "https://<where people reach the server>";
  const callback = `${(publicUrl ?? here).replace(/\/$/, "")}/login/callback`;
  await loginOf(settings)?.begin(callback, "/");
  const message = `${oidc.issuer} answers; there, the client ${oidc.login.clientId} needs the redirect URI ${callback}`;
  if (publicUrl !== undefined || tls !== undefined) return [{ check: "login", level: "ok", message }];
  const remedy = "set server.publicUrl to the https address at which people reach the server";
  return [{ check: "login", level: "warn", message: `${message}, where nobody else can log in`, remedy }];
}

async function tables({ database, catalog }: Context): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const dataset of catalog.datasets.values()) {
    const warning = await partitionIndexWarning(database, dataset);
    if (warning === undefined) continue;
    const [message, remedy] = warning.split("; run: ");
    findings.push({
      check: "tables",
      level: "warn",
      message: message ?? warning,
      ...(remedy === undefined ? {} : { remedy }),
    });
  }
  return findings.length > 0
    ? findings
    : [{ check: "tables", level: "ok", message: "every partition column is indexed" }];
}
