/** A rewrite in the middle of the flights example that changes no row: that dataset is computed, and nothing below it. */
import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RunEvent, Status } from "../../src/report.ts";
import { type Answer, repository, runCommand, type Variables } from "../cli/command.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { redisUrlIfAny } from "../support/require.ts";

const example = join(repository, "examples/flights");

/** Forty days over two months, a hundred flights each. */
const rows = `insert into flight (id, departed_at, delay, distance, origin, destination)
  select n, timestamp '2001-01-10 05:00' + (n / 100) * interval '1 day' + (n % 100) * interval '10 minutes', n % 50 - 10,
    100 + n % 2000, (array['BOS','SFO','JFK'])[n % 3 + 1], (array['LAX','ORD'])[n % 2 + 1] from generate_series(0, 3999) n`;

let folder = "";
let env: Variables = {};
let close: () => Promise<void> = async () => {};

beforeAll(async () => {
  await mkdir(join(repository, ".rederive"), { recursive: true });
  folder = await mkdtemp(join(repository, ".rederive/cutoff-"));
  const database = await createTestDatabase();
  close = async () => {
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  };
  env = {
    DATABASE_URL: database.url,
    REDIS_URL: redisUrlIfAny(),
    FLIGHTS_PREFIX: `{c${randomBytes(4).toString("hex")}}`,
  };
  const client = new pg.Client(database.url);
  await client.connect();
  await client.query(await readFile(join(example, "schema.sql"), "utf8"));
  await client.query(rows);
  await client.end();
  for (const file of ["catalog.ts", "schema.ts", "oracle.ts"]) await cp(join(example, file), join(folder, file));
  await writeFile(
    join(folder, "rederive.config.ts"),
    `import { defineConfig } from "rederive";
     import { flightsCatalog } from "./catalog.ts";
     export default defineConfig({ catalog: flightsCatalog({ version: 2 }), prefix: process.env.FLIGHTS_PREFIX });`,
  );
}, 60_000);

afterAll(() => close());

async function command(...args: string[]): Promise<Answer> {
  const answer = await runCommand(args, { cwd: folder, env });
  expect([answer.code, answer.stderr]).toEqual([0, expect.anything()]);
  return answer;
}

async function runToEnd(reason: string): Promise<Extract<RunEvent, { event: "finished" }>> {
  const answer = await command("run", "--reason", reason, "--workers", "2", "--json");
  return answer.json();
}

/** Within `airport_day` alone. */
async function rewriteAirportDay(): Promise<void> {
  const text = await readFile(join(folder, "catalog.ts"), "utf8");
  const from = text.indexOf("const airportDay =");
  const to = text.indexOf("const routeDay =");
  const rewritten = text
    .slice(from, to)
    .replace("delayMinutes: minutes,", "delayMinutes: sql<number>`(sum(greatest(delay, 0)) + 0)::integer`,");
  expect(rewritten).not.toBe(text.slice(from, to));
  await writeFile(join(folder, "catalog.ts"), text.slice(0, from) + rewritten + text.slice(to));
}

it("recomputes the days and leaves months, trends and the ranking as they are", { timeout: 180_000 }, async () => {
  const first = await runToEnd("first");
  await command("promote", first.backfill, "--reason", "first");
  await rewriteAirportDay();
  const { backfill, tasks, state } = await runToEnd("rewritten");
  expect({ state, tasks }).toMatchObject({ state: "verified", tasks: { done: 40, unchanged: 43 } });
  const status = (await command("status", backfill, "--json")).json<Status>();
  expect(status.datasets.map(({ dataset, tasks: { done, unchanged } }) => ({ dataset, done, unchanged }))).toEqual([
    { dataset: "airport_day", done: 40, unchanged: 0 },
    { dataset: "airport_month", done: 0, unchanged: 2 },
    { dataset: "airport_trend", done: 0, unchanged: 40 },
    { dataset: "airport_ranking", done: 0, unchanged: 1 },
  ]);
  const { stdout } = await command("status", backfill);
  expect(stdout).toMatch(/dataset +done +unchanged +running/);
  expect(stdout).toMatch(/airport_trend +0 +40 +0/);
  await command("promote", backfill, "--reason", "rewritten");
  // Exits 0 where nothing is left to do.
  await command("plan", "--check", "--reason", "after it");
});
