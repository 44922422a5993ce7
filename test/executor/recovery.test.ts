import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { afterEach, describe, expect, it } from "vitest";
import { addJobs } from "../../src/executor/deliver.ts";
import { jobIdOf } from "../../src/executor/queues.ts";
import { Recovery } from "../../src/executor/recovery.ts";
import { releaseWindow } from "../../src/executor/release.ts";
import { Sweeper } from "../../src/executor/sweeper.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { runningBackfills } from "../../src/store/release.ts";
import { createRoles, grantControlRights, grantSessionRights } from "../../src/store/roles.ts";
import { registerWorker } from "../../src/store/workers.ts";
import { type Backend, independent, monthsOfDays, type Stage, seedBackfill, withStage } from "../support/delivery.ts";
import { hasRedis } from "../support/redis.ts";

const backends: Backend[] = hasRedis() ? ["redis", "postgres"] : ["postgres"];
const sessions: postgres.Sql[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.end({ timeout: 1 }).catch(() => {});
});

async function release(stage: Stage) {
  const backfills = await runningBackfills(stage.database);
  for (const backfill of backfills) await releaseWindow(stage, backfill, []);
  return backfills;
}

/** Makes the backfill's first task look claimed by a worker whose work connection is `sql`. */
async function claimBy(stage: Stage, worker: { leaseMs: number }, databaseUrl = stage.databaseUrl) {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  sessions.push(sql);
  const name = `w_${Math.random()}`;
  await registerWorker(stage.database, {
    id: name,
    kind: "worker",
    host: "h",
    pid: 1,
    concurrency: 1,
    definitions: {},
    ...worker,
  });
  const [backend] =
    await sql`select pid, backend_start::text as start from pg_stat_activity where pid = pg_backend_pid()`;
  const [task] = await stage.database.query<{ id: string }>(
    `update rederive.task set state = 'running', epoch = epoch + 1, worker = $1::text, backend_pid = $2::int4,
       backend_start = $3::text, claimed_at = clock_timestamp()
     where id = (select min(id) from rederive.task) returning id::text as id`,
    [name, backend?.["pid"], backend?.["start"]],
  );
  return { id: task?.id ?? "", sql };
}

/** Logins of their own that may read the control schema, and do no more until they are granted something. */
async function withLogins(
  stage: Stage,
  work: (
    logins: Readonly<Record<"worker" | "planner", { readonly name: string; readonly url: string }>>,
  ) => Promise<void>,
): Promise<void> {
  await stage.database.transaction(async (tx) => {
    await createRoles(tx);
    await grantControlRights(tx);
    await grantSessionRights(tx);
  });
  const loginOf = async (kind: string) => {
    const name = `t_${kind}_${randomBytes(4).toString("hex")}`;
    await stage.database.query(`create role ${name} login password 'x' in role rederive_audit`);
    const url = new URL(stage.databaseUrl);
    [url.username, url.password] = [name, "x"];
    return { name, url: url.toString() };
  };
  const logins = { worker: await loginOf("worker"), planner: await loginOf("planner") };
  try {
    await work(logins);
  } finally {
    await stage.database.query(`drop role ${logins.worker.name}, ${logins.planner.name}`);
  }
}

const taskOf = async (stage: Stage, id: string) =>
  (
    await stage.database.query<{ state: string; losses: number }>(
      "select state, losses from rederive.task where id = $1::int8",
      [id],
    )
  )[0];

describe.each(backends)("recovery on %s", (backend) => {
  it("leaves a live attempt alone, brings back one whose connection is gone, and delivers it at once", async () => {
    await withStage(backend, async (stage) => {
      const backfill = await seedBackfill(stage.database, independent(2));
      await release(stage);
      const { id, sql } = await claimBy(stage, { leaseMs: 60_000 });
      const recovery = new Recovery(stage, { graceMs: 0 });
      expect(await recovery.recover()).toEqual({ recovered: 0, quarantined: 0 });
      await sql.end({ timeout: 1 });
      expect(await recovery.recover()).toEqual({ recovered: 1, quarantined: 0 });
      expect(await taskOf(stage, id)).toEqual({ state: "ready", losses: 1 });
      expect(await stage.queues.queueFor("backfill").getJobState(`${jobIdOf(backfill, id)}~1`)).toBe("waiting");
    });
  });
});

