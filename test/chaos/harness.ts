/** What the fault tests have in common inside the test runner: servers, seeds and the examination at the end. */
import { expect } from "vitest";
import type { Backfill } from "../../src/backfill.ts";
import { eventually } from "../support/eventually.ts";
import { withDatabase } from "../support/postgres.ts";
import { withOwnRedis, withRedis } from "../support/redis.ts";
import { type Member, randomOf } from "./fleet.ts";
import { examine, type Findings, leftovers } from "./invariants.ts";
import type { Shape } from "./oracle.ts";
import { type Stage, type StageOptions, withStage } from "./stage.ts";

export interface Play extends Stage {
  readonly random: () => number;
}

export interface PlayOptions extends Partial<Pick<StageOptions, "settings" | "catalog">> {
  readonly shape?: Partial<Shape>;
  /** A Redis that may be flushed or ended. */
  readonly ownRedis?: boolean;
}

/** A backfill under way on a fleet. */
export interface Run extends Play {
  readonly backfill: Backfill;
  /** How many tasks it has. */
  readonly total: number;
  readonly planner: Member;
  readonly workers: readonly Member[];
}

export interface Cast {
  /** Tasks at a time in each worker. Default 2. */
  readonly concurrency?: number;
  /** Members of this role are not replaced when they die. */
  readonly mortal?: "planner" | "worker";
}

/** Small enough for seconds: about 320 tasks. */
const smallShape = { ranges: 120, days: 40 };

/** A seed that is printed; CHAOS_SEED repeats one. */
export function seedOf(): number {
  const seed = Number(process.env["CHAOS_SEED"] ?? Math.floor(Math.random() * 1_000_000));
  console.log(`${expect.getState().currentTestName}: seed ${seed}`);
  return seed;
}

/** Runs a scenario on a stage of its own. */
export async function play(options: PlayOptions, scenario: (play: Play) => Promise<void>): Promise<void> {
  const seed = seedOf();
  const withServer = options.ownRedis === true ? withOwnRedis : withRedis;
  await withDatabase((databaseUrl) =>
    withServer((redis) =>
      withStage(
        {
          databaseUrl,
          redisUrl: redis.url,
          prefix: redis.prefix,
          shape: { ...smallShape, seed, ...options.shape },
          ...(options.settings && { settings: options.settings }),
          ...(options.catalog && { catalog: options.catalog }),
        },
        (stage) => scenario({ ...stage, random: randomOf(seed) }),
      ),
    ),
  );
}

/** Plans everything and starts it. */
export async function startAll({ acting }: Stage): Promise<{ backfill: Backfill; total: number }> {
  const backfill = await acting.plan({ reason: "chaos" });
  const { total } = await backfill.start();
  return { backfill, total };
}

/** Starts everything, on a planner and two workers. */
export async function runAll(stage: Play, { concurrency = 2, mortal }: Cast = {}): Promise<Run> {
  const { backfill, total } = await startAll(stage);
  const planner = stage.fleet.start("planner", { keep: mortal !== "planner" });
  const workers = stage.fleet.startMany("worker", 2, { concurrency, keep: mortal !== "worker" });
  return { ...stage, backfill, total, planner, workers };
}

/** Lets a fault happen to everything that runs: it is done in the end, and each task took effect exactly once. */
export async function survive(stage: Play, fault: (run: Run) => Promise<void>, cast?: Cast): Promise<void> {
  const run = await runAll(stage, cast);
  await fault(run);
  await run.reaches(run.backfill.id, "verified");
  await expectExactlyOnce(run, run.backfill.id, run.total);
}

/** Resolves when so many tasks are done. */
export async function untilDone(stage: Stage, id: string, count: number): Promise<void> {
  await eventually(
    () => stage.countDone(id),
    (done) => done >= count,
    { everyMs: 10, withinMs: 90_000, what: `${count} tasks of ${id} done`, doomed: () => stage.fleet.crashes[0] },
  );
}

/** Resolves at a random moment of the first part (0 to 1) of a run. */
export async function untilWithin(run: Run, part: number): Promise<void> {
  await untilDone(run, run.backfill.id, 1 + Math.floor(run.random() * run.total * part));
}

/** Every task took effect exactly once, the output is right, and nobody left anything behind. */
export async function expectExactlyOnce(stage: Stage, id: string, total: number): Promise<Findings> {
  const found = await examine(stage.sql, id);
  expect(found.states).toEqual({ done: total });
  expect(found).toMatchObject({
    stamps: total,
    effectsPerTaskMax: 1,
    uncounted: 0,
    crookedEdges: 0,
    early: 0,
    running: 0,
    divergence: Object.fromEntries(Object.keys(found.divergence).map((dataset) => [dataset, 0])),
  });
  expect(stage.fleet.crashes).toEqual([]);
  await eventually(
    () => leftovers(stage.sql),
    (left) => left.length === 0,
    { withinMs: 5_000, what: "no transaction left open" },
  );
  return found;
}
