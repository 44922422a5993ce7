/**
 * The kit for tests of applications that use rederive: databases of one's own on a server that is there, and a whole
 * run inside the test's process.
 *
 *     await withTestDatabase(process.env.DATABASE_URL, async (databaseUrl) => {
 *       // create the application's tables and rows in databaseUrl, then
 *       await using rederive = await createRederive({ catalog, databaseUrl });
 *       const backfill = await rederive.as(tester).plan({ reason: "test" });
 *       const status = await runToEnd(rederive, backfill);
 *       expect(status.state).toBe("verified");
 *     });
 */
import { randomBytes } from "node:crypto";
import type { Backfill } from "../backfill.ts";
import { attachEmbeddedServers } from "../embedded/servers.ts";
import type { Actor } from "../governance/roles.ts";
import type { Rederive } from "../rederive.ts";
import type { Status } from "../report.ts";
import { createDatabase, dropDatabase } from "../store/databases.ts";
import { migrate } from "../store/migrate.ts";

/** Somebody who may do everything, for tests that are not about roles. */
export const tester: Actor = { name: "tester", role: "admin" };

export interface TestDatabaseOptions {
  /** A database to clone, with tables and rows as the test needs them; nobody may be connected to it. Default: empty. */
  readonly template?: string | undefined;
  /** Create the control schema. Default true; false where the template has it. */
  readonly migrated?: boolean;
}

export interface TestDatabase {
  readonly url: string;
  /** Ends what is still connected and drops it. */
  readonly drop: () => Promise<void>;
}

/** A fresh database on the server of `url`. The role of `url` must be allowed to create databases. */
export async function createTestDatabase(url: string, options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const name = `rederive_test_${randomBytes(6).toString("hex")}`;
  const database = {
    url: await createDatabase(url, { name, template: options.template }),
    drop: () => dropDatabase(url, name),
  };
  if (options.migrated ?? true) await migrate(database.url);
  return database;
}

/** Runs `callback` with the URL of a fresh database, and drops it whatever happens. */
export async function withTestDatabase<Result>(
  url: string,
  callback: (url: string) => Promise<Result>,
  options: TestDatabaseOptions = {},
): Promise<Result> {
  const database = await createTestDatabase(url, options);
  try {
    return await callback(database.url);
  } finally {
    await database.drop();
  }
}

/** Where the Postgres of a running `rederive dev` listens; undefined where none runs. For scripts that fill its tables. */
export function embeddedDatabaseUrl(directory = ".rederive"): string | undefined {
  return attachEmbeddedServers(directory)?.databaseUrl;
}

export interface RunOptions {
  /** Tasks at a time. Default 2. */
  readonly workers?: number;
  /** Ends the waiting; the backfill stays as it is. */
  readonly signal?: AbortSignal;
}

/**
 * Runs a backfill with a planner and a worker in this process, starting it where it is only planned, until it can go no
 * further by itself: `verified`, or `held` where a check or a task failed. The two are stopped afterwards.
 */
export async function runToEnd(rederive: Rederive, backfill: Backfill, options: RunOptions = {}): Promise<Status> {
  const { state } = await backfill.status();
  if (state === "planned" || state === "approved") await backfill.start();
  const planner = rederive.startPlanner();
  const worker = await rederive.startWorker({ concurrency: options.workers ?? 2 });
  try {
    return await backfill.finished(options.signal === undefined ? {} : { signal: options.signal });
  } finally {
    await worker.stop();
    await planner.stop();
  }
}
