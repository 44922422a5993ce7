/**
 * `npm run bench`: rederive against what one would write instead, on the same five million orders.
 *
 * Contenders of a table take turns within one run; figures are medians of five rounds, and what counts are the ratios.
 * A weak rival proves nothing: where a rival's ratio to bare SQL is more than 15 % off
 * what was measured once on a quiet machine, the bench fails.
 *
 * Options: --quick (a tenth of the data, three rounds), --rivals (without rederive), --only days,hours,map,empty,costs.
 */
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import postgres, { type Sql } from "postgres";
import { resolveSettings } from "../src/config.ts";
import { catalog, facts, factsInSql, revenueByDay, revenueByHour, ticks } from "./catalog.ts";
import { openCosts } from "./costs.ts";
import { type Contender, interleave, othersCores, readCpu, type Timing } from "./measure.ts";
import {
  createOrders,
  daySlices,
  firstDay,
  fullSize,
  hourSlices,
  type OrdersSize,
  quickSize,
  type Slice,
} from "./orders.ts";
import { openProduct, type Product } from "./product.ts";
import {
  bareLoop,
  bullmqEmpty,
  bullmqLedgerLoop,
  bullmqLoop,
  type Course,
  copyPipe,
  type Grain,
  naiveMap,
  type Redis,
} from "./rivals.ts";
import { type Servers, startServers } from "./servers.ts";

/** Tasks at a time, of every contender. */
const lanes = 4;

interface Bench {
  readonly servers: Servers;
  readonly sql: Sql;
  readonly redis: Redis;
  readonly product: Product | undefined;
  readonly size: OrdersSize;
  readonly rounds: number;
  readonly quick: boolean;
}

/** A ratio that must hold: between `least` and `most`. */
interface Expectation {
  readonly what: string;
  readonly ratio: number;
  readonly least: number;
  readonly most: number;
  /** A rival that is off makes the bench worthless; a goal that is missed is only said. */
  readonly kind: "rival" | "goal";
}

/** Rivals' times as multiples of bare SQL, measured on a quiet machine of two cores. */
const knownRivals: Readonly<Record<Grain, { readonly bullmq: number; readonly ledger: number }>> = {
  day: { bullmq: 1.16, ledger: 1.23 },
  hour: { bullmq: 1.63, ledger: 2.31 },
};
const rivalTolerance = 0.15;

const sections = ["days", "hours", "map", "empty", "costs"] as const;
type Section = (typeof sections)[number];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      rivals: { type: "boolean", default: false },
      only: { type: "string", default: sections.join(",") },
    },
  });
  const wanted = new Set(values.only.split(","));
  await using servers = await startServers(resolveSettings({ catalog }).settings.searchPath);
  const sql = postgres(servers.databaseUrl, { max: lanes, onnotice: () => {} });
  const bench = { servers, sql, redis: redisOf(servers), ...sizing(values.quick) };
  await describeMachine(sql);
  await createOrders(sql, bench.size);
  await sql`insert into tick select i from generate_series(0, ${ticksOf(values.quick) - 1}::integer) i`;
  const product = values.rivals ? undefined : await openProduct(servers, lanes);
  try {
    const expectations: Expectation[] = [];
    for (const section of sections) {
      if (wanted.has(section)) expectations.push(...(await runs[section]({ ...bench, product })));
    }
    judge(expectations);
  } finally {
    await product?.[Symbol.asyncDispose]();
    await sql.end();
  }
}

const runs: Readonly<Record<Section, (bench: Bench) => Promise<Expectation[]>>> = {
  days: (bench) => revenue(bench, "day", daySlices(bench.size.days)),
  hours: (bench) => revenue(bench, "hour", hourSlices(bench.size.days)),
  map: mapRows,
  empty: emptyTasks,
  costs: hashAndChecks,
};

function sizing(quick: boolean): Pick<Bench, "size" | "rounds" | "quick"> {
  return quick ? { size: quickSize, rounds: 3, quick } : { size: fullSize, rounds: 5, quick };
}

function ticksOf(quick: boolean): number {
  return quick ? 2_000 : 10_000;
}

