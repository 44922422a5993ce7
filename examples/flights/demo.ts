/**
 * `npm run demo`: three million flights, a bug in the averages made of them, and its repair, told step by step.
 *
 * 1. Start a private Postgres (and Redis, where there is one), and load the flights.
 * 2. Compute everything with version 1 of the catalog, which has the bug, and promote it.
 * 3. Plan version 2, run it on worker processes, look at the checks and at the difference, promote it.
 * 4. Prove that every row equals an independent recomputation in SQL.
 * 5. Roll back, prove that the old rows are back, promote again.
 *
 * Exit codes: 0 all rows as they must be, 3 some differ, 2 wrong usage, 1 anything unexpected.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import pg from "pg";
import { type Actor, type Backfill, type Config, createRederive, type Rederive, type Status } from "rederive";
import { resolveSettings } from "../../src/config.ts";
import { type EmbeddedServers, openEmbeddedServers } from "../../src/embedded/servers.ts";
import { explainPlan } from "../../src/planner/explain.ts";
import beforeTheFix from "./before-the-fix.config.ts";
import { startFleet } from "./fleet.ts";
import { loadFlights } from "./load.ts";
import { changedTables, type Divergence, divergence, type FlightsVersion, fingerprint } from "./oracle.ts";
import afterTheFix from "./rederive.config.ts";
import { createTables, type DerivedTable, derivedTables, dropDerived } from "./schema.ts";
import { columns, count, createStory, plural, type Story } from "./story.ts";

interface Options {
  readonly json: boolean;
  readonly keep: boolean;
  readonly plant: boolean;
  readonly inProcess: boolean;
  readonly queues: "redis" | "postgres";
  readonly rows: number | undefined;
  readonly workers: number;
}

const usage = `npm run demo -- [options]
  --json             one line of JSON on stdout at the end; the story goes to stderr
  --keep             leave Postgres running and say where
  --plant            corrupt one promoted row before the proof, which must then find it
  --rows <n>         the first n flights only
  --workers <n>      worker processes (2)
  --in-process       run the workers in this process
  --queues postgres  keep the queues in Postgres even where there is a Redis`;

/** What a run of the demo works with. */
interface Stage {
  readonly options: Options;
  readonly story: Story;
  readonly servers: EmbeddedServers;
  readonly client: pg.Client;
}

interface Outcome {
  readonly rows: number;
  readonly tasks: number;
  readonly changed: number;
  readonly divergence: number;
  readonly rollbackDivergence: number;
}

const actor: Actor = { name: "demo", role: "admin" };

/** Postgres for one large machine-load and nothing else; a crash may lose the demo, never a user's data. */
const postgresSettings = {
  shared_buffers: "512MB",
  work_mem: "64MB",
  max_wal_size: "8GB",
  wal_level: "minimal",
  max_wal_senders: "0",
  jit: "off",
};

async function demo(options: Options): Promise<void> {
  const started = performance.now();
  const story = createStory(options.json ? process.stderr : process.stdout);
  story.line("rederive demo: three million flights, a bug in the averages made of them, and its repair");
  story.chapter("Servers");
  const servers = await story.timed(
    ({ description }: EmbeddedServers) => description,
    () => startServers(options),
  );
  const client = new pg.Client(servers.databaseUrl);
  try {
    await client.connect();
    await takeDatabase(client);
    const outcome = await tell({ options, story, servers, client });
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    story.line("");
    story.line(`Done in ${seconds} s.`);
    if (options.keep) keep(story, servers);
    if (options.json) print({ event: "demo", ...outcome, seconds });
    if (outcome.divergence + outcome.rollbackDivergence > 0) process.exitCode = 3;
  } finally {
    await client.end();
    await servers.stop({ keepPostgres: options.keep });
  }
}

