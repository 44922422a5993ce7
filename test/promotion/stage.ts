/** A backfill whose tasks are all done, staged by hand: live table, candidate, tasks and stamps. */
import { sql } from "drizzle-orm";
import { bigint, doublePrecision, integer, numeric, pgTable, text } from "drizzle-orm/pg-core";
import pg from "pg";
import { type Derived, derived, source } from "../../src/catalog/dataset.ts";
import { range } from "../../src/catalog/scheme.ts";
import { sha256 } from "../../src/hash.ts";
import { type Promotion, promote } from "../../src/promotion/promote.ts";
import { type Rollback, rollback } from "../../src/promotion/rollback.ts";
import type { MergeReport } from "../../src/report.ts";
import { insertBackfill, insertDatasets } from "../../src/store/backfills.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { insertTasks } from "../../src/store/tasks.ts";
import type { Database } from "../../src/tx.ts";
import { candidateNames, createCandidate } from "../../src/warehouse/candidate.ts";
import { liveColumns, ownedOf } from "../../src/warehouse/columns.ts";
import { predicateOf } from "../../src/warehouse/predicate.ts";
import { eventually } from "../support/eventually.ts";
import { withDatabase } from "../support/postgres.ts";

const events = source(pgTable("events", { id: integer("id") }));

/** Keyed by name, ten buckets a partition; `id`, `note` and `doubled` are not the transform's. */
export const totalsTable = pgTable("totals", {
  id: bigint("id", { mode: "number" }).generatedAlwaysAsIdentity(),
  name: text("name").notNull(),
  bucket: integer("bucket").notNull(),
  amount: numeric("amount"),
  ratio: doublePrecision("ratio"),
  code: text("code"),
  note: text("note").default("new"),
  doubled: numeric("doubled").generatedAlwaysAs(sql`amount * 2`),
});

export const totals: Derived = derived(totalsTable, {
  version: 1,
  key: [totalsTable.name],
  partitions: range(totalsTable.bucket, 10),
  inputs: { events },
  select: () => sql`select 1`,
});

export const totalsDefinition = `create table public.totals (
  id int8 generated always as identity, name text primary key, bucket int4 not null, amount numeric, ratio float8,
  code text, note text default 'new', doubled numeric generated always as (amount * 2) stored)`;

/** The same dataset with triggers that it knows of. */
export function totalsAllowing(...allowTriggers: string[]): Derived {
  return { ...totals, allowTriggers };
}

export interface Staged {
  readonly derived: Derived;
  readonly partitions: readonly number[];
  /** `values (…)` or a query giving the owned columns in the definition's order. */
  readonly candidate: string;
}

export interface Stage {
  readonly url: string;
  readonly database: Database;
  run(statement: string): Promise<void>;
  rows<Row = Record<string, unknown>>(query: string): Promise<Row[]>;
  value(query: string): Promise<unknown>;
  /** Every column of every row, in key order, as one hash. */
  hashOf(table: string): Promise<string>;
  stage(backfill: string, datasets: readonly Staged[]): Promise<Act>;
  /** A second session, closed at the end. */
  connect(): Promise<pg.Client>;
}

export interface Act {
  readonly backfill: string;
  readonly datasets: Promotion["datasets"];
  promote(options?: Partial<Promotion>): Promise<MergeReport>;
  rollback(options?: Partial<Rollback>): Promise<MergeReport>;
  state(): Promise<string>;
}

const decision = "{}";

export async function withStage(callback: (stage: Stage) => Promise<void>): Promise<void> {
  await withDatabase(async (url) => {
    const database = openDatabase(url);
    const clients: pg.Client[] = [];
    try {
      await callback(stageOn(url, database, clients));
    } finally {
      for (const client of clients) await client.end().catch(() => {});
      await database.close();
    }
  });
}

