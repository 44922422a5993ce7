/** Processes and servers die, freeze and come back in the middle of a backfill; each task takes effect exactly once. */
import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { lacks } from "../support/require.ts";
import { end, eventually, freezeCopier, killHolder } from "./fleet.ts";
import { expectExactlyOnce, play, startAll, untilDone } from "./harness.ts";

describe.skipIf(lacks("own-redis"))("a fleet under faults", { timeout: 150_000 }, () => {
  it("workers killed while they hold tasks", async () => {
    await play({}, async (stage) => {
      const { fleet, random, sql } = stage;
      const backfill = await startAll(stage);
      const { total } = await backfill.status();
      fleet.start("planner");
      fleet.startMany("worker", 2);
      let done = 0;
      for (let kill = 0; kill < 4; kill += 1) {
        done += Math.floor(random() * (total / 6));
        await untilDone(stage, backfill.id, done);
        await killHolder(sql, fleet);
      }
      await stage.reaches(backfill.id, "verified");
      await expectExactlyOnce(stage, backfill.id, total);
    });
  });

  it("a worker frozen inside a COPY past its lease, then awake again", async () => {
    await play({ shape: { ranges: 60, slow: [7, 23, 41] } }, async (stage) => {
      const { fleet, sql } = stage;
      const backfill = await startAll(stage);
      fleet.start("planner");
      fleet.startMany("worker", 2);
      const frozen = await freezeCopier(sql, fleet);
      await eventually(
        () =>
          sql.query<{ epoch: number; state: string }>("select epoch, state from rederive.task where id = $1::int8", [
            frozen.task,
          ]),
        ([task]) => task?.state === "done" && task.epoch > frozen.epoch,
        { what: "another worker has done the frozen task" },
      );
      frozen.member.child.kill("SIGCONT");
      await stage.reaches(backfill.id, "verified");
      // Awake, it finds its lease run out and joins the fleet again.
      await eventually(
        () =>
          sql.query("select id from rederive.worker where pid = $1::int4 and lease_until > clock_timestamp()", [
            frozen.workerPid,
          ]),
        (rows) => rows.length === 1,
      );
      await expectExactlyOnce(stage, backfill.id);
    });
  });

  it("a frozen worker whose connection nobody ended wakes up beside the attempt that replaced it", async () => {
    await play({ shape: { ranges: 60, slow: [7, 23, 41] } }, async (stage) => {
      const { fleet, sql } = stage;
      const backfill = await startAll(stage);
      fleet.start("planner");
      fleet.startMany("worker", 2);
      const frozen = await freezeCopier(sql, fleet);
      // What a reclaim does, but for the end of the backend: as where a proxy hides which one it is.
      await sql.query(
        "update rederive.task set state = 'ready', worker = null, backend_pid = null where worker in (select id from rederive.worker where pid = $1::int4) and state = 'running'",
        [frozen.workerPid],
      );
      await eventually(
        () => sql.query<{ epoch: number }>("select epoch from rederive.task where id = $1::int8", [frozen.task]),
        ([task]) => (task?.epoch ?? 0) > frozen.epoch,
        { what: "another worker has claimed the frozen task" },
      );
      frozen.member.child.kill("SIGCONT");
      await stage.reaches(backfill.id, "verified");
      // Its transaction goes on or is cut; what counts is what is there when it has ended.
      await eventually(
        () =>
          sql.query("select pid from pg_stat_activity where pid = $1::int4 and xact_start is not null", [
            frozen.backendPid,
          ]),
        (open) => open.length === 0,
        { what: "the end of the late attempt" },
      );
      await expectExactlyOnce(stage, backfill.id);
    });
  });

  it("Redis flushed twice in the middle", async () => {
    await play({ ownRedis: true }, async (stage) => {
      const { fleet, random, rederive } = stage;
      const backfill = await startAll(stage);
      const { total } = await backfill.status();
      fleet.start("planner");
      fleet.startMany("worker", 2);
      const redis = new Redis(rederive.settings.redisUrl ?? "");
      try {
        for (const part of [0.1, 0.5]) {
          await untilDone(stage, backfill.id, Math.floor(total * (part + random() * 0.3)));
          await redis.flushall();
        }
      } finally {
        redis.disconnect();
      }
      await stage.reaches(backfill.id, "verified");
      await expectExactlyOnce(stage, backfill.id, total);
    });
  });

  it("the leading planner killed, another one takes over", async () => {
    await play({ shape: { ranges: 200 }, settings: { windowTasks: 60 } }, async (stage) => {
      const { fleet, random } = stage;
      const backfill = await startAll(stage);
      const { total } = await backfill.status();
      const first = fleet.start("planner", { keep: false });
      fleet.startMany("worker", 2);
      await untilDone(stage, backfill.id, 1 + Math.floor(random() * (total / 3)));
      fleet.start("planner");
      await end(first, "SIGKILL");
      await stage.reaches(backfill.id, "verified");
      await expectExactlyOnce(stage, backfill.id, total);
    });
  });

  it("storms of terminated connections", async () => {
    await play({}, async (stage) => {
      const { fleet, random, sql } = stage;
      const backfill = await startAll(stage);
      const { total } = await backfill.status();
      fleet.start("planner");
      fleet.startMany("worker", 2);
      for (let storm = 1; storm <= 3; storm += 1) {
        await untilDone(stage, backfill.id, Math.floor((total / 4) * (storm - random())));
        // Lanes, control pools, the planner's too: everything but this test.
        await sql.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid() and application_name like 'rederive%'`,
        );
      }
      await stage.reaches(backfill.id, "verified");
      await expectExactlyOnce(stage, backfill.id, total);
    });
  });

  it("a fleet told to stop drains, and the next one goes on", async () => {
    await play({}, async (stage) => {
      const { fleet, random, sql } = stage;
      const backfill = await startAll(stage);
      const { total } = await backfill.status();
      fleet.start("planner");
      const workers = fleet.startMany("worker", 2, { keep: false });
      await untilDone(stage, backfill.id, 1 + Math.floor(random() * (total / 2)));
      await Promise.all(workers.map((worker) => end(worker, "SIGTERM")));
      expect(workers.map(({ child }) => child.exitCode)).toEqual([0, 0]);
      fleet.crashes.length = 0;
      const [running] = await sql.query<{ count: number }>(
        "select count(*)::int4 as count from rederive.task where state = 'running'",
      );
      expect(running?.count).toBe(0);
      fleet.startMany("worker", 2);
      await stage.reaches(backfill.id, "verified");
      const [losses] = await sql.query<{ losses: number }>("select sum(losses)::int4 as losses from rederive.task");
      expect(losses?.losses).toBe(0);
      await expectExactlyOnce(stage, backfill.id, total);
    });
  });
});