/** Two demos in one database would drop each other's tables. The lock ends with the connection. */
async function takeDatabase(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ taken: boolean }>(
    "select pg_try_advisory_lock(hashtext('flights demo')) as taken",
  );
  if (rows[0]?.taken !== true) throw new Error("another demo runs in this folder; wait until it has ended");
}

function startServers({ queues }: Options): Promise<EmbeddedServers> {
  const { settings } = resolveSettings(afterTheFix);
  return openEmbeddedServers({
    directory: ".rederive/demo",
    settings: postgresSettings,
    searchPath: queues === "postgres" ? "" : settings.searchPath,
  });
}

async function tell(stage: Stage): Promise<Outcome> {
  const rows = await prepare(stage);
  await bootstrap(stage);
  return repair(stage, rows);
}

/** Loads the source once, and starts with empty derived tables every time. */
async function prepare({ client, options, story }: Stage): Promise<number> {
  story.chapter("Data");
  await dropDerived(client);
  await createTables(client);
  const loaded = await story.timed(
    ({ rows, present }: { rows: number; present: boolean }) =>
      `${count(rows)} real US flights in table flight${present ? ", loaded earlier" : ""}`,
    () =>
      loadFlights(client, {
        ...(options.rows === undefined ? {} : { rows: options.rows }),
        onProgress: (progress) => story.progress(`loading ${count(progress.rows)} of ${count(progress.total)} flights`),
      }),
  );
  const { rows } = await client.query<{ first: string; last: string; days: number; early: number }>(
    `select min(departed_at)::date::text as first, max(departed_at)::date::text as last,
       count(distinct departed_at::date)::integer as days, round(100.0 * count(*) filter (where delay < 0) / count(*))::integer as early
     from flight`,
  );
  const facts = rows[0];
  if (facts)
    story.line(
      `${plural(facts.days, "day")} from ${facts.first} to ${facts.last}; ${facts.early} % of the flights were early`,
    );
  return loaded.rows;
}

/** Computes and promotes version 1, as an application would have done long ago. */
async function bootstrap(stage: Stage): Promise<void> {
  const { story, client } = stage;
  story.chapter("The past: version 1, with the bug");
  story.line("Six tables derive from the flights: facts, days, routes, months, a seven-day trend, a ranking.");
  await using rederive = await open(stage, beforeTheFix);
  const backfill = await rederive.as(actor).plan({ reason: "first computation" });
  await run(stage, rederive, backfill, "before-the-fix.config.ts");
  await story.timed("promoted: version 1 is what people see", () => backfill.promote({ reason: "first computation" }));
  // What no transform owns must survive everything that follows.
  await client.query("update airport_ranking set note = 'new runway in June' where rank = 1");
}

async function repair(stage: Stage, rows: number): Promise<Outcome> {
  const { story, client } = stage;
  const before = await fingerprint(client);
  story.chapter("The fix: version 2");
  story.line(
    "Averages subtracted the minutes of early flights from those of late ones. The fix counts early as 0 minutes",
  );
  story.line("late, in airport_day and route_day. What is there to do?");
  await using rederive = await open(stage, afterTheFix);
  const acting = rederive.as(actor);
  const backfill = await story.timed(
    ({ id }: Backfill) => `planned ${id}; nothing has run and nothing has changed yet`,
    () => acting.plan({ reason: "early departures cancelled delays in the averages" }),
  );
  story.line("");
  for (const line of explainPlan(rederive.catalog, backfill.plan)) story.line(line);

  story.chapter("Run");
  const status = await run(stage, rederive, backfill, "rederive.config.ts");
  const changed = await compare(stage, backfill, status);

  story.chapter("Promote");
  await promote(stage, backfill, "checked with the operations room");
  if (stage.options.plant) await plant(stage);

  story.chapter("Proof");
  const wrong = await prove(stage, 2);

  story.chapter("Roll back, and forward again");
  const wrongAfterRollback = await rollBack(stage, backfill, before);
  await promote(stage, backfill, "the rollback was an exercise");
  const again = await acting.preview({ reason: "is anything left?" });
  story.line(again.forecast.tasks === 0 ? "a new plan is empty: nothing is out of date" : "a new plan is not empty");
  return { rows, tasks: status.total, changed, divergence: wrong, rollbackDivergence: wrongAfterRollback };
}

