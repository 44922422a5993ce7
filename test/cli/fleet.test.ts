import { describe, expect, it } from "vitest";
import type { Status } from "../../src/report.ts";
import { eventually } from "../support/eventually.ts";
import { lacks } from "../support/require.ts";
import { type Running, withShop } from "./command.ts";

const slow = { SHOP_SECONDS: "0.5" };

describe.skipIf(lacks("redis"))("a fleet of processes", () => {
  it("runs a backfill that the command follows; SIGTERM drains", { timeout: 240_000 }, async () => {
    await withShop(async (shop) => {
      const planner = shop.start(["planner"], slow);
      const workers = [1, 2].map(() => shop.start(["worker", "--concurrency", "2"], slow));
      const run = await shop.run(["run", "--reason", "first", "--json"], slow);
      expect([run.code, run.json()]).toMatchObject([0, { event: "finished", state: "verified", tasks: { done: 42 } }]);
      const { workers: alive } = await statusOf(shop.run(["status", "--json"], slow));
      expect(alive).toBe(2);
      for (const running of [...workers, planner]) expect(await stop(running)).toBe(0);
      expect(await statusOf(shop.run(["status", "--json"], slow))).toMatchObject({ workers: 0 });
    });
  });

  it("a draining worker finishes what it runs, and a follower leaves at Ctrl-C", { timeout: 240_000 }, async () => {
    await withShop(async (shop) => {
      const planner = shop.start(["planner"], slow);
      const worker = shop.start(["worker", "--concurrency", "1"], slow);
      const follower = shop.start(["run", "--reason", "first", "--json"], slow);
      await eventually(
        () => shop.query("select from rederive.task where state = 'running'"),
        (tasks) => tasks.length > 0,
        { what: "a task is running" },
      );
      expect(await stop(worker)).toBe(0);
      expect(await shop.query("select from rederive.task where state = 'running'")).toEqual([]);
      expect(await shop.query("select from rederive.task where state in ('failed', 'quarantined')")).toEqual([]);
      follower.child.kill("SIGINT");
      const answer = await follower.ended;
      expect([answer.code, answer.stderr]).toEqual([130, expect.stringContaining("goes on with the fleet")]);
      expect(await stop(planner)).toBe(0);
    });
  });

  it("a server answers, scrapes the fleet and stops", { timeout: 120_000 }, async () => {
    await withShop(async (shop) => {
      const server = shop.start(["server", "--port", "0"]);
      const [, url] = await server.says(/listens on (\S+)\n/);
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      const metrics = await (await fetch(`${url}/metrics`)).text();
      expect(metrics).toMatch(/rederive_task_states.*state="running".* 0/);
      expect(metrics).toMatch(/rederive_queue_depth.*queue="backfill"/);
      expect(await stop(server)).toBe(0);
    });
  });
});

async function stop({ child, ended }: Running): Promise<number | null> {
  child.kill("SIGTERM");
  return (await ended).code;
}

async function statusOf(answer: Promise<{ json<Value>(): Value }>): Promise<Status> {
  const [latest] = (await answer).json<{ backfills: Status[] }>().backfills;
  if (latest === undefined) throw new Error("there is no backfill");
  return latest;
}