function redisOf({ redisUrl }: Servers): Redis {
  const { hostname, port } = new URL(redisUrl);
  return { host: hostname, port: Number(port) };
}

/** The aggregate: one upsert a partition, bare, through BullMQ, through BullMQ with a ledger, and by rederive. */
async function revenue(bench: Bench, grain: Grain, slices: readonly Slice[]): Promise<Expectation[]> {
  const { sql, redis } = bench;
  const course: Course = { sql, redis, grain, slices, lanes };
  const table = grain === "day" ? "daily_revenue" : "hourly_revenue";
  const empty = async (): Promise<void> => void (await sql.unsafe(`truncate ${table}, ledger`));
  const timings = await contest(bench, `${slices.length} ${grain} partitions, aggregate`, [
    { name: "bare SQL", prepare: empty, run: () => bareLoop(course) },
    { name: "hand-rolled BullMQ", prepare: empty, run: () => bullmqLoop(course) },
    { name: "hand-rolled BullMQ, ledger", prepare: empty, run: () => bullmqLedgerLoop(course) },
    ...ours(bench, (product) => product.backfill(grain === "day" ? revenueByDay : revenueByHour)),
  ]);
  const { bullmq, ledger } = knownRivals[grain];
  return [
    rival(`${grain}s: BullMQ to bare SQL`, ratio(timings, "hand-rolled BullMQ", "bare SQL"), bullmq),
    rival(
      `${grain}s: BullMQ with ledger to bare SQL`,
      ratio(timings, "hand-rolled BullMQ, ledger", "bare SQL"),
      ledger,
    ),
    ...(grain === "day"
      ? goal(timings, "days: rederive to bare SQL", "bare SQL", { most: 1.35 })
      : goal(timings, "hours: rederive to BullMQ with ledger", "hand-rolled BullMQ, ledger", { most: 1.5 })),
  ];
}

/** A million rows through a function: the naive way, as a bare COPY pipe, and by rederive. */
async function mapRows(bench: Bench): Promise<Expectation[]> {
  const { sql, servers } = bench;
  const days = Math.min(73, bench.size.days);
  const slices = daySlices(days);
  const empty = async (): Promise<void> => void (await sql`truncate order_facts`);
  // A cursor keeps its connection while its rows are inserted over another one.
  const wide = postgres(servers.databaseUrl, { max: 2 * lanes, onnotice: () => {} });
  try {
    const window = { from: firstDay.slice(0, 10), to: slices.at(-1)?.to.slice(0, 10) ?? firstDay };
    const timings = await contest(bench, `${days} day partitions, one function call a row`, [
      { name: "COPY to COPY", prepare: empty, run: () => copyPipe(servers.databaseUrl, slices, lanes) },
      { name: "naive: cursor and INSERT", prepare: empty, run: () => naiveMap(wide, slices, lanes) },
      ...ours(bench, (product) => product.backfill(facts, window)),
    ]);
    return [
      ...goal(timings, "map: rederive to naive", "naive: cursor and INSERT", { most: 1 / 3 }),
      ...goal(timings, "map: rederive to COPY", "COPY to COPY", { most: 2 }),
    ];
  } finally {
    await wide.end();
  }
}

/** What a task costs that has nothing to do. */
async function emptyTasks(bench: Bench): Promise<Expectation[]> {
  const tasks = ticksOf(bench.quick);
  const none = async (): Promise<void> => {};
  const timings = await contest(bench, `${tasks} empty tasks`, [
    { name: "BullMQ, no-op jobs", prepare: none, run: () => bullmqEmpty(bench.redis, tasks, 50) },
    ...ours(bench, (product) => product.backfill(ticks)),
  ]);
  for (const { name, medianMs } of timings) print(`  ${name}: ${Math.round((tasks / medianMs) * 1000)} a second`);
  return [];
}

