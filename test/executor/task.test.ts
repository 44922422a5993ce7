import { describe, expect, test } from "vitest";
import type { TaskOutcome } from "../../src/executor/outcome.ts";
import { runTask } from "../../src/executor/task.ts";
import { hashOf } from "../../src/hash.ts";
import { moveBackfill } from "../../src/store/backfills.ts";
import { holdDataset } from "../../src/store/checks.ts";
import { claimTasks } from "../../src/store/claims.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { cancelTasks, retryTasks } from "../../src/store/tasks.ts";
import { liveDefinitions, registerWorker } from "../../src/store/workers.ts";
import { openSession } from "../../src/warehouse/session.ts";
import { eventually } from "../support/eventually.ts";
import { openProxy } from "../support/proxy.ts";
import { backfill, catalogOf, type Fixture, firstDay, january, withFixture } from "./fixture.ts";

const candidate = `"rederive_candidate"."daily_sales__${backfill}"`;

function rowsInCandidate(fixture: Fixture): Promise<{ count: number }> {
  return fixture.row(`select count(*)::int as count from ${candidate}`);
}

function stamps(fixture: Fixture): Promise<{ count: number; epoch: number | null }> {
  return fixture.row("select count(*)::int as count, max(epoch) as epoch from rederive.stamp");
}

/** Another worker that took the task and was killed: its backend is gone. */
async function lose(fixture: Fixture, task: string, losses: number): Promise<void> {
  await fixture.database.query(
    `update rederive.task set state = 'running', epoch = epoch + 1, worker = 'dead', losses = $2::int4,
       claimed_at = clock_timestamp(), backend_pid = 1, backend_start = '2001-01-01 00:00:00+00' where id = $1::int8`,
    [task, losses],
  );
}

describe("a task", () => {
  test("commits rows, stamp, edges and state together, and tells its consumers", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay + 1);
      const settled: string[] = [];
      const outcome = await fixture.run(ref, {
        settle: async (refs) => void settled.push(...refs.map(({ task }) => task)),
      });
      expect(outcome).toEqual({ kind: "done", rows: 1, held: false, consumers: 1 });
      expect(settled).toEqual([ref.task]);
      expect(await fixture.state(ref)).toMatchObject({ state: "done", epoch: 1, attempts: 0, losses: 0, error: null });
      expect(await fixture.row(`select day::text as day, total::int as total from ${candidate}`)).toEqual({
        day: "2001-01-02",
        total: 5,
      });
      expect(await fixture.row("select count(*)::int as count from rederive.edge where done")).toEqual({ count: 1 });
      const stamp = await fixture.row<Record<string, unknown>>("select * from rederive.stamp");
      expect(stamp).toMatchObject({ task: ref.task, epoch: 1, rows_written: "1", worker: "worker-a" });
      expect(stamp["inputs"]).toEqual([
        { input: "sales", dataset: "sales", recomputed: [], live: [[firstDay + 1, firstDay + 2]] },
      ]);
    });
  });

  test("that is found done only tells its consumers again", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const broken = await fixture.run(ref, { settle: () => Promise.reject(new Error("Redis is away")) });
      expect(broken).toMatchObject({ kind: "later", why: "unsettled" });
      const settled: string[] = [];
      expect(
        await fixture.run(ref, { settle: async (refs) => void settled.push(...refs.map(({ task }) => task)) }),
      ).toEqual({
        kind: "settled",
      });
      expect(settled).toEqual([ref.task]);
      expect(await stamps(fixture)).toEqual({ count: 1, epoch: 1 });
    });
  });

  test("reads recomputed partitions from the candidate and the rest from the live table", async () => {
    await withFixture({}, async (fixture) => {
      await fixture.database.query("insert into public.daily_sales values ('2001-01-01', 1000000), ('2001-01-31', 7)");
      for (let day = firstDay; day < firstDay + 10; day += 1) await fixture.run(fixture.taskOf("daily_sales", day));
      const month = fixture.taskOf("monthly_sales", january);
      await fixture.database.query("update rederive.task set state = 'ready' where id = $1::int8", [month.task]);
      expect(await fixture.run(month)).toMatchObject({ kind: "done", rows: 1 });
      const { total } = await fixture.row<{ total: number }>(
        `select total::int as total from "rederive_candidate"."monthly_sales__${backfill}"`,
      );
      expect(total).toBe(190 + 7);
    });
  });

  test("that is retried replaces what it wrote before", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      await fixture.run(ref);
      await fixture.database.query("update public.sales set amount = 40 where id = 0");
      await retryTasks(fixture.database, {
        backfill,
        dataset: "daily_sales",
        partitions: [[firstDay, firstDay + 1]],
        alsoDone: true,
      });
      expect(await fixture.run(ref)).toMatchObject({ kind: "done", rows: 1 });
      expect(await stamps(fixture)).toEqual({ count: 1, epoch: 2 });
      expect(await fixture.row(`select total::int as total from ${candidate}`)).toEqual({ total: 41 });
    });
  });
});

