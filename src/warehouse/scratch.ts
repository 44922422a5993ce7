/**
 * Schemas for what is computed and thrown away. Whoever makes one holds an advisory lock of its name as long as its
 * connection lives, so that one which nobody holds was left by a process that ended, and may be dropped by anybody.
 */
import { randomBytes } from "node:crypto";
import type { Tx } from "../tx.ts";
import { identifier, literal } from "./quote.ts";

const prefix = "rederive_sample_";
/** Only what carries it is dropped: a schema of a user may be named likewise. */
const mark = "made by rederive for a sampled replay, and dropped after it";

export function newScratchSchema(): string {
  return `${prefix}${randomBytes(6).toString("hex")}`;
}

/** The quoted, qualified name of a table in it. */
export function scratchTable(schema: string, dataset: string, ordinal: number): string {
  return `${identifier(schema)}.${identifier(`${dataset.replaceAll(".", "_")}_${ordinal}`)}`;
}

/** Keeps the schema of this name from being dropped as long as the session lives. Call it before the schema is made. */
export async function holdScratchSchema(session: Tx, schema: string): Promise<void> {
  await session.query("select pg_advisory_lock(hashtextextended($1::text, 0))", [schema]);
}

export async function createScratchSchema(tx: Tx, schema: string): Promise<void> {
  await tx.query(`create schema ${identifier(schema)}`);
  await tx.query(`comment on schema ${identifier(schema)} is ${literal(mark)}`);
}

/** `waitMs`: how long to wait for somebody who still reads in it; autovacuum makes way after a second. */
export async function dropScratchSchema(tx: Tx, schema: string, waitMs: number): Promise<void> {
  await tx.query(`set local lock_timeout = ${Math.trunc(waitMs)}`);
  await tx.query(`drop schema if exists ${identifier(schema)} cascade`);
}

/** Those that nobody holds any more; they stay locked against others until the transaction ends. */
export async function abandonedScratchSchemas(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `with scratch as materialized (
       select nspname::text as name from pg_namespace
       where nspname ~ $1::text and obj_description(oid, 'pg_namespace') = $2::text
     )
     select name from scratch where pg_try_advisory_xact_lock(hashtextextended(name, 0))`,
    [`^${prefix}[0-9a-f]{12}$`, mark],
  );
  return rows.map(({ name }) => name);
}
