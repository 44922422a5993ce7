/** Databases for tests: clones of the migrated template, dropped afterwards. */
import { randomBytes } from "node:crypto";
import postgres from "postgres";
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
export async function createTestDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const admin = inject("databaseUrl");
  const name = `rederive_test_${randomBytes(6).toString("hex")}`;
  await runAsAdmin(admin, `create database ${name} template ${inject("template")}`);
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return { url: url.toString(), drop: () => runAsAdmin(admin, `drop database if exists ${name} with (force)`) };
}

async function runAsAdmin(url: string, statement: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
