/** Databases as older versions left them. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";

const all = fileURLToPath(new URL("../../migrations", import.meta.url));

/** Makes the control schema anew, with the migrations up to `last` alone. */
export async function migrateTo(url: string, last: string): Promise<void> {
  const migrationsFolder = mkdtempSync(join(tmpdir(), "rederive-migrations-"));
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    cpSync(all, migrationsFolder, { recursive: true });
    const path = join(migrationsFolder, "meta", "_journal.json");
    const journal = JSON.parse(readFileSync(path, "utf8")) as { entries: { tag: string }[] };
    const end = journal.entries.findIndex(({ tag }) => tag === last);
    if (end < 0) throw new Error(`there is no migration ${last}`);
    writeFileSync(path, JSON.stringify({ ...journal, entries: journal.entries.slice(0, end + 1) }));
    await sql`drop schema rederive cascade`;
    await sql`create schema rederive`;
    await migrate(drizzle(sql), { migrationsFolder, migrationsSchema: "rederive", migrationsTable: "migration" });
  } finally {
    await sql.end();
    rmSync(migrationsFolder, { recursive: true });
  }
}