function open({ servers }: Stage, config: Config): Promise<Rederive> {
  return createRederive({
    ...config,
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
    environment: "development",
    lockFile: fileURLToPath(new URL("rederive.lock.json", import.meta.url)),
  });
}

/** Runs a planned backfill on a fleet to its end; anything but a verified end ends the demo. */
async function run(stage: Stage, rederive: Rederive, backfill: Backfill, config: string): Promise<Status> {
  const { options, story, servers } = stage;
  const { workers, inProcess } = options;
  const planner = rederive.startPlanner();
  const fleet = await startFleet(rederive, {
    workers,
    inProcess,
    config,
    databaseUrl: servers.databaseUrl,
    redisUrl: servers.redisUrl,
  });
  try {
    await backfill.start();
    return await story.timed(
      (status: Status) =>
        `${plural(status.total, "task")} done by ${plural(workers, inProcess ? "worker" : "worker process")}, ${plural(rowsOf(status), "row")} written`,
      async () => {
        const status = await backfill.finished({
          signal: fleet.signal,
          onProgress: (event) => {
            if (event.event !== "progress") return;
            const { tasks, total, rows } = event;
            story.progress(
              `${count(tasks.done)} of ${plural(total, "task")} done, ${tasks.running} running, ${plural(rows, "row")}`,
            );
          },
        });
        if (status.state !== "verified") throw new Error(`${backfill.id} ended ${status.state}: ${reasonOf(status)}`);
        return status;
      },
    );
  } finally {
    await fleet.stop();
    await planner.stop();
  }
}

function rowsOf(status: Status): number {
  return status.datasets.reduce((sum, { rows }) => sum + rows, 0);
}

function reasonOf(status: Status): string {
  const [trouble] = status.troubles;
  const [check] = status.failedChecks.filter(({ severity }) => severity === "error");
  if (trouble) return `${trouble.dataset} ${trouble.partition}: ${trouble.error.message}`;
  return check ? `check ${check.name} of ${check.dataset}` : (status.stateReason ?? "no reason was recorded");
}

/** Shows the checks and the difference; returns how many rows a promotion would change. */
async function compare(stage: Stage, backfill: Backfill, status: Status): Promise<number> {
  const { story } = stage;
  const errors = status.failedChecks.filter(({ severity }) => severity === "error").length;
  const warnings = status.failedChecks.length - errors;
  story.line(`checks of every partition: ${errors} failed, ${plural(warnings, "warning")}`);
  const diff = await story.timed("compared with what is live, by key:", () => backfill.diff({ samples: 1 }));
  const table = diff.datasets.map(({ dataset, added, removed, changed, unchanged }) => [
    dataset,
    ...[added, removed, changed, unchanged].map(count),
  ]);
  for (const line of columns([["", "added", "removed", "changed", "unchanged"], ...table])) story.line(`  ${line}`);
  const samples = diff.datasets.flatMap(({ dataset, samples: some }) => some.map((sample) => ({ dataset, ...sample })));
  story.line("for example:");
  // The first and the last of the chain: a cause, and what people see of it.
  for (const sample of [samples.at(0), samples.at(-1)]) {
    if (sample) story.line(`  ${sample.dataset}  ${sampleText(sample.before, sample.after)}`);
  }
  return diff.datasets.reduce((sum, { added, removed, changed }) => sum + added + removed + changed, 0);
}

type Sample = Readonly<Record<string, string | null>> | null;

/** Columns that stay as `name value`, columns that change as `name old → new`. */
function sampleText(before: Sample, after: Sample): string {
  const names = Object.keys(after ?? before ?? {});
  return names
    .map((name) => {
      const [old, now] = [before?.[name] ?? "none", after?.[name] ?? "none"];
      return old === now ? `${name} ${now}` : `${name} ${old} → ${now}`;
    })
    .join(", ");
}

