/** Whole databases, for tests: made empty or as a clone, and dropped. */
import { openDatabase } from "./postgres.ts";

export interface NewDatabase {
  /** The new database's name: a plain lower-case identifier. */
  readonly name: string;
  /** Clones this one, to which nobody may be connected. Default: an empty database. */
  readonly template?: string | undefined;
}

/** Makes a database on the server of `url`, whose role needs CREATEDB, and returns the URL of the new one. */
export async function createDatabase(url: string, { name, template }: NewDatabase): Promise<string> {
  await execute(url, `create database ${identifier(name)} template ${identifier(template ?? "template0")}`);
  const created = new URL(url);
  created.pathname = `/${name}`;
  return created.toString();
}

/** Drops it together with the connections that are still open. Nothing happens where it is not there. */
export async function dropDatabase(url: string, name: string): Promise<void> {
  await execute(url, `drop database if exists ${identifier(name)} with (force)`);
}

async function execute(url: string, statement: string): Promise<void> {
  const database = openDatabase(url, { max: 1 });
  try {
    await database.query(statement);
  } finally {
    await database.close();
  }
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