describe("the claim", () => {
  test("is won by one of fifty", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const { context, dispose } = await fixture.worker();
      const session = await openSession(fixture.url, { applicationName: "claimer" });
      const many = openDatabase(fixture.url, { max: 25 });
      const args = {
        tasks: [ref.task],
        backfill: ref.backfill,
        dataset: ref.dataset,
        worker: "worker-a",
        backendPid: session.pid,
        backendStart: session.startedAt,
        planHash: fixture.planHash,
        definition: context.definitions["daily_sales"] as string,
        upstreams: ["sales"],
        maxLosses: 3,
        alone: true,
      };
      const claims = await Promise.all(Array.from({ length: 50 }, () => claimTasks(many, args)));
      const outcomes = claims.map(([claim]) => claim?.outcome);
      expect(outcomes.filter((outcome) => outcome === "claimed")).toHaveLength(1);
      expect(outcomes.every((outcome) => ["claimed", "busy", "contended"].includes(outcome ?? ""))).toBe(true);
      expect(await fixture.state(ref)).toMatchObject({ state: "running", epoch: 1 });
      await Promise.all([many.close(), session.end(), dispose()]);
    });
  });

  test.each<[string, (fixture: Fixture) => Promise<unknown>, Partial<TaskOutcome>]>([
    [
      "paused",
      (f) => moveBackfill(f.database, { id: backfill, to: "paused", reason: "test" }),
      { kind: "later", why: "paused" },
    ],
    [
      "held",
      (f) => moveBackfill(f.database, { id: backfill, to: "held", reason: "test" }),
      { kind: "later", why: "held" },
    ],
    [
      "waiting",
      (f) => f.database.query("update rederive.task set state = 'waiting'"),
      { kind: "later", why: "not_ready" },
    ],
    ["cancelled", (f) => cancelTasks(f.database, backfill), { kind: "cancelled" }],
    [
      "failed",
      (f) => f.database.query('update rederive.task set state = \'failed\', error = \'{"code":"x","message":"y"}\''),
      { kind: "failed", code: "x", message: "y" },
    ],
  ])("is refused where it is %s", async (_, act, expected) => {
    await withFixture({}, async (fixture) => {
      await act(fixture);
      const ref = fixture.taskOf("daily_sales", firstDay);
      expect(await fixture.run(ref)).toMatchObject(expected);
      expect(await fixture.state(ref)).toMatchObject({ epoch: 0 });
    });
  });

  test("waits for undone upstreams, even where the state says ready", async () => {
    await withFixture({}, async (fixture) => {
      const month = fixture.taskOf("monthly_sales", january);
      await fixture.database.query("update rederive.task set state = 'ready' where id = $1::int8", [month.task]);
      expect(await fixture.run(month)).toMatchObject({ kind: "later", why: "not_ready" });
    });
  });

  test("stops at a hold upstream and at no other", async () => {
    await withFixture({}, async (fixture) => {
      await fixture.database.query("update rederive.edge set done = true");
      await fixture.database.query("update rederive.task set state = 'ready'");
      await holdDataset(fixture.database, { backfill, dataset: "daily_sales", reason: "test" });
      expect(await fixture.run(fixture.taskOf("monthly_sales", january))).toMatchObject({ kind: "later", why: "held" });
      expect(await fixture.run(fixture.taskOf("daily_sales", firstDay))).toMatchObject({ kind: "done" });
      expect(await fixture.run(fixture.taskOf("receipts", firstDay))).toMatchObject({ kind: "done" });
    });
  });

  test("is refused to a worker with another definition", async () => {
    await withFixture({}, async (fixture) => {
      const other = catalogOf({ total: "sum(amount)::bigint + 1" });
      expect(await fixture.run(fixture.taskOf("daily_sales", firstDay), { catalog: other })).toMatchObject({
        kind: "later",
        why: "drift",
      });
    });
  });

  test("refuses a job that names no task, or another dataset", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      expect(await fixture.run({ ...ref, task: "999999" })).toMatchObject({
        kind: "failed",
        code: "verification_failed",
      });
      expect(await fixture.run({ ...ref, dataset: "receipts" })).toMatchObject({
        kind: "failed",
        code: "verification_failed",
      });
      expect(await fixture.run({ ...ref, backfill: "bf_other" })).toMatchObject({ kind: "failed", code: "not_found" });
    });
  });

  test("refuses a plan that was altered, before and after the worker has read it", async () => {
    await withFixture({}, async (fixture) => {
      const { context, dispose } = await fixture.worker();
      const first = fixture.taskOf("daily_sales", firstDay);
      const second = fixture.taskOf("daily_sales", firstDay + 1);
      expect(await runTask(first, context)).toMatchObject({ kind: "done" });
      const { decision } = await fixture.row<{ decision: string }>("select decision from rederive.backfill");
      const forged = decision.replace("fingerprint of daily_sales", "another one");
      await fixture.database.query("alter table rederive.backfill disable trigger backfill_guard");
      await fixture.database.query("update rederive.backfill set decision = $1, plan_hash = $2", [
        forged,
        hashOf(JSON.parse(forged)),
      ]);
      expect(await runTask(second, context)).toMatchObject({ kind: "failed", code: "verification_failed" });
      await fixture.database.query("update rederive.backfill set plan_hash = $1", [fixture.planHash]);
      expect(await fixture.run(second)).toMatchObject({ kind: "failed", code: "verification_failed" });
      expect(await fixture.state(second)).toMatchObject({ state: "ready", epoch: 0 });
      await dispose();
    });
  });

  test("takes over from a lost worker, and quarantines after three losses", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      await lose(fixture, ref.task, 0);
      expect(await fixture.run(ref)).toMatchObject({ kind: "done" });
      expect(await fixture.state(ref)).toMatchObject({ state: "done", epoch: 2, losses: 1 });
      const poison = fixture.taskOf("daily_sales", firstDay + 1);
      await lose(fixture, poison.task, 2);
      expect(await fixture.run(poison)).toMatchObject({ kind: "failed", code: "worker_lost" });
      expect(await fixture.state(poison)).toMatchObject({
        state: "quarantined",
        losses: 3,
        error: { code: "worker_lost" },
      });
      expect(await fixture.run(poison)).toMatchObject({ kind: "failed", code: "worker_lost" });
      const told = await fixture.database.query("select actor, act, backfill, dataset, details from rederive.audit");
      expect(told).toEqual([
        {
          actor: "worker",
          act: "task.quarantine",
          backfill: poison.backfill,
          dataset: "daily_sales",
          details: { task: poison.task, epoch: expect.any(Number) },
        },
      ]);
    });
  });

  test("leaves a live attempt alone", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const other: TaskOutcome[] = [];
      const outcome = await fixture.run(ref, {
        at: async (point) => {
          if (point === "beforeCommit") other.push(await fixture.run(ref, { worker: "worker-b" }));
        },
      });
      expect(other).toMatchObject([{ kind: "later", why: "busy" }]);
      expect(outcome).toMatchObject({ kind: "done" });
    });
  });

  test("is refused to a worker whose lease ran out, which then registers again", async () => {
    await withFixture({}, async (fixture) => {
      const { context, dispose } = await fixture.worker();
      const ref = fixture.taskOf("daily_sales", firstDay);
      await context.heartbeat.stop();
      await fixture.database.query("update rederive.worker set lease_until = now() - interval '1 second'");
      expect(await runTask(ref, context)).toMatchObject({ kind: "later", why: "lapsed" });
      expect(await runTask(ref, context)).toMatchObject({ kind: "done" });
      await dispose();
    });
  });
});