async function promote({ story }: Stage, backfill: Backfill, reason: string): Promise<void> {
  await story.timed(
    ({ datasets }: Awaited<ReturnType<Backfill["promote"]>>) => {
      const rows = datasets.reduce((sum, { inserted, updated, deleted }) => sum + inserted + updated + deleted, 0);
      return `promoted ${plural(rows, "row")} of ${plural(datasets.length, "table")} in one transaction`;
    },
    () => backfill.promote({ reason }),
  );
}

/** Makes one promoted row wrong, to show that the proof would notice. */
async function plant({ story, client }: Stage): Promise<void> {
  const { rows } = await client.query<{ day: string; airport: string }>(
    `update airport_day set average_delay = average_delay + 1
     where (day, airport) = (select day, airport from airport_day where early_flights > 0 order by day, airport limit 1)
     returning day::text, airport`,
  );
  story.line(
    `--plant: added a minute to the average of ${rows[0]?.airport} on ${rows[0]?.day}, behind rederive's back`,
  );
}

/** Compares with the oracle and returns how many rows differ. */
async function prove(
  { story, client }: Stage,
  version: FlightsVersion,
  tables?: readonly DerivedTable[],
): Promise<number> {
  const found = await story.timed(
    ({ rows, tables: compared }: Divergence) =>
      `rows of ${plural(compared.length, "table")} that differ from an independent recomputation in SQL: ${count(rows)}`,
    () => divergence(client, version, tables),
  );
  for (const { table, missing, unexpected } of found.tables) {
    if (missing + unexpected > 0) story.line(`  ${table}: ${count(missing)} missing, ${count(unexpected)} unexpected`);
  }
  return found.rows;
}

/** Rolls back and returns how many rows are not what they were before the promotion. */
async function rollBack(
  stage: Stage,
  backfill: Backfill,
  before: Awaited<ReturnType<typeof fingerprint>>,
): Promise<number> {
  const { story, client, options } = stage;
  // A planted row is a later write, which a rollback does not touch unless told to.
  const onLaterWrites = options.plant ? "overwrite" : "refuse";
  await story.timed("rolled back", () => backfill.rollback({ reason: "an exercise", onLaterWrites }));
  const differing = changedTables(before, await fingerprint(client));
  story.line(
    differing.length === 0
      ? "every table is what it was before the promotion, in every column, a note written by hand included"
      : `not what they were before the promotion: ${differing.join(", ")}`,
  );
  // The facts were reused and cannot have moved; that they have not is in the fingerprint.
  const written = derivedTables.filter((table) => table !== "flight_facts");
  return Math.max(differing.length, await prove(stage, 1, written));
}

function keep(story: Story, servers: EmbeddedServers): void {
  story.line("Postgres keeps running; end it with: kill -INT <pid>");
  print({ event: "kept", databaseUrl: servers.databaseUrl, pid: servers.postgresPid });
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        plant: { type: "boolean", default: false },
        "in-process": { type: "boolean", default: false },
        queues: { type: "string", default: "redis" },
        rows: { type: "string" },
        workers: { type: "string", default: "2" },
      },
    });
    const { queues } = values;
    if (queues !== "redis" && queues !== "postgres") throw new Error(`--queues is redis or postgres, got ${queues}`);
    return {
      json: values.json,
      keep: values.keep,
      plant: values.plant,
      inProcess: values["in-process"],
      queues,
      rows: values.rows === undefined ? undefined : positive("--rows", values.rows),
      workers: positive("--workers", values.workers),
    };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}\n`);
    return undefined;
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`${name} needs a positive whole number, got ${text}`);
}

const options = readOptions();
if (options === undefined) process.exitCode = 2;
else {
  await demo(options).catch((error: unknown) => {
    process.stderr.write(`demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
