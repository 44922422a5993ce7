/**
 * A small running backfill without the planner: daily sales from sales, monthly sales from daily ones, and a `map` of the
 * sales. Ten days of two sales each, all of which are recomputed.
 */
import { sql } from "drizzle-orm";
import { bigint, date, integer, pgTable, text } from "drizzle-orm/pg-core";
import { type Catalog, defineCatalog } from "../../src/catalog/catalog.ts";
import { check } from "../../src/catalog/check.ts";
import { type Derived, derived, source } from "../../src/catalog/dataset.ts";
import { queueOf } from "../../src/catalog/definition.ts";
import { parseWindow } from "../../src/catalog/label.ts";
import { upstreamOf } from "../../src/catalog/mapping.ts";
import { contains, ordinalsOf, type Ranges } from "../../src/catalog/ranges.ts";
import { daily, monthly, type TimeScheme } from "../../src/catalog/scheme.ts";
import { Heartbeat } from "../../src/executor/heartbeat.ts";
import { Lane } from "../../src/executor/lane.ts";
import type { TaskOutcome, TaskRef } from "../../src/executor/outcome.ts";
import { RunPlans } from "../../src/executor/run-plan.ts";
import { runTask } from "../../src/executor/task.ts";
import type { TaskContext } from "../../src/executor/task-context.ts";
import { definitionsOf } from "../../src/executor/worker.ts";
import { canonicalJson } from "../../src/hash.ts";
import { type Decision, makePlan, type RecomputeStep } from "../../src/plan.ts";
import { insertBackfill, insertDatasets } from "../../src/store/backfills.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { insertTasks } from "../../src/store/tasks.ts";
import type { Database } from "../../src/tx.ts";
import { candidateNames, createCandidate } from "../../src/warehouse/candidate.ts";
import { liveColumns, ownedOf } from "../../src/warehouse/columns.ts";
import { pins } from "../../src/warehouse/session.ts";
import { aDecision } from "../support/decision.ts";
import { withDatabase } from "../support/postgres.ts";

export const sales = pgTable("sales", {
  id: integer("id").primaryKey(),
  soldOn: date("sold_on").notNull(),
  amount: integer("amount").notNull(),
});
export const dailySales = pgTable("daily_sales", {
  day: date("day").primaryKey(),
  total: bigint("total", { mode: "number" }).notNull(),
});
export const monthlySales = pgTable("monthly_sales", {
  month: date("month").primaryKey(),
  total: bigint("total", { mode: "number" }).notNull(),
});
export const receipts = pgTable("receipts", {
  id: integer("id").primaryKey(),
  soldOn: date("sold_on").notNull(),
  words: text("words").notNull(),
});

const tables = `
  create table public.sales (id int primary key, sold_on date not null, amount int not null);
  create index on public.sales (sold_on);
  create table public.daily_sales (day date primary key, total bigint not null);
  create table public.monthly_sales (month date primary key, total bigint not null);
  create table public.receipts (id int primary key, sold_on date not null, words text not null);
  insert into public.sales select n, date '2001-01-01' + n / 2, n from generate_series(0, 19) n`;

export interface FixtureOptions {
  /** The expression for a day's total. Default `sum(amount)::bigint`. */
  readonly total?: string;
  /** What `map` makes of a sale. */
  readonly words?: (amount: number) => string;
  /** The largest total that the check lets pass. */
  readonly maxTotal?: number;
  readonly attempts?: number;
  readonly timeoutMs?: number;
}

export function catalogOf(options: FixtureOptions = {}): Catalog {
  const { attempts = 5, timeoutMs = 60_000 } = options;
  const sold = source(sales, { partitions: daily(sales.soldOn) });
  const byDay = derived(dailySales, {
    version: 1,
    key: [dailySales.day],
    partitions: daily(dailySales.day),
    inputs: { sales: sold },
    select: () =>
      sql.raw(`select sold_on as day, ${options.total ?? "sum(amount)::bigint"} as total from sales group by sold_on`),
    checks: options.maxTotal === undefined ? [] : [check.range(dailySales.total, { max: options.maxTotal })],
    attempts,
    timeoutMs,
  });
  const byMonth = derived(monthlySales, {
    version: 1,
    key: [monthlySales.month],
    partitions: monthly(monthlySales.month),
    inputs: { days: byDay },
    select: () =>
      sql.raw("select date_trunc('month', day)::date as month, sum(total)::bigint as total from days group by 1"),
  });
  const words = options.words ?? ((amount) => `sold for ${amount}`);
  const papers = derived(receipts, {
    version: 1,
    key: [receipts.id],
    partitions: daily(receipts.soldOn),
    inputs: { sales: sold },
    read: ({ db, sales: sold }) =>
      db.select({ id: sold.id, soldOn: sold.soldOn, amount: sold.amount }).from(sold).orderBy(sold.id),
    map: (row) => ({ id: row.id, soldOn: row.soldOn, words: words(row.amount) }),
    attempts,
  });
  return defineCatalog({ datasets: [sold, byDay, byMonth, papers] });
}