describe("a fenced attempt", () => {
  test.each(["claimed", "computed", "beforeCommit"] as const)(
    "that was frozen at %s changes nothing",
    async (where) => {
      await withFixture({}, async (fixture) => {
        const ref = fixture.taskOf("daily_sales", firstDay);
        const frozen = await fixture.worker({
          worker: "frozen",
          at: async (point) => {
            if (point !== where) return;
            await frozen.context.heartbeat.stop();
            await fixture.database.query(
              "update rederive.worker set lease_until = now() - interval '1 second' where id = 'frozen'",
            );
            expect(await fixture.run(ref, { worker: "worker-b" })).toMatchObject({ kind: "done" });
          },
        });
        expect(await runTask(ref, frozen.context)).toMatchObject({ kind: "later", why: "fenced" });
        expect(await fixture.state(ref)).toMatchObject({ state: "done", epoch: 2, losses: 1, attempts: 0 });
        expect(await stamps(fixture)).toEqual({ count: 1, epoch: 2 });
        expect(await rowsInCandidate(fixture)).toEqual({ count: 1 });
        await frozen.dispose();
      });
    },
  );

  test("whose lease ran out during the work gives its task back", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const slow = await fixture.worker({
        leaseMs: 1_000,
        at: async (point) => {
          if (point !== "computed") return;
          await slow.context.heartbeat.stop();
          await eventually(
            () => slow.context.heartbeat.leaseLives(),
            (lives) => !lives,
            { what: "the lease has run out" },
          );
        },
      });
      expect(await runTask(ref, slow.context)).toMatchObject({ kind: "later", why: "stopped" });
      expect(await fixture.state(ref)).toMatchObject({ state: "ready", attempts: 0, losses: 0 });
      expect(await rowsInCandidate(fixture)).toEqual({ count: 0 });
      await slow.dispose();
    });
  });
});

