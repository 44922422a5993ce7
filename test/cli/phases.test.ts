/** Phases as people have them: killed in the middle of one, and let go on by somebody. */
import { describe, expect, it } from "vitest";
import type { StepsReport } from "../../src/planner/report.ts";
import type { Status } from "../../src/report.ts";
import { eventually } from "../support/eventually.ts";
import { withShop } from "./command.ts";

const timeout = 240_000;

describe("a plan in phases", () => {
  it("loses nothing when its process is killed, and goes on to the gates behind", { timeout }, async () => {
    await withShop(async (shop) => {
      const slow = { SHOP_SECONDS: "0.3" };
      const planned = await shop.run(["plan", "--phases", "20%,60%", "--reason", "first", "--json"], slow);
      const { backfill: id, phases = [] } = planned.json<StepsReport>();
      const backfill = id ?? "";
      expect(phases.map(({ name, gate }) => [name, gate])).toEqual([
        ["20%", "automatic"],
        ["60%", "automatic"],
        ["100%", "automatic"],
      ]);
      const killed = shop.start(["run", backfill, "--workers", "2"], slow);
      const [, second] = phases;
      await eventually(
        () =>
          shop.query<{ done: number }>(
            `select count(*) filter (where state = 'done')::int as done from rederive.task where backfill = '${backfill}'`,
          ),
        ([row]) => (row?.done ?? 0) > (phases[0]?.tasks ?? 0),
        { what: "a task of the second phase is done" },
      );
      expect(second?.tasks).toBeGreaterThan(4);
      killed.child.kill("SIGKILL");
      await killed.ended;
      const status = await shop.run(["status", backfill, "--json"], slow);
      expect(status.json<Status>().phases?.map(({ state }) => state)).toEqual(["passed", "open", "waiting"]);
      const end = await shop.run(["run", backfill, "--workers", "2", "--json"], slow);
      expect([end.code, end.json<{ state: string }>().state]).toEqual([0, "verified"]);
      const tasks = await shop.query<{ phase: string; done: number; tasks: number }>(
        `select p.name as phase, count(s.id)::int as done, p.tasks from rederive.phase p
         join rederive.task t on t.backfill = p.backfill and t.rank >= p.first_rank and t.rank < p.first_rank + p.tasks
         left join rederive.stamp s on s.task = t.id
         where p.backfill = '${backfill}' group by p.ordinal, p.name, p.tasks order by p.ordinal`,
      );
      for (const phase of tasks) expect(phase.done).toBe(phase.tasks);
    });
  });

  it("says what waits, for whom, and what to do", { timeout }, async () => {
    await withShop(async (shop) => {
      const shown = await shop.run(["plan", "--pilot", "--gate", "approval", "--reason", "first"]);
      expect(shown.stdout).toMatch(/pilot: 2 tasks, receipts 2026-01-27, 2026-02-06; then somebody has to approve/);
      const id = /rederive run (bf_\w+)/.exec(shown.stdout)?.[1] ?? "";
      const held = await shop.run(["run", id, "--workers", "2"]);
      expect([held.code, held.stdout]).toEqual([3, expect.stringContaining("pilot is done and waits for approval")]);
      expect(held.stdout).toMatch(/pilot\s+2\s+waits for approval\s+12 added in receipts/);
      expect(held.stdout).toContain(`rederive resume ${id} --phase pilot --reason`);
      const refused = await shop.run(["resume", id, "--reason", "on"]);
      expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining("--phase pilot")]);
      const resumed = await shop.run(["resume", id, "--phase", "pilot", "--reason", "as it should be"]);
      expect([resumed.code, resumed.stdout]).toEqual([0, expect.stringContaining("approved by ada")]);
      expect((await shop.run(["plan", "--phases", "10%,5%", "--reason", "no"])).code).toBe(2);
    });
  });
});