export const backfill = "bf_fixture00";

export interface Fixture {
  readonly url: string;
  readonly database: Database;
  readonly catalog: Catalog;
  readonly planHash: string;
  /** Task ids by dataset and ordinal. */
  taskOf(dataset: string, ordinal: number): TaskRef;
  /** One attempt in a fresh lane, as a worker of this name. */
  run(ref: TaskRef, options?: RunOptions): Promise<TaskOutcome>;
  /** A registered worker's context; `dispose` ends its lane and heartbeat. */
  worker(options?: RunOptions): Promise<{ context: TaskContext; dispose: () => Promise<void> }>;
  row<Row>(text: string, params?: readonly unknown[]): Promise<Row>;
  state(ref: TaskRef): Promise<{
    state: string;
    epoch: number;
    attempts: number;
    losses: number;
    error: { code: string; message: string; sqlstate?: string } | null;
  }>;
}

export interface RunOptions {
  readonly worker?: string;
  readonly leaseMs?: number;
  readonly at?: TaskContext["at"];
  readonly signal?: AbortSignal;
  readonly settle?: TaskContext["settle"];
  /** For the lane alone, for example through a proxy. */
  readonly laneUrl?: string;
  readonly catalog?: Catalog;
}

export const firstDay = 11_323; // 2001-01-01
export const days: Ranges = [[firstDay, firstDay + 10]];

/** Runs the callback on a backfill in state running, whose tasks are inserted. */
export async function withFixture(
  options: FixtureOptions,
  callback: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  await withDatabase(async (url) => {
    const database = openDatabase(url, { max: 8, applicationName: "fixture" });
    try {
      for (const statement of tables.split(";")) await database.query(statement);
      await callback(await start(url, database, catalogOf(options)));
    } finally {
      await database.close();
    }
  });
}

async function start(url: string, database: Database, catalog: Catalog): Promise<Fixture> {
  const month = parseWindow(monthlyScheme(catalog), { from: "2001-01-01", to: "2001-02-01" });
  const partitions = new Map<string, Ranges>([
    ["daily_sales", days],
    ["monthly_sales", month],
    ["receipts", days],
  ]);
  const definitions = definitionsOf(catalog, undefined);
  const steps = [...partitions].map(([name, ranges]) => stepOf(catalog, name, ranges, definitions[name] as string));
  const plan = makePlan(decisionOf(steps), { tasks: 21, prunable: 0, adopted: 0, datasets: [], warnings: [] });
  await insertBackfill(database, {
    id: backfill,
    planHash: plan.hash,
    decision: canonicalJson(plan.decision),
    forecast: plan.forecast,
    reason: "test",
    environment: "test",
    requestedBy: "test",
    requirement: { start: 0, promote: 0, signOff: [] },
    traceparent: undefined,
  });
  await insertDatasets(
    database,
    backfill,
    steps.map((step, ordinal) => ({
      dataset: step.dataset,
      ordinal,
      partitions: step.partitions,
      fingerprint: step.fingerprint,
      definition: step.definition,
      queue: queueOf(derivedOf(catalog, step.dataset)),
      criticality: 0,
      ...candidateNames(step.dataset, backfill),
      held: false,
      holdReason: null,
    })),
  );
  for (const step of steps) {
    const dataset = derivedOf(catalog, step.dataset);
    const columns = ownedOf(dataset, await liveColumns(database, dataset));
    await createCandidate(database, dataset, columns, candidateNames(step.dataset, backfill).candidate);
  }
  await database.query("update rederive.backfill set state = 'running' where id = $1", [backfill]);
  const tasks = [...partitions].flatMap(([dataset, ranges]) =>
    [...ordinalsOf(ranges)].map((partition) => ({ dataset, partition })),
  );
  const ranked = tasks.map((task, rank) => ({ ...task, rank }));
  await insertTasks(database, backfill, ranked, edgesOf(catalog, ranked));
  const rows = await database.query<{ id: string; dataset: string; partition: number }>(
    "select id::text as id, dataset, partition::float8 as partition from rederive.task",
  );
  const ids = new Map(rows.map((row) => [`${row.dataset} ${row.partition}`, row.id]));
  return new RunningFixture(url, database, catalog, plan.hash, ids);
}