describe("stopping", () => {
  test("a cancellation reaches a running statement", async () => {
    await withFixture({ total: "(select sum(amount)::bigint from pg_sleep(60))" }, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const outcome = await fixture.run(ref, {
        at: async (point) => {
          if (point === "claimed") await cancelTasks(fixture.database, backfill);
        },
      });
      expect(outcome).toEqual({ kind: "cancelled" });
      expect(await rowsInCandidate(fixture)).toEqual({ count: 0 });
    });
  });

  test("a cancellation just before the end beats the late success", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const { context, dispose } = await fixture.worker({
        at: async (point) => {
          if (point !== "beforeFinish") return;
          await context.heartbeat.stop();
          await cancelTasks(fixture.database, backfill);
        },
      });
      expect(await runTask(ref, context)).toEqual({ kind: "cancelled" });
      expect(await fixture.state(ref)).toMatchObject({ state: "cancelled" });
      expect(await stamps(fixture)).toEqual({ count: 0, epoch: null });
      expect(await rowsInCandidate(fixture)).toEqual({ count: 0 });
      await dispose();
    });
  });

  test("a worker that stops gives its task back without counting", async () => {
    await withFixture({ total: "(select sum(amount)::bigint from pg_sleep(60))" }, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const stopping = new AbortController();
      const outcome = await fixture.run(ref, {
        signal: stopping.signal,
        at: (point) => {
          if (point === "claimed") setImmediate(() => stopping.abort());
        },
      });
      expect(outcome).toMatchObject({ kind: "later", why: "stopped" });
      expect(await fixture.state(ref)).toMatchObject({ state: "ready", attempts: 0, losses: 0 });
    });
  });
});