/** The statement of a task with and without its hash and its implied checks, for few rows and for many. */
async function hashAndChecks(bench: Bench): Promise<Expectation[]> {
  if (bench.product === undefined) return [];
  const firstOrdinal = Math.floor(Date.parse(firstDay) / 86_400_000);
  const cases = [
    { title: "hash and checks: 5 rows a partition", dataset: revenueByDay, days: bench.size.days },
    { title: "hash and checks: 13,700 rows a partition", dataset: factsInSql, days: Math.min(36, bench.size.days) },
  ];
  for (const { title, dataset, days } of cases) {
    const costs = await openCosts(bench.servers.databaseUrl, dataset, firstOrdinal, days);
    const none = async (): Promise<void> => {};
    await contest(bench, title, [
      { name: "write alone", prepare: none, run: () => costs.write("none") },
      { name: "with hash", prepare: none, run: () => costs.write("hash") },
      { name: "with hash and implied checks", prepare: none, run: () => costs.write("hash and checks") },
    ]);
    await costs.end();
  }
  return [];
}

function ours({ product }: Bench, run: (product: Product) => Promise<void>): Contender[] {
  return product === undefined ? [] : [{ name: "rederive", prepare: () => product.clear(), run: () => run(product) }];
}

/** Runs one table and prints it: milliseconds, and multiples of the first line. */
async function contest(bench: Bench, title: string, contenders: readonly Contender[]): Promise<Timing[]> {
  const before = readCpu(bench.servers.pids);
  const timings = await interleave(contenders, bench.rounds, bench.servers.pids);
  // The last backfill must not still be there when the next table measures the rivals.
  await bench.product?.clear();
  const others = othersCores(before, readCpu(bench.servers.pids));
  const first = timings[0]?.medianMs ?? Number.NaN;
  print(`\n${title} (${bench.rounds} rounds; others used ${others.toFixed(2)} cores)`);
  for (const { name, medianMs, medianCpuMs, roundsMs } of timings) {
    const spread = `${Math.round(Math.min(...roundsMs))} to ${Math.round(Math.max(...roundsMs))}`;
    const figures = [
      `${Math.round(medianMs)} ms`.padStart(10),
      `${(medianMs / first).toFixed(2)}x`.padStart(9),
      `${Math.round(medianCpuMs)} ms of CPU`.padStart(18),
    ];
    print(`  ${name.padEnd(30)}${figures.join("")}   ${spread}`);
  }
  return timings;
}

function ratio(timings: readonly Timing[], name: string, to: string): number {
  const of = (wanted: string) => timings.find((timing) => timing.name === wanted)?.medianMs ?? Number.NaN;
  return of(name) / of(to);
}

function rival(what: string, measured: number, known: number): Expectation {
  return {
    what,
    ratio: measured,
    least: known * (1 - rivalTolerance),
    most: known * (1 + rivalTolerance),
    kind: "rival",
  };
}

function goal(timings: readonly Timing[], what: string, to: string, { most }: { most: number }): Expectation[] {
  const measured = ratio(timings, "rederive", to);
  return Number.isNaN(measured) ? [] : [{ what, ratio: measured, least: 0, most, kind: "goal" }];
}

function judge(expectations: readonly Expectation[]): void {
  print("");
  for (const { what, ratio: measured, least, most, kind } of expectations) {
    const holds = measured >= least && measured <= most;
    const bounds = kind === "goal" ? `at most ${most.toFixed(2)}` : `${least.toFixed(2)} to ${most.toFixed(2)}`;
    print(`${holds ? "ok  " : "OFF "} ${kind}  ${what}: ${measured.toFixed(2)} (${bounds})`);
    if (!holds && kind === "rival") process.exitCode = 1;
  }
}

async function describeMachine(sql: Sql): Promise<void> {
  const [row] = await sql<{ version: string }[]>`select current_setting('server_version') as version`;
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  print(`${cpus().length} x ${cpu?.model.trim() ?? "unknown CPU"}, ${memory} GiB, ${process.platform}`);
  print(
    `Node ${process.version}, PostgreSQL ${row?.version}, BullMQ ${versionOf("bullmq")}, postgres.js ${versionOf("postgres")}`,
  );
  print(`${lanes} tasks at a time for every contender, all on this machine`);
}

function versionOf(name: string): string {
  const manifest = readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
