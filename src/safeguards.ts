/**
 * What production does not start without: queues in Redis, and no password or row in clear text on a network. Pure, from
 * the settings to what is wrong with them.
 */
import { isLoopbackName, type Settings } from "./config.ts";

type Guarded = Pick<Settings, "environment" | "databaseUrl" | "redisUrl" | "allowPlaintext">;

export interface Safeguards {
  /** What the process must not start with; one sentence each, with what to do. */
  readonly faults: readonly string[];
  /** What somebody has allowed. */
  readonly warnings: readonly string[];
}

export function safeguardsOf(settings: Guarded): Safeguards {
  if (settings.environment !== "production") return { faults: [], warnings: [] };
  const plaintext = plaintextOf(settings);
  return {
    faults: [...redisFaults(settings), ...(settings.allowPlaintext ? [] : plaintext.map(refusal))],
    warnings: settings.allowPlaintext ? plaintext.map((what) => `${what}, as allowPlaintext says`) : [],
  };
}

function redisFaults({ redisUrl }: Guarded): string[] {
  if (redisUrl === undefined) return ["production needs REDIS_URL, a Redis with maxmemory-policy noeviction"];
  const { hostname, password } = new URL(redisUrl);
  if (isLoopbackName(hostname) || password !== "") return [];
  return [`REDIS_URL names no password for ${hostname}: whoever reaches it could change the queues; give it one`];
}

/** Which connections leave this machine in clear text. */
function plaintextOf({ databaseUrl, redisUrl }: Guarded): string[] {
  const redis = redisUrl === undefined ? [] : [new URL(redisUrl)].filter(({ protocol }) => protocol !== "rediss:");
  const postgres = databaseUrl === undefined ? [] : [new URL(databaseUrl)].filter((url) => !isEncrypted(url));
  return [
    ...postgres.filter(isRemote).map((url) => `DATABASE_URL goes to ${hostOf(url)} without sslmode=require`),
    ...redis.filter(isRemote).map((url) => `REDIS_URL goes to ${hostOf(url)} without TLS (rediss://)`),
  ];
}

function refusal(what: string): string {
  return `${what}; encrypt it, or say allowPlaintext: true where the network is one's own`;
}

function isEncrypted({ searchParams }: URL): boolean {
  return ["require", "verify-ca", "verify-full"].includes(searchParams.get("sslmode") ?? "");
}

/** A URL without a host, or with a folder as host, means a socket on this machine. */
function isRemote(url: URL): boolean {
  const host = hostOf(url);
  return host !== "" && !host.startsWith("/") && !host.startsWith("%2F") && !isLoopbackName(host);
}

function hostOf({ hostname, searchParams }: URL): string {
  return searchParams.get("host") ?? hostname;
}