describe("a lost connection", () => {
  test("after COMMIT was sent is looked into, and the commit counts", async () => {
    await withFixture({}, async (fixture) => {
      const proxy = await openProxy(fixture.url);
      const ref = fixture.taskOf("daily_sales", firstDay);
      const outcome = await fixture.run(ref, {
        laneUrl: proxy.url,
        at: (point) => {
          if (point === "beforeCommit") proxy.cutAt("commit", "after");
        },
      });
      expect(outcome).toMatchObject({ kind: "done" });
      expect(await stamps(fixture)).toEqual({ count: 1, epoch: 1 });
      await proxy.close();
    });
  });

  test("before COMMIT arrived is one failed attempt", async () => {
    await withFixture({}, async (fixture) => {
      const proxy = await openProxy(fixture.url);
      const ref = fixture.taskOf("daily_sales", firstDay);
      const outcome = await fixture.run(ref, {
        laneUrl: proxy.url,
        at: (point) => {
          if (point === "beforeCommit") proxy.cutAt("commit", "before");
        },
      });
      expect(outcome).toMatchObject({ kind: "retry", attempts: 1, failure: { kind: "transient" } });
      expect(await fixture.state(ref)).toMatchObject({ state: "ready", attempts: 1 });
      expect(await fixture.run(ref)).toMatchObject({ kind: "done" });
      expect(await rowsInCandidate(fixture)).toEqual({ count: 1 });
      await proxy.close();
    });
  });
});

describe("a failed check", () => {
  test("holds the dataset in the work transaction, with evidence", async () => {
    await withFixture({ maxTotal: 10 }, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay + 5);
      const seen: unknown[] = [];
      const look = () =>
        fixture.row(
          "select d.held, (select count(*)::int from rederive.check_result) as results from rederive.backfill_dataset d where dataset = 'daily_sales'",
        );
      const outcome = await fixture.run(ref, {
        at: async (point) => {
          if (point === "beforeCommit") seen.push(await look());
        },
      });
      expect(outcome).toMatchObject({ kind: "done", held: true });
      expect(seen).toEqual([{ held: false, results: 0 }]);
      expect(await look()).toEqual({ held: true, results: 1 });
      const result = await fixture.row<{ evidence: { rows: unknown[] } }>("select * from rederive.check_result");
      expect(result).toMatchObject({ partition: String(firstDay + 5), severity: "error", failures: "1" });
      expect(result.evidence.rows).toEqual([{ day: "2001-01-06", total: "21" }]);
      const { reason } = await fixture.row<{ reason: string }>(
        "select hold_reason as reason from rederive.backfill_dataset where held",
      );
      expect(reason).toMatch(/^2001-01-06: /);
      expect(await rowsInCandidate(fixture)).toEqual({ count: 1 });
    });
  });

  test("in two tasks at once leaves both done and one hold", async () => {
    await withFixture({ maxTotal: 10 }, async (fixture) => {
      const meeting = barrier(2);
      const at = (point: string) => (point === "computed" ? meeting() : undefined);
      const outcomes = await Promise.all([
        fixture.run(fixture.taskOf("daily_sales", firstDay + 5), { worker: "worker-a", at }),
        fixture.run(fixture.taskOf("daily_sales", firstDay + 6), { worker: "worker-b", at }),
      ]);
      expect(outcomes).toMatchObject([
        { kind: "done", held: true },
        { kind: "done", held: true },
      ]);
      expect(await fixture.row("select count(*)::int as count from rederive.check_result")).toEqual({ count: 2 });
    });
  });
});

