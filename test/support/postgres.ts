/** Databases for tests: clones of the migrated template, dropped afterwards. */
import { createTestDatabase as createDatabase, type TestDatabase } from "rederive/testing";
import { inject } from "vitest";

/** Runs `callback` with the URL of a fresh, migrated database. */
export async function withDatabase<Result>(callback: (url: string) => Promise<Result>): Promise<Result> {
  const database = await createTestDatabase();
  try {
    return await callback(database.url);
  } finally {
    await database.drop();
  }
}

/** A fresh, migrated database for a suite that keeps it over several tests. */
export function createTestDatabase(): Promise<TestDatabase> {
  return createDatabase(inject("databaseUrl"), { template: inject("template"), migrated: false });
}
