/** What the fault tests have in common inside the test runner: servers, seeds and the examination at the end. */
import { expect } from "vitest";
import type { Backfill } from "../../src/backfill.ts";
import { withDatabase } from "../support/postgres.ts";
import { withOwnRedis, withRedis } from "../support/redis.ts";
import { eventually, randomOf } from "./fleet.ts";
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
export async function startAll({ acting }: Stage): Promise<Backfill> {
  const backfill = await acting.plan({ reason: "chaos" });
  await backfill.start();
  return backfill;
}

/** Resolves when so many tasks are done. */
export async function untilDone(stage: Stage, id: string, count: number): Promise<void> {
  await eventually(
    () => stage.countDone(id),
    (done) => done >= count,
    { everyMs: 10, what: `${count} tasks of ${id} done`, doomed: () => stage.fleet.crashes[0] },
  );
}

/** Every task took effect exactly once, the output is right, and nobody left anything behind. */
export async function expectExactlyOnce(stage: Stage, id: string, total?: number): Promise<Findings> {
  const found = await examine(stage.sql, id);
  expect(Object.keys(found.states)).toEqual(["done"]);
  if (total !== undefined) expect(found.states["done"]).toBe(total);
  expect(found).toMatchObject({
    stamps: found.states["done"],
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