describe("recovery", () => {
  it("ends the backend of a worker that was silent past its lease", async () => {
    await withStage("postgres", async (stage) => {
      await seedBackfill(stage.database, independent(1));
      await release(stage);
      const { id, sql } = await claimBy(stage, { leaseMs: 0 });
      const frozen = sql`select pg_sleep(30)`.then(
        () => "slept",
        () => "ended",
      );
      expect(await new Recovery(stage).recover()).toEqual({ recovered: 1, quarantined: 0 });
      expect(await frozen).toBe("ended");
      expect(await taskOf(stage, id)).toEqual({ state: "ready", losses: 1 });
    });
  });

  it("takes no session for gone that another login hides, and says that it cannot end it", async () => {
    await withStage("postgres", async (stage) => {
      await seedBackfill(stage.database, independent(1));
      await release(stage);
      await withLogins(stage, async ({ worker, planner }) => {
        const { id, sql } = await claimBy(stage, { leaseMs: 0 }, worker.url);
        const database = openDatabase(planner.url, { max: 2 });
        const told: string[] = [];
        const recovery = new Recovery({ ...stage, database, onError: (message) => told.push(message) });
        expect(await recovery.recover()).toEqual({ recovered: 0, quarantined: 0 });
        // To see it is not to be allowed to end it.
        await stage.database.query(`grant pg_read_all_stats to ${planner.name}`);
        expect(await recovery.recover()).toEqual({ recovered: 0, quarantined: 0 });
        expect(await taskOf(stage, id)).toEqual({ state: "running", losses: 0 });
        const answer = sql`select pg_sleep(30)`.then(
          () => "slept",
          () => "ended",
        );
        expect(told).toEqual([expect.stringContaining("cannot be ended")]);
        await stage.database.query(`grant rederive_worker to ${planner.name}`);
        expect(await recovery.recover()).toEqual({ recovered: 1, quarantined: 0 });
        expect(await answer).toBe("ended");
        await database.close();
      });
    });
  });

  it("leaves a task whose row somebody holds to the next look", async () => {
    await withStage("postgres", async (stage) => {
      await seedBackfill(stage.database, independent(1));
      await release(stage);
      const { id, sql } = await claimBy(stage, { leaseMs: 60_000 });
      await sql.end({ timeout: 1 });
      const recovery = new Recovery(stage, { graceMs: 0, lockTimeoutMs: 20 });
      await stage.database.transaction(async (tx) => {
        await tx.query("select from rederive.task where id = $1::int8 for update", [id]);
        expect(await recovery.recover()).toEqual({ recovered: 0, quarantined: 0 });
      });
      expect(await recovery.recover()).toEqual({ recovered: 1, quarantined: 0 });
    });
  });

  it("quarantines after three losses", async () => {
    await withStage("postgres", async (stage) => {
      await seedBackfill(stage.database, independent(1));
      await release(stage);
      const recovery = new Recovery(stage);
      const outcomes = [];
      for (let loss = 0; loss < 3; loss += 1) {
        await claimBy(stage, { leaseMs: 0 });
        outcomes.push(await recovery.recover());
      }
      expect(outcomes.map((each) => each.quarantined)).toEqual([0, 0, 1]);
      const told = await stage.database.query("select actor, act, dataset, reason from rederive.audit");
      expect(told).toEqual([
        { actor: "planner", act: "task.quarantine", dataset: "plain", reason: "its worker was lost 3 times" },
      ]);
    });
  });
});

describe.each(backends)("the sweeper on %s", (backend) => {
  it("brings back jobs that are gone, and leaves the others", async () => {
    await withStage(backend, async (stage) => {
      const backfill = await seedBackfill(stage.database, independent(40));
      const backfills = await release(stage);
      const sweeper = new Sweeper(stage, { graceMs: 0, childrenMs: 0, pageTasks: 7 });
      expect(await sweeper.sweep(backfills)).toEqual({ flushed: true, ready: 0, healed: 0 });
      const queue = stage.queues.queueFor("backfill");
      const jobs = await queue.getJobs(["waiting"], 0, 9);
      for (const job of jobs) await queue.remove(job.id ?? "");
      expect(await sweeper.sweep(backfills)).toEqual({ flushed: false, ready: 0, healed: jobs.length });
      expect(await sweeper.sweep(backfills)).toEqual({ flushed: false, ready: 0, healed: 0 });
      expect(await queue.getJobState(jobIdOf(backfill, jobs[0]?.id?.split("~")[1] ?? ""))).toBe("waiting");
    });
  });

  it("tells consumers of a worker that died after its commit, and opens their gates", async () => {
    await withStage(backend, async (stage) => {
      await seedBackfill(stage.database, monthsOfDays(1));
      const backfills = await release(stage);
      await stage.database.query("update rederive.task set state = 'running' where dataset = 'day'");
      await stage.database.query("update rederive.task set state = 'done' where dataset = 'day'");
      await stage.database.query("update rederive.edge set done = true");
      const sweeper = new Sweeper(stage, { graceMs: 0, childrenMs: 0 });
      const swept = await sweeper.sweep(backfills);
      expect(swept).toMatchObject({ ready: 31, healed: 31 });
      const states = await Promise.all(
        (
          await stage.database.query<{ id: string; backfill: string }>(
            "select id::text as id, backfill from rederive.task where dataset <> 'day'",
          )
        ).map((task) => stage.queues.queueFor("backfill").getJobState(jobIdOf(task.backfill, task.id))),
      );
      expect(new Set(states)).toEqual(new Set(["waiting"]));
    });
  });

  it("adding a job twice changes nothing", async () => {
    await withStage(backend, async (stage) => {
      const backfill = await seedBackfill(stage.database, independent(1));
      await release(stage);
      const [task] = await stage.database.query<{ id: string }>("select id::text as id from rederive.task");
      await addJobs(stage.queues, [
        { id: task?.id ?? "", backfill, dataset: "plain", queue: "backfill", traceparent: null },
      ]);
      expect(await stage.queues.queueFor("backfill").getJobCounts("waiting")).toEqual({ waiting: 1 });
    });
  });
});