/** Resolves when `count` sessions of this database wait for a lock. */
export async function untilWaiting(client: pg.Client, count = 1): Promise<void> {
  const waiting = `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  await eventually(
    () => client.query(waiting),
    ({ rowCount }) => (rowCount ?? 0) >= count,
    { what: `${count} sessions wait for a lock`, everyMs: 5 },
  );
}

/** Ends the session that has come to a `pg_sleep`, as a crash of its server process would. */
export async function killSleeper(client: pg.Client): Promise<void> {
  const killing = `select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and state = 'active' and query like 'select pg_sleep%'`;
  await eventually(
    () => client.query(killing),
    ({ rowCount }) => (rowCount ?? 0) > 0,
    { what: "a session that sleeps was ended", everyMs: 5 },
  );
}

function stageOn(url: string, database: Database, clients: pg.Client[]): Stage {
  const rows = <Row>(query: string) => database.query<Row>(query);
  const value = async (query: string) => Object.values((await database.query(query))[0] ?? {})[0];
  return {
    url,
    database,
    rows,
    value,
    run: async (statement) => void (await database.query(statement)),
    hashOf: async (table) =>
      String(await value(`select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from ${table} t`)),
    connect: async () => {
      const client = new pg.Client({ connectionString: url });
      client.on("error", () => {});
      await client.connect();
      clients.push(client);
      return client;
    },
    stage: async (backfill, staged) => {
      await stageBackfill(database, backfill, staged);
      return actOn(database, backfill, staged);
    },
  };
}

async function stageBackfill(database: Database, backfill: string, staged: readonly Staged[]): Promise<void> {
  await database.transaction(async (tx) => {
    await insertBackfill(tx, {
      ...{
        id: backfill,
        planHash: sha256(decision),
        decision,
        forecast: { tasks: 1, prunable: 0, adopted: 0, datasets: [], warnings: [] },
      },
      ...{ reason: "test", environment: "test", requestedBy: "test", traceparent: undefined },
      requirement: { start: 0, promote: 0, signOff: [] },
    });
    let rank = 0;
    for (const [ordinal, { derived: dataset, partitions, candidate }] of staged.entries()) {
      const names = candidateNames(dataset.name, backfill);
      await insertDatasets(tx, backfill, [
        {
          ...{
            dataset: dataset.name,
            ordinal,
            partitions: partitions.map((at) => [at, at + 1] as const),
            fingerprint: "f",
          },
          ...{ definition: "d", queue: "backfill", criticality: 0, ...names, held: false, holdReason: null },
        },
      ]);
      await insertTasks(
        tx,
        backfill,
        partitions.map((partition) => ({ dataset: dataset.name, partition, rank: rank++ })),
        [],
      );
      await createCandidate(tx, dataset, ownedOf(dataset, await liveColumns(tx, dataset)), names.candidate);
      await tx.query(`insert into ${names.candidate} ${candidate}`);
      for (const partition of partitions) {
        await tx.query(
          `insert into rederive.stamp (task, backfill, dataset, partition, epoch, fingerprint, definition, inputs, snapshot,
             rows_written, hash_algorithm, output_hash, checks, worker, started_at, finished_at)
           select t.id, t.backfill, t.dataset, t.partition, 1, 'f-' || t.backfill, 'd', '[]', '',
             (select count(*) from ${names.candidate} where ${predicateOf(dataset.partitions, [[partition, partition + 1]])}),
             'a', '0', '[]', 'w', now(), now()
           from rederive.task t where t.backfill = $1::text and t.dataset = $2::text and t.partition = $3::int8`,
          [backfill, dataset.name, partition],
        );
      }
    }
    await tx.query("update rederive.task set state = 'done' where backfill = $1::text", [backfill]);
    await tx.query("update rederive.backfill set state = 'verified' where id = $1::text", [backfill]);
  });
}

function actOn(database: Database, backfill: string, staged: readonly Staged[]): Act {
  const datasets = staged.map(({ derived: dataset }) => ({
    derived: dataset,
    ...candidateNames(dataset.name, backfill),
  }));
  const common = { backfill, datasets, audit: async () => {}, options: { attempts: 3, backoffMs: 1 } };
  return {
    backfill,
    datasets,
    promote: (options = {}) => promote(database, { ...common, planHash: sha256(decision), unchanged: [], ...options }),
    rollback: (options = {}) => rollback(database, { ...common, reason: "test", ...options }),
    state: async () => {
      const [row] = await database.query<{ state: string }>("select state from rederive.backfill where id = $1::text", [
        backfill,
      ]);
      return row?.state ?? "";
    },
  };
}
