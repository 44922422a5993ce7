import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { applyLimits, effectiveLimits } from "../../src/executor/limits.ts";
import { type QueueLimit, writeLimit } from "../../src/store/limits.ts";
import { type Backend, type Stage, withStage } from "../support/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { hasRedis } from "../support/redis.ts";
import { lacks } from "../support/require.ts";

const queue = "resource-bank";
const aLimit = (max: number | null, concurrency: number | null = null): QueueLimit => ({
  queue,
  rate: max === null ? null : { max, perMs: 1_000 },
  concurrency,
});

describe("effectiveLimits", () => {
  it("lets a change at run time win over the catalog, also one that lifts the limit", () => {
    expect(effectiveLimits([aLimit(50)], [])).toEqual([aLimit(50)]);
    expect(effectiveLimits([aLimit(50)], [aLimit(20)])).toEqual([aLimit(20)]);
    expect(effectiveLimits([aLimit(50)], [aLimit(null)])).toEqual([aLimit(null)]);
  });
});

const backends: Backend[] = hasRedis() ? ["redis", "postgres"] : ["postgres"];

describe.each(backends)("limits on %s", (backend) => {
  it("sets, changes and lifts them, and puts them back when they were lost", async () => {
    await withStage(backend, async (stage) => {
      const now = async () => [
        await stage.queues.queueFor(queue).getGlobalRateLimit(),
        await stage.queues.queueFor(queue).getGlobalConcurrency(),
      ];
      expect(await applyLimits(stage, [aLimit(50, 4)])).toBe(2);
      expect(await now()).toEqual([{ max: 50, duration: 1_000 }, 4]);
      expect(await applyLimits(stage, [aLimit(50, 4)])).toBe(0);
      await stage.queues.queueFor(queue).removeGlobalRateLimit();
      expect(await applyLimits(stage, [aLimit(50, 4)])).toBe(1);
      await writeLimit(stage.database, aLimit(null, 2), "someone");
      expect(await applyLimits(stage, [aLimit(50, 4)])).toBe(2);
      expect(await now()).toEqual([null, 2]);
    });
  });
});

describe.skipIf(lacks("redis"))("a rate over two worker processes", () => {
  it("is held within 5 % and changes at run time", async () => {
    await withStage("redis", async (stage) => {
      const starts: number[] = [];
      await applyLimits(stage, [aLimit(50)]);
      await stage.queues
        .queueFor(queue)
        .addBulk(Array.from({ length: 3_000 }, (_, index) => ({ name: "x", data: { t: String(index) } })));
      const processes = await Promise.all([aWorkerProcess(stage, starts), aWorkerProcess(stage, starts)]);
      onTestFinished(() => void processes.map((each) => each.kill("SIGKILL")));
      const first = await rateOver(starts, 3);
      await writeLimit(stage.database, aLimit(200), "someone");
      await applyLimits(stage, [aLimit(50)]);
      const second = await rateOver(starts, 2);
      console.log(`two processes: ${first.toFixed(1)}/s at 50/s, ${second.toFixed(1)}/s at 200/s`);
      expect(first).toBeGreaterThan(47.5);
      expect(first).toBeLessThan(52.5);
      expect(second).toBeGreaterThan(190);
      expect(second).toBeLessThan(210);
      await Promise.all(processes.map(end));
    });
  });
});

/**
 * Starts a second, over whole periods of the limiter. A period's jobs go in one burst at its beginning, so the count
 * goes from the middle of one period to the middle of another; the period under way may belong to the former limit.
 */
async function rateOver(starts: number[], periods: number): Promise<number> {
  const from = Date.now() + 1_000;
  const burst = await eventually(
    () => starts.find((start) => start > from),
    (start) => start !== undefined,
    { what: "the next burst of jobs", everyMs: 20 },
  );
  const begin = (burst ?? 0) + 500;
  const end = begin + periods * 1_000;
  await eventually(
    () => Date.now(),
    (now) => now > end + 100,
    { what: "the end of the measured periods", everyMs: 20 },
  );
  return starts.filter((start) => start >= begin && start < end).length / periods;
}

async function aWorkerProcess(stage: Stage, starts: number[]): Promise<ChildProcess> {
  const script = fileURLToPath(new URL("../support/limited-worker.ts", import.meta.url));
  const { url, prefix } = stage.redis ?? { url: "", prefix: "{t}" };
  const child = fork(script, [stage.queues.backend, stage.databaseUrl, url, prefix, queue], {
    execArgv: ["--import", "tsx"],
  });
  await new Promise<void>((ready, fail) => {
    child.once("error", fail);
    child.on("message", (message) => {
      if (message === "ready") ready();
      else starts.push(Number(message));
    });
  });
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.send("end");
  await ended;
}
