/**
 * Brings the control schema up to date.
 *
 * Several processes may start at once: a session-level advisory lock, held on the one connection that migrates, lets
 * one of them work while the others wait and then find nothing to do. The journal is drizzle's, in our own schema, so
 * that it cannot collide with the application's migrations; the migrations are applied by apply-migrations.ts.
 *
 * A migration that older code cannot live with raises `meta.requires_code`. Every process compares it with its own
 * `codeLevel` when it starts; workers at each heartbeat, planners when they renew the lead, and all in each act on a
 * backfill. They stop, or refuse, with a message instead of working on a schema that they misread.
 */
import { fileURLToPath } from "node:url";
import { readMigrationFiles } from "drizzle-orm/migrator";
import postgres from "postgres";
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { applyMigrations, type MigrationWaits } from "./apply-migrations.ts";
import { deploymentId } from "./release.ts";

/** What this code understands; raised together with a migration that older code must not run against. */
export const codeLevel = 2;

const migrationsFolder = fileURLToPath(new URL("../../migrations", import.meta.url));
/** An arbitrary constant: the advisory lock's name. */
const lockKey = 7_337_201_733;

export interface MigrationReport {
  /** Migrations applied by this call. */
  readonly applied: number;
  /** Migrations known to this code. */
  readonly known: number;
}

/**
 * Applies what is missing, and marks a database that is migrated for production as production's. Needs a direct connection
 * (no transaction pooling) and the right to create schemas. Throws `migrate_deferred` where others held locks for too long.
 */
export async function migrate(url: string, environment?: string, waits: MigrationWaits = {}): Promise<MigrationReport> {
  const sql = postgres(url, { max: 1, onnotice: () => {}, connection: { application_name: "rederive migrate" } });
  try {
    await sql`select pg_advisory_lock(${lockKey})`;
    await sql`create schema if not exists rederive`;
    const migrations = readMigrationFiles({ migrationsFolder });
    const applied = await applyMigrations(sql, migrations, { ...waits, lockKey });
    if (environment === "production") {
      await sql`insert into rederive.meta (key, value) values ('environment', 'production') on conflict (key) do nothing`;
    }
    await deploymentId(asTx(sql));
    return { applied, known: migrations.length };
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/**
 * Who forgets to say that this is production would act there as somebody whom nobody checked. Throws `configuration` where
 * the database is production's and `environment` is another.
 */
export async function requireEnvironment(tx: Tx, environment: string): Promise<void> {
  const [exists] = await tx.query<{ exists: boolean }>("select to_regclass('rederive.meta') is not null as exists");
  if (exists?.exists !== true) return;
  const [row] = await tx.query<{ value: string }>("select value from rederive.meta where key = 'environment'");
  if (row === undefined || row.value === environment) return;
  throw new RederiveError(
    "configuration",
    `this database is of ${row.value}, and this process says that it is ${environment}; set NODE_ENV or environment to ${row.value}`,
  );
}

/** Throws `schema_incompatible` where the control schema is missing, older than this code, or too new for it. */
export async function checkSchema(tx: Tx): Promise<void> {
  const applied = await appliedMigrations(tx);
  if (applied < knownMigrations()) {
    throw new RederiveError(
      "schema_incompatible",
      `the control schema has ${applied} of ${knownMigrations()} migrations; run "rederive migrate"`,
      { details: { applied, known: knownMigrations() } },
    );
  }
  await checkCodeLevel(tx);
}

/** Throws `schema_incompatible` where a newer migration has shut out this code. */
export async function checkCodeLevel(tx: Tx): Promise<void> {
  const [row] = await tx.query<{ value: string }>("select value from rederive.meta where key = 'requires_code'");
  const required = Number(row?.value ?? 0);
  if (required > codeLevel) {
    throw new RederiveError(
      "schema_incompatible",
      `the control schema needs code level ${required}, this process has ${codeLevel}; deploy the newer rederive and restart`,
      { details: { required, codeLevel } },
    );
  }
}

export function knownMigrations(): number {
  return readMigrationFiles({ migrationsFolder }).length;
}

/** How many migrations the database has; 0 where the schema was never created. */
export async function appliedMigrations(tx: Tx): Promise<number> {
  const [exists] = await tx.query<{ exists: boolean }>(
    "select to_regclass('rederive.migration') is not null as exists",
  );
  if (exists?.exists !== true) return 0;
  const [row] = await tx.query<{ count: number }>("select count(*)::int as count from rederive.migration");
  return row?.count ?? 0;
}

function asTx(sql: postgres.Sql): Tx {
  return {
    query: async <Row>(text: string, params: readonly unknown[] = []) =>
      (await sql.unsafe(text, params as postgres.ParameterOrJSON<never>[])) as unknown as Row[],
  };
}
