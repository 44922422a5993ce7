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
import pg from "pg";
import type { EmbeddedServers } from "../../src/embedded/servers.ts";
import { compare } from "./chapters/comparison.ts";
import { loadData } from "./chapters/data.ts";
import { planTheFix } from "./chapters/fix.ts";
import { computeThePast } from "./chapters/past.ts";
import { plant, promote } from "./chapters/promotion.ts";
import { prove } from "./chapters/proof.ts";
import { rollBack } from "./chapters/rollback.ts";
import { run } from "./chapters/run.ts";
import { type Options, readOptions } from "./options.ts";
import { fingerprint } from "./oracle.ts";
import afterTheFix from "./rederive.config.ts";
import { actor, open, type Stage, startServers, takeDatabase } from "./stage.ts";
import { createStory, type Story } from "./story.ts";

interface Outcome {
  readonly rows: number;
  readonly tasks: number;
  readonly changed: number;
  readonly divergence: number;
  readonly rollbackDivergence: number;
}

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

async function tell(stage: Stage): Promise<Outcome> {
  const { story, client } = stage;
  story.chapter("Data");
  const rows = await loadData(stage);

  story.chapter("The past: version 1, with the bug");
  await computeThePast(stage);
  const before = await fingerprint(client);

  story.chapter("The fix: version 2");
  await using rederive = await open(stage, afterTheFix);
  const backfill = await planTheFix(stage, rederive);

  story.chapter("Run");
  const status = await run(stage, rederive, backfill, "rederive.config.ts");
  const changed = await compare(stage, backfill, status);

  story.chapter("Promote");
  await promote(stage, backfill, "checked with the operations room");
  if (stage.options.plant) await plant(stage);

  story.chapter("Proof");
  const divergence = await prove(stage, 2);

  story.chapter("Roll back, and forward again");
  const rollbackDivergence = await rollBack(stage, backfill, before);
  await promote(stage, backfill, "the rollback was an exercise");
  const again = await rederive.as(actor).preview({ reason: "is anything left?" });
  story.line(again.forecast.tasks === 0 ? "a new plan is empty: nothing is out of date" : "a new plan is not empty");
  return { rows, tasks: status.total, changed, divergence, rollbackDivergence };
}

function keep(story: Story, servers: EmbeddedServers): void {
  story.line("Postgres keeps running; end it with: kill -INT <pid>");
  print({ event: "kept", databaseUrl: servers.databaseUrl, pid: servers.postgresPid });
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

const options = readOptions();
if (options === undefined) process.exitCode = 2;
else {
  await demo(options).catch((error: unknown) => {
    process.stderr.write(`demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
