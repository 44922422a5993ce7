/** A backfill that widens step by step, on a real worker and planner. */
import { Redis } from "ioredis";
import type { Backfill, Rederive } from "rederive";
import { runToEnd, tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { Config } from "../../src/config.ts";
import type { Status } from "../../src/report.ts";
import { isStuck, progressOf } from "../../src/store/settle.ts";
import type { Database } from "../../src/tx.ts";
import { approvePhase } from "../../src/usecases/gate.ts";
import type { PlanInput } from "../../src/usecases/plan.ts";
import { eventually } from "../support/eventually.ts";
import { canStartRedis, withOwnRedis } from "../support/redis.ts";
import { type Stage, shop, withShop } from "./shop.ts";

/** Dollars were a unit too low: 8 facts and a row of revenue change each day. */
const amount = "case when currency = 'USD' then amount + 1 else amount end";
const corrected = shop({ version: 2, amount });

interface Run {
  readonly rederive: Rederive;
  readonly backfill: Backfill;
  readonly status: Status;
}

/** Bootstraps, plans the correction in phases, and runs until it can go no further. */
async function widen(
  stage: Stage,
  input: Partial<PlanInput>,
  { catalog = corrected, more = {} }: { catalog?: Catalog; more?: Partial<Config> } = {},
): Promise<Run> {
  await stage.bootstrap(shop());
  const rederive = await stage.open(catalog, more);
  const backfill = await rederive.as(tester).plan({ reason: "taxes", ...input });
  return { rederive, backfill, status: await runToEnd(rederive, backfill) };
}

/** `pilot passed`, one text a phase. */
function phasesOf({ phases = [] }: Status): string[] {
  return phases.map(({ name, state }) => `${name} ${state}`);
}

/** How many tasks were done, and how many of the others were ever let go. */
async function tasksOf(database: Database, backfill: string): Promise<{ done: number; released: number }> {
  const [row] = await database.query<{ done: number; released: number }>(
    `select count(*) filter (where state = 'done')::int as done,
       count(*) filter (where state <> 'done' and (released_at is not null or epoch > 0))::int as released
     from rederive.task where backfill = $1::text`,
    [backfill],
  );
  return row ?? { done: -1, released: -1 };
}

async function actsOf(database: Database, backfill: string): Promise<unknown[]> {
  const rows = await database.query<{ act: string; actor: string; reason: string | null }>(
    `select act, actor, reason, details ->> 'phase' as phase, details ->> 'outcome' as outcome from rederive.audit
     where backfill = $1::text and act in ('backfill.gate', 'backfill.approve_phase') order by id`,
    [backfill],
  );
  return rows.map((row) => Object.values(row).filter((value) => value !== null));
}

describe("a backfill in phases", { timeout: 180_000 }, () => {
  it("goes from phase to phase by itself where nothing is found, and is verified at the end", () =>
    withShop(async (stage) => {
      // A window that is smaller than a phase, and larger than others.
      const { backfill, status } = await widen(stage, { pilot: true }, { more: { windowTasks: 10 } });
      expect([status.state, phasesOf(status)]).toEqual([
        "verified",
        ["pilot passed", "1% passed", "10% passed", "100% passed"],
      ]);
      expect(status.phases?.[0]).toMatchObject({
        tasks: 6,
        passedBy: "planner",
        found: [
          { dataset: "facts", changed: 24, unchanged: 36 },
          { dataset: "revenue", changed: 3, unchanged: 3 },
        ],
      });
      expect(await actsOf(stage.database, backfill.id)).toEqual([
        ["backfill.gate", "planner", "pilot", "passed"],
        ["backfill.gate", "planner", "1%", "passed"],
        ["backfill.gate", "planner", "10%", "passed"],
      ]);
      const report = await backfill.promote({ reason: "fine" });
      expect(report.datasets).toMatchObject([{ updated: 480 }, { updated: 60 }]);
    }));

  it("waits for approval, with nothing of the next phase begun; it is neither stuck nor verified", () =>
    withShop(async (stage) => {
      const { rederive, backfill, status } = await widen(stage, { phases: [0.05], gate: "approval" });
      expect(status).toMatchObject({
        state: "held",
        stateReason: "5% is done and waits for approval: 24 changed in facts; 3 changed in revenue",
        tasks: { done: 6, running: 0 },
      });
      expect(phasesOf(status)).toEqual(["5% judged", "100% waiting"]);
      expect(await tasksOf(stage.database, backfill.id)).toEqual({ done: 6, released: 0 });
      // Its last task may end while the planner looks whether it is stuck.
      expect(await isStuck(stage.database, backfill.id, [])).toBe(false);
      expect(await progressOf(stage.database, backfill.id, [])).toEqual({ open: true, moving: false, atGate: true });
      await expect(backfill.promote({ reason: "now" })).rejects.toMatchObject({ code: "wrong_state" });
      await expect(backfill.resume({ reason: "now" })).rejects.toThrow("--phase 5%");
      await expect(backfill.approvePhase({ phase: "100%", reason: "now" })).rejects.toThrow("5% waits for approval");
      await expect(backfill.approvePhase({ phase: "5%", reason: " " })).rejects.toThrow("needs a reason");
      const operator = await rederive.as({ name: "ada", role: "operator" }).backfill(backfill.id);
      await expect(operator.approvePhase({ phase: "5%", reason: "now" })).rejects.toMatchObject({ code: "forbidden" });
      const approver = await rederive.as({ name: "grace", role: "approver" }).backfill(backfill.id);
      expect(phasesOf(await approver.approvePhase({ phase: "5%", reason: "as it should be" }))).toEqual([
        "5% passed",
        "100% open",
      ]);
      const end = await runToEnd(rederive, backfill);
      expect([end.state, phasesOf(end)]).toEqual(["verified", ["5% passed", "100% passed"]]);
      expect(await actsOf(stage.database, backfill.id)).toEqual([
        ["backfill.gate", "planner", "5%", "waits"],
        ["backfill.approve_phase", "grace", "as it should be", "5%"],
      ]);
      await expect(backfill.approvePhase({ phase: "100%", reason: "again" })).rejects.toThrow("no phase of it waits");
    }));

  it("is held with what its gate finds; what was accepted for one phase is asked again at the next", () =>
    withShop(async (stage) => {
      const { rederive, backfill, status } = await widen(stage, {
        phases: [0.05, 0.1],
        expect: { datasets: { facts: { maxChangedRows: 20 } } },
      });
      expect(status.state).toBe("held");
      expect(status.stateReason).toContain("after 5%: facts: expect(maxChangedRows): 24 rows differ, and at most 20");
      expect(await tasksOf(stage.database, backfill.id)).toEqual({ done: 6, released: 0 });
      await backfill.resume({ reason: "more than we thought" });
      const second = await runToEnd(rederive, backfill);
      expect(phasesOf(second)).toEqual(["5% passed", "10% open", "100% waiting"]);
      expect(second.stateReason).toContain("after 10%: facts: expect(maxChangedRows): 48 rows differ");
      await backfill.cancel({ reason: "enough" });
    }));

  it("is held by a task that fails before the gate, and judges nothing", () =>
    withShop(async (stage) => {
      // The third day is in the first phase.
      const catalog = shop({ version: 2, amount: "amount / (case when id = 45 then 0 else 1 end)" });
      const { backfill, status } = await widen(stage, { phases: [0.05], gate: "approval" }, { catalog });
      expect(status).toMatchObject({
        state: "held",
        stateReason: expect.stringContaining("1 partition of facts failed"),
      });
      expect(phasesOf(status)).toEqual(["5% open", "100% waiting"]);
      expect(await tasksOf(stage.database, backfill.id)).toMatchObject({ done: 4 });
      expect(await actsOf(stage.database, backfill.id)).toEqual([]);
      const later = await stage.database.query(
        "select from rederive.task where backfill = $1::text and rank >= 6 and released_at is not null",
        [backfill.id],
      );
      expect(later).toEqual([]);
    }));

  it("is judged anew where something of the phase is computed again", () =>
    withShop(async (stage) => {
      const { rederive, backfill } = await widen(stage, { phases: [0.05], gate: "approval" });
      await stage.database.query("update orders set amount = amount + 5 where id = 0");
      await backfill.retry({ dataset: "facts", partitions: ["2026-01-01"], reason: "late" });
      expect(phasesOf(await backfill.status())).toEqual(["5% open", "100% waiting"]);
      const again = await runToEnd(rederive, backfill);
      expect(again.stateReason).toBe("5% is done and waits for approval: 25 changed in facts; 4 changed in revenue");
    }));

  it("lets nobody approve a phase in production of what they asked for", () =>
    withShop(async (stage) => {
      const { rederive, backfill } = await widen(stage, { phases: [0.05], gate: "approval" });
      const production = { ...rederive.settings, environment: "production" as const };
      const common = { settings: production, catalog: corrected, database: stage.database, lock: undefined };
      const as = (name: string, person: string) => ({
        ...common,
        queues: undefined as never,
        actor: { name, person, role: "approver" as const },
      });
      const approve = (name: string, person = name) =>
        approvePhase({ ...as(name, person), wake: () => {} }, backfill.id, { phase: "5%", reason: "fine" });
      // Planned elsewhere, so it is not for production to decide.
      await expect(approve("grace")).rejects.toMatchObject({ code: "wrong_state" });
      await stage.database.query("alter table rederive.backfill disable trigger backfill_guard");
      await stage.database.query("update rederive.backfill set environment = 'production'");
      await expect(approve(tester.name)).rejects.toMatchObject({ code: "approval_required" });
      await expect(approve("a laptop", tester.name)).rejects.toMatchObject({ code: "approval_required" });
      await approve("grace");
      expect(phasesOf(await backfill.status())).toEqual(["5% passed", "100% open"]);
    }));

  it.skipIf(!canStartRedis())("loses nothing with Redis, in the middle of a phase and at a gate", () =>
    withShop(async (stage) => {
      await withOwnRedis(async ({ url, prefix }) => {
        const redis = new Redis(url);
        try {
          await stage.bootstrap(shop());
          const rederive = await stage.open(corrected, { redisUrl: url, prefix, windowTasks: 20 });
          const input = { reason: "taxes", phases: [0.1, 0.6], gate: "approval" as const };
          const backfill = await rederive.as(tester).plan(input);
          const first = await runToEnd(rederive, backfill, { workers: 1 });
          expect(phasesOf(first)).toEqual(["10% judged", "60% waiting", "100% waiting"]);
          await redis.flushall();
          await backfill.approvePhase({ phase: "10%", reason: "fine" });
          const running = runToEnd(rederive, backfill, { workers: 1 });
          await eventually(
            () => tasksOf(stage.database, backfill.id),
            ({ done }) => done > 14,
            { what: "tasks of the second phase are done", everyMs: 5 },
          );
          await redis.flushall();
          const second = await running;
          expect(phasesOf(second)).toEqual(["10% passed", "60% judged", "100% waiting"]);
          expect(await tasksOf(stage.database, backfill.id)).toEqual({ done: 72, released: 0 });
          await backfill.approvePhase({ phase: "60%", reason: "fine" });
          expect((await runToEnd(rederive, backfill)).state).toBe("verified");
          // It closes its connections to Redis before Redis ends.
          await rederive.close();
        } finally {
          redis.disconnect();
        }
      });
    }),
  );

  it("is refused where it makes no sense", () =>
    withShop(async (stage) => {
      const rederive = await stage.open(shop());
      const preview = (input: Partial<PlanInput>) => rederive.as(tester).preview({ reason: "test", ...input });
      await expect(preview({ gate: "approval" })).rejects.toThrow("a gate stands between phases");
      await expect(preview({ phases: [0.5, 0.1] })).rejects.toThrow("50%, 10% make no sense");
      const [with_, without] = [await preview({ pilot: true }), await preview({})];
      expect(with_.hash).not.toBe(without.hash);
    }));
});
