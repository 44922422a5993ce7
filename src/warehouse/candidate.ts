/**
 * The tables that a backfill writes: candidates. (The before-images of a promotion are in restore.ts.)
 *
 * They take names, types and collations from the live table and nothing else: no defaults, constraints or keys, because
 * a duplicate must become evidence and not an aborted transaction. They are logged, so a crash loses nothing.
 */
import type { Derived } from "../catalog/dataset.ts";
import { sha256 } from "../hash.ts";
import type { Tx } from "../tx.ts";
import { declaredType, type LiveColumn } from "./columns.ts";
import { shareTable } from "./owner.ts";
import { partitionColumns } from "./predicate.ts";
import { identifier, identifiers } from "./quote.ts";

export const candidateSchema = "rederive_candidate";
export const restoreSchema = "rederive_restore";

/** Postgres cuts longer names off, which could make two names one. */
const nameLimit = 63;

export interface CandidateNames {
  /** Quoted, qualified names. */
  readonly candidate: string;
  readonly restorePoint: string;
}

/** The table names of one dataset in one backfill; names that are too long keep their start and end in a hash. */
export function candidateNames(dataset: string, backfill: string): CandidateNames {
  const name = shortened(`${candidateStem(dataset)}__${backfill}`, `${dataset}__${backfill}`);
  return {
    candidate: `${identifier(candidateSchema)}.${identifier(name)}`,
    restorePoint: `${identifier(restoreSchema)}.${identifier(name)}`,
  };
}

/** What the names of all its candidates and restore points begin with; underscores come next. */
export function candidateStem(dataset: string): string {
  return dataset.replaceAll(".", "_");
}

/** Creates the empty candidate with its index, and both schemas where they are missing. Fails if it is there already. */
export async function createCandidate(
  tx: Tx,
  derived: Derived,
  columns: readonly LiveColumn[],
  candidate: string,
): Promise<void> {
  await createSchema(tx, candidateSchema);
  await createCandidateTable(tx, derived, columns, candidate);
  await shareTable(tx, candidate);
}

/** The same in a schema that is there already. */
export async function createCandidateTable(
  tx: Tx,
  derived: Derived,
  columns: readonly LiveColumn[],
  candidate: string,
): Promise<void> {
  await tx.query(`create table ${candidate} (${columns.map(definition).join(", ")})`);
  const indexed = new Set([...partitionColumns(derived.partitions), ...derived.key.map((column) => column.name)]);
  await tx.query(`create index on ${candidate} (${identifiers([...indexed])})`);
}

/** Drops a candidate or a restore point; one that is gone already is no error. */
export async function dropTable(tx: Tx, table: string): Promise<void> {
  await tx.query(`drop table if exists ${table}`);
}

/** Candidates that have grown by more than a fifth since Postgres last looked at them; quoted, qualified names. */
export async function grownCandidates(tx: Tx): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `select format('%I.%I', s.schemaname, s.relname) as name
       from pg_stat_user_tables s join pg_class c on c.oid = s.relid
      where s.schemaname = $1::text and s.n_mod_since_analyze > 1000 + 0.2 * greatest(c.reltuples, 0)`,
    [candidateSchema],
  );
  return rows.map((row) => row.name);
}

/**
 * Tells the query planner what is in the table; run it in a transaction, as the candidate fills. Rows are found by
 * partition and key alone, for which a sample of a tenth of Postgres' default says as much in a tenth of the time.
 */
export async function analyzeTable(tx: Tx, table: string): Promise<void> {
  await tx.query("set local default_statistics_target = 10");
  await tx.query(`analyze ${table}`);
}

function definition(column: LiveColumn): string {
  return `${identifier(column.name)} ${declaredType(column)}`;
}

/** Several processes may come here at once, and even `if not exists` can then fail on the catalog's own unique index. */
export async function createSchema(tx: Tx, schema: string): Promise<void> {
  const [found] = await tx.query("select 1 from pg_namespace where nspname = $1::text", [schema]);
  if (found) return;
  await tx.query("select pg_advisory_xact_lock(hashtextextended($1::text, 0))", [schema]);
  await tx.query(`create schema if not exists ${identifier(schema)}`);
}

/** `identity` tells apart names that look the same after the dots are gone. */
function shortened(name: string, identity: string): string {
  if (Buffer.byteLength(name) <= nameLimit) return name;
  const hash = sha256(identity).slice(0, 12);
  return `${Buffer.from(name)
    .subarray(0, nameLimit - 13)
    .toString()}_${hash}`;
}