class RunningFixture implements Fixture {
  readonly url: string;
  readonly database: Database;
  readonly catalog: Catalog;
  readonly planHash: string;
  readonly #ids: ReadonlyMap<string, string>;

  constructor(url: string, database: Database, catalog: Catalog, planHash: string, ids: ReadonlyMap<string, string>) {
    this.url = url;
    this.database = database;
    this.catalog = catalog;
    this.planHash = planHash;
    this.#ids = ids;
  }

  taskOf(dataset: string, ordinal: number): TaskRef {
    const task = this.#ids.get(`${dataset} ${ordinal}`);
    if (task === undefined) throw new Error(`no task of ${dataset} ${ordinal}`);
    return { task, backfill, dataset };
  }

  async run(ref: TaskRef, options: RunOptions = {}): Promise<TaskOutcome> {
    const { context, dispose } = await this.worker(options);
    try {
      return await runTask(ref, context);
    } finally {
      await dispose();
    }
  }

  async worker(options: RunOptions = {}): Promise<{ context: TaskContext; dispose: () => Promise<void> }> {
    const catalog = options.catalog ?? this.catalog;
    const definitions = definitionsOf(catalog, undefined);
    const id = options.worker ?? "worker-a";
    const { database } = this;
    const heartbeat = new Heartbeat({
      database,
      registration: {
        id,
        kind: "worker",
        host: "test",
        pid: 1,
        concurrency: 1,
        definitions,
        leaseMs: options.leaseMs ?? 30_000,
      },
      onIncompatible: () => undefined,
      pollMs: 20,
    });
    await heartbeat.start();
    const lane = new Lane({ databaseUrl: options.laneUrl ?? this.url, database, applicationName: "lane" });
    const context: TaskContext = {
      worker: id,
      catalog,
      definitions,
      database,
      plans: new RunPlans(database),
      lane,
      heartbeat,
      maxLosses: 3,
      settle: options.settle ?? (async () => undefined),
      signal: options.signal ?? new AbortController().signal,
      at: options.at,
    };
    return { context, dispose: async () => void (await Promise.all([heartbeat.stop(), lane.close()])) };
  }

  async row<Row>(text: string, params: readonly unknown[] = []): Promise<Row> {
    const [row] = await this.database.query<Row>(text, params);
    return row as Row;
  }

  state(ref: TaskRef): ReturnType<Fixture["state"]> {
    return this.row("select state, epoch, attempts, losses, error from rederive.task where id = $1::int8", [ref.task]);
  }
}

function stepOf(catalog: Catalog, dataset: string, partitions: Ranges, definition: string): RecomputeStep {
  const found = derivedOf(catalog, dataset);
  return {
    action: "recompute",
    dataset,
    partitions,
    reason: "requested",
    why: [{ code: "requested", partitions }],
    transform: found.transform.kind,
    version: found.version,
    fingerprint: `fingerprint of ${dataset}`,
    definition,
    metadata: "",
    key: found.key.map((column) => column.name),
    ownedColumns: found.owned.map((column) => column.name),
    criticality: 0,
    prunable: [],
    adopted: [],
  };
}

function decisionOf(steps: readonly RecomputeStep[]): Decision {
  return aDecision({ request: { kind: "datasets", datasets: steps.map((step) => step.dataset) }, pins, steps });
}

function edgesOf(catalog: Catalog, tasks: readonly { dataset: string; partition: number; rank: number }[]) {
  return tasks.flatMap((consumer) => {
    const dataset = derivedOf(catalog, consumer.dataset);
    return dataset.inputs.flatMap((input) => {
      const edge = { consumer: dataset.partitions, input: input.dataset.partitions, mapping: input.mapping };
      const reads = upstreamOf(edge, [[consumer.partition, consumer.partition + 1]], []);
      return tasks
        .filter((producer) => producer.dataset === input.dataset.name && contains(reads, producer.partition))
        .map((producer) => ({ producer: producer.rank, consumer: consumer.rank }));
    });
  });
}

function derivedOf(catalog: Catalog, name: string): Derived {
  const dataset = catalog.datasets.get(name);
  if (dataset?.kind !== "derived") throw new Error(`no derived dataset ${name}`);
  return dataset;
}

function monthlyScheme(catalog: Catalog): TimeScheme {
  return derivedOf(catalog, "monthly_sales").partitions as TimeScheme;
}

/** Months since 1970 of January 2001. */
export const january = 372;
