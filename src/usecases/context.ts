/** What every use case works with: the opened parts of one rederive instance, and who acts. */
import type { Catalog } from "../catalog/catalog.ts";
import type { LockFile } from "../catalog/definition.ts";
import type { Settings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import type { Queues } from "../executor/queues.ts";
import type { Actor } from "../governance/roles.ts";
import type { Sight } from "../governance/visibility.ts";
import { type BackfillRow, lockBackfill, readBackfill } from "../store/backfills.ts";
import type { Database, Tx } from "../tx.ts";

export interface Context {
  readonly settings: Settings;
  readonly catalog: Catalog;
  readonly database: Database;
  readonly queues: Queues;
  /** Hashes of the `map` functions; undefined where the catalog has none. */
  readonly lock: LockFile | undefined;
  readonly actor: Actor;
  /** What the actor sees; undefined: everything. Who acts goes through permitted.ts, which asks. */
  readonly sight?: Sight | undefined;
  /** Tells a planner loop in this process that there is something to do. */
  readonly wake: () => void;
}

/** Where Postgres is, or `configuration`. */
export function requireDatabase({ databaseUrl }: Pick<Settings, "databaseUrl">): string {
  if (databaseUrl !== undefined) return databaseUrl;
  throw new RederiveError(
    "configuration",
    "there is no database: set DATABASE_URL or databaseUrl in the configuration",
  );
}

/** The backfill, or `not_found` with what to do. */
export async function requireBackfill(tx: Tx, id: string): Promise<BackfillRow> {
  return (await readBackfill(tx, id)) ?? raise(unknownBackfill(id));
}

/** The same, with its row locked until the transaction ends. */
export async function requireLocked(tx: Tx, id: string): Promise<BackfillRow> {
  return (await lockBackfill(tx, id)) ?? raise(unknownBackfill(id));
}

/**
 * A decision about a backfill is made in the environment that it was planned for: another one may ask for fewer people.
 * Throws `wrong_state`.
 */
export function requireSameEnvironment({ settings }: Pick<Context, "settings">, row: BackfillRow): void {
  if (row.environment === settings.environment) return;
  throw new RederiveError(
    "wrong_state",
    `${row.id} was planned for ${row.environment}, and this is ${settings.environment}; set NODE_ENV or environment to that`,
    { details: { backfill: row.id, environment: row.environment } },
  );
}

/** For an act that came too early or too late. */
export function wrongState(row: BackfillRow, act: string, possible: string): RederiveError {
  return new RederiveError(
    "wrong_state",
    `cannot ${act} ${row.id}: it is ${row.state}${row.stateReason ? ` (${row.stateReason})` : ""}; ${possible}`,
    { details: { backfill: row.id, state: row.state } },
  );
}

/** Said as well of one that the actor does not see. */
export function unknownBackfill(id: string): RederiveError {
  return new RederiveError(
    "not_found",
    `there is no backfill ${JSON.stringify(id.slice(0, 80))}; "rederive status" lists them`,
    { details: { backfill: id.slice(0, 80) } },
  );
}

function raise(error: RederiveError): never {
  throw error;
}