describe("errors", () => {
  test("that come from the data are tried once more", async () => {
    await withFixture({ total: "sum(amount)::bigint / 0" }, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      expect(await fixture.run(ref)).toMatchObject({
        kind: "retry",
        attempts: 1,
        failure: { kind: "deterministic", sqlstate: "22012" },
      });
      expect(await fixture.run(ref)).toMatchObject({
        kind: "failed",
        code: "transform_failed",
        message: "division by zero",
      });
      expect(await fixture.state(ref)).toMatchObject({ state: "failed", attempts: 2, error: { sqlstate: "22012" } });
    });
  });

  test("of a map function are tried once more", async () => {
    const words = () => {
      throw new TypeError("no words");
    };
    await withFixture({ words }, async (fixture) => {
      const ref = fixture.taskOf("receipts", firstDay);
      expect(await fixture.run(ref)).toMatchObject({ kind: "retry", failure: { kind: "deterministic" } });
      expect(await fixture.run(ref)).toMatchObject({ kind: "failed", message: /no words/ });
    });
  });

  test("around the task are tried until its attempts are used up", async () => {
    await withFixture({ attempts: 3 }, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const killed = () =>
        fixture.run(ref, {
          at: async (point) => {
            if (point !== "computed") return;
            await fixture.database.query(
              "select pg_terminate_backend(backend_pid, 5000) from rederive.task where state = 'running'",
            );
          },
        });
      expect(await killed()).toMatchObject({ kind: "retry", attempts: 1, failure: { kind: "transient" } });
      expect(await killed()).toMatchObject({ kind: "retry", attempts: 2 });
      expect(await killed()).toMatchObject({ kind: "failed" });
      expect(await fixture.state(ref)).toMatchObject({ state: "failed", attempts: 3 });
    });
  });

  test("of time are bounded", async () => {
    await withFixture({ total: "(select sum(amount)::bigint from pg_sleep(60))", timeoutMs: 50 }, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      expect(await fixture.run(ref)).toMatchObject({ kind: "retry", failure: { kind: "timeout", sqlstate: "57014" } });
      expect(await fixture.run(ref)).toMatchObject({ kind: "failed" });
    });
  });

  test("of conflict are run again within the attempt", async () => {
    await withFixture({}, async (fixture) => {
      let conflicts = 2;
      const outcome = await fixture.run(fixture.taskOf("daily_sales", firstDay), {
        at: (point) => {
          if (point === "computed" && conflicts-- > 0) throw Object.assign(new Error("conflict"), { code: "40001" });
        },
      });
      expect(outcome).toMatchObject({ kind: "done" });
      expect(await rowsInCandidate(fixture)).toEqual({ count: 1 });
    });
  });

  test("of a full disk hold the backfill and count nothing", async () => {
    await withFixture({}, async (fixture) => {
      const ref = fixture.taskOf("daily_sales", firstDay);
      const outcome = await fixture.run(ref, {
        at: (point) => {
          if (point === "computed") throw Object.assign(new Error("no space left on device"), { code: "53100" });
        },
      });
      expect(outcome).toMatchObject({ kind: "later", why: "held" });
      expect(await fixture.state(ref)).toMatchObject({ state: "ready", attempts: 0 });
      expect(await fixture.row("select state, state_reason as reason from rederive.backfill")).toMatchObject({
        state: "held",
        reason: expect.stringContaining("resource_exhausted"),
      });
      expect(await fixture.run(ref)).toMatchObject({ kind: "later", why: "held" });
    });
  });
});

test("a worker's definitions stay alive as long as its lease", async () => {
  await withFixture({}, async (fixture) => {
    await registerWorker(fixture.database, {
      id: "w",
      kind: "worker",
      host: "h",
      pid: 1,
      concurrency: 1,
      definitions: { a: "1" },
      leaseMs: 60_000,
    });
    expect(await liveDefinitions(fixture.database)).toEqual([{ dataset: "a", definition: "1" }]);
    await fixture.database.query("update rederive.worker set lease_until = now()");
    expect(await liveDefinitions(fixture.database)).toEqual([]);
  });
});

/** Resolves for all when `count` have come, once; later ones pass. */
function barrier(count: number): () => Promise<void> {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  let waiting = 0;
  return () => {
    waiting += 1;
    if (waiting === count) open();
    return opened;
  };
}
