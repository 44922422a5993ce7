/**
 * How long a plan of a million tasks takes to be made, hashed and stored, and how much memory: 100 datasets of 10,000
 * daily partitions, in chains of ten, half of them with a lookback of two days.
 *
 *     npx tsx bench/plan.ts [--live]
 *
 * With `--live`, everything is live already under other definitions, so that what is live is read, compared and digested
 * too. Prints one line of JSON: `plan` until the plan is stored, `start` until its tasks and edges are; seconds by the
 * clock, and seconds of CPU of this process, which other work on the machine does not stretch. Exit code 1 where the plan
 * takes more than 60 s or the process more than 1 GB.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import { date, integer, pgTable } from "drizzle-orm/pg-core";
import pg from "pg";
import { createRederive, type Dataset, daily, defineCatalog, derived, lookback, source } from "rederive";
import { startEmbeddedPostgres } from "../src/embedded/postgres.ts";

const datasets = 100;
const days = 10_000;
const chain = 10;
const goal = { seconds: 60, megabytes: 1024 } as const;

const table = (name: string) => pgTable(name, { day: date("day").notNull(), value: integer("value").notNull() });

function catalogOfAll() {
  const raw = table("raw");
  const all: Dataset[] = [source(raw, { partitions: daily(raw.day) })];
  for (let index = 1; index <= datasets; index += 1) {
    const own = table(`d${index}`);
    const above = all[index % chain === 1 ? 0 : index - 1] as Dataset;
    const inputs = { above: index % 2 === 0 ? lookback(above, 2) : above };
    const select = () => sql`select day, max(value) as value from above group by day`;
    all.push(derived(own, { version: 1, key: [own.day], partitions: daily(own.day), inputs, select }));
  }
  return defineCatalog({ datasets: all });
}

async function createTables(client: pg.Client): Promise<void> {
  await client.query("create table raw (day date primary key, value int not null)");
  await client.query(`insert into raw select date '1990-01-01' + n, n from generate_series(0, ${days - 1}) n`);
  for (let index = 1; index <= datasets; index += 1) {
    await client.query(`create table d${index} (day date primary key, value int not null)`);
  }
}

/** Everything live under another definition, promoted at one instant. */
async function makeLive(client: pg.Client): Promise<void> {
  await client.query(
    `insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows, reads, reads_at)
     select 'd' || d, date '1990-01-01' - date '1970-01-01' + p, d * 100000 + p, 'bf_bench', 'old', p::text, 1,
       case when d % ${chain} = 1 then '[]'::jsonb
         else jsonb_build_array(jsonb_build_object('dataset', 'd' || d - 1, 'partitions', '{}', 'content', '')) end,
       now()
     from generate_series(1, ${datasets}) d, generate_series(0, ${days - 1}) p`,
  );
  await client.query("analyze rederive.live");
}

const { values } = parseArgs({ options: { live: { type: "boolean", default: false } } });
const directory = await mkdtemp(join(tmpdir(), "rederive-bench-plan-"));
const postgres = await startEmbeddedPostgres({ directory, settings: { shared_buffers: "512MB", fsync: "off" } });
try {
  const client = new pg.Client(postgres.url);
  await client.connect();
  await createTables(client);
  const config = {
    catalog: catalogOfAll(),
    databaseUrl: postgres.url,
    environment: "development",
    maxTasks: 1_000_000,
  } as const;
  await using rederive = await createRederive(config);
  if (values.live) await makeLive(client);
  let peak = 0;
  const gauge = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 20);
  const started = performance.now();
  const before = process.cpuUsage();
  const backfill = await rederive.as({ name: "bench", role: "admin" }).plan({ reason: "a million tasks" });
  const planned = performance.now();
  const between = process.cpuUsage(before);
  await backfill.start();
  const seconds = { plan: (planned - started) / 1000, start: (performance.now() - planned) / 1000 };
  const cpu = { plan: cpuSeconds(between), all: cpuSeconds(process.cpuUsage(before)) };
  clearInterval(gauge);
  peak = Math.max(peak, process.memoryUsage().rss, process.resourceUsage().maxRSS * 1024);
  const [stored] = (await client.query("select count(*)::int as tasks from rederive.task")).rows;
  const megabytes = Math.round(peak / 1024 / 1024);
  console.log(
    JSON.stringify({
      live: values.live,
      tasks: backfill.plan.forecast.tasks,
      stored: stored.tasks,
      hash: backfill.plan.hash.slice(0, 12),
      seconds: { plan: round(seconds.plan), start: round(seconds.start) },
      cpu: { plan: round(cpu.plan), start: round(cpu.all - cpu.plan) },
      megabytes,
    }),
  );
  if (seconds.plan > goal.seconds || megabytes > goal.megabytes) process.exitCode = 1;
  await client.end();
} finally {
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
}

function cpuSeconds({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1_000_000;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
