import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CheckOutcome, Status } from "../../src/report.ts";
import { openShop, runCommand, type Shop, shop as shopFolder } from "./command.ts";

const timeout = 120_000;

describe("without a database", () => {
  it.each([
    [["plann"], "Did you mean plan?"],
    [["plan", "--chek"], "Did you mean --check?"],
    [["run", "bf_x", "--workers", "many"], "Expected a whole number from 0 to 256"],
    [["limit", "x", "--rate", "fast"], "Expected a rate such as 50/s"],
    [["plan"], "say why: --reason"],
    [["plan", "--reason", "x", "--from", "2026-01-01"], "a window needs both --from and --to"],
    [["plan", "--reason", "x"], "DATABASE_URL is not set"],
    [["worker"], "DATABASE_URL is not set"],
    [["planner"], "DATABASE_URL is not set"],
    [["server"], "DATABASE_URL is not set"],
    [["graph", "--config", "nowhere.ts"], "there is no configuration file"],
  ])("%j is refused with exit code 2", { timeout }, async (args, message) => {
    const answer = await runCommand(args);
    expect([answer.code, answer.stderr]).toEqual([2, expect.stringContaining(message)]);
    expect(answer.stdout).toBe("");
  });

  it("fleet processes do not take embedded servers for a database", { timeout }, async () => {
    const answer = await runCommand(["worker"], { env: { REDERIVE_EMBEDDED: "1" } });
    expect([answer.code, answer.stderr]).toEqual([2, expect.stringContaining("DATABASE_URL is not set")]);
  });

  it("production needs Redis", { timeout }, async () => {
    const env = { NODE_ENV: "production", DATABASE_URL: "postgres://localhost:1/x" };
    const answer = await runCommand(["worker"], { env });
    expect([answer.code, answer.stderr]).toEqual([2, expect.stringContaining("production needs REDIS_URL")]);
  });

  it("every fault of a configuration is named, with what was meant", { timeout }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "rederive-config-"));
    try {
      const config = join(folder, "rederive.config.mts");
      const catalog = JSON.stringify(join(shopFolder, "catalog.ts"));
      await writeFile(
        config,
        `import { catalog } from ${catalog};\nexport default { catalog, concurency: 8, leaseMs: 3 };`,
      );
      const answer = await runCommand(["graph", "--config", config]);
      expect(answer.code).toBe(2);
      expect(answer.stderr).toContain('unknown option "concurency" (did you mean "concurrency"?)');
      expect(answer.stderr).toContain("leaseMs");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("a lock file that does not match the code is refused outside of development", { timeout }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "rederive-lock-"));
    try {
      const config = join(folder, "rederive.config.mts");
      const catalog = JSON.stringify(join(shopFolder, "catalog.ts"));
      await writeFile(config, `import { catalog } from ${catalog};\nexport default { catalog };`);
      const env = { NODE_ENV: "test", DATABASE_URL: "postgres://localhost:1/x" };
      const args = ["--reason", "x", "--config", config];
      expect(await runCommand(["plan", ...args], { env })).toMatchObject({
        code: 4,
        stderr: expect.stringContaining("receipts is not in it"),
      });
      const written = await runCommand(["plan", "--update-lock", "--config", config, "--json"]);
      expect(written.json()).toEqual({ lockFile: join(folder, "rederive.lock.json"), changed: ["receipts"] });
      // The lock is in order now, so that the next thing is the database, which nobody serves.
      expect(await runCommand(["plan", ...args], { env })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining("cannot reach Postgres"),
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("with a database", () => {
  let shop: Shop;

  beforeAll(async () => {
    shop = await openShop();
  });
  afterAll(async () => {
    await shop?.close();
  });

  it("what is not there has exit code 5", { timeout }, async () => {
    for (const args of [
      ["status", "bf_2222222222"],
      ["token", "revoke", "17"],
      ["plan", "daily_revenu", "--reason", "x"],
    ]) {
      const answer = await shop.run(args);
      expect([answer.code, answer.stderr]).toEqual([5, expect.stringMatching(/not_found/)]);
    }
  });

  it("limits are shown and set, with a reason", { timeout }, async () => {
    const shown = await shop.run(["limit", "--json"]);
    expect(shown.json()).toEqual({ limits: [{ name: "daily_revenue", rate: null, concurrency: 8 }] });
    expect(await shop.run(["limit", "daily_revenue", "--rate", "50/s"])).toMatchObject({ code: 2 });
    const set = await shop.run(["limit", "daily_revenue", "--rate", "50/s", "--reason", "month's end", "--json"]);
    expect([set.code, set.json()]).toEqual([
      0,
      { limits: [{ name: "daily_revenue", rate: { max: 50, perMs: 1000 }, concurrency: 8 }] },
    ]);
    expect(await shop.run(["limit", "receipts", "--clear", "--reason", "x"])).toMatchObject({ code: 2 });
  });

  it("tokens are made, listed without their secret, and revoked", { timeout }, async () => {
    const made = await shop.run(["token", "create", "ci", "--role", "operator", "--json"]);
    const { id, token } = made.json<{ id: string; token: string }>();
    expect(token).toMatch(/^rdv_/);
    const listed = await shop.run(["token", "list"]);
    expect(listed.stdout).toMatch(/ci\s+operator/);
    expect(listed.stdout).not.toContain(token);
    expect((await shop.run(["token", "revoke", id])).code).toBe(0);
    expect((await shop.run(["token", "list"])).stdout).toContain("revoked");
  });

  it("a failed check holds: exit code 3, then retry, resume or cancel", { timeout: 240_000 }, async () => {
    const strict = { SHOP_CURRENCIES: "EUR" };
    const plan = await shop.run(["plan", "--reason", "first", "--json"], strict);
    const { backfill } = plan.json<{ backfill: string }>();
    const held = await shop.run(["run", backfill, "--workers", "2", "--json"], strict);
    expect([held.code, held.json()]).toEqual([3, expect.objectContaining({ event: "finished", state: "held" })]);
    const status = (await shop.run(["status", backfill, "--json"], strict)).json<Status>();
    expect(status.failedChecks[0]).toMatchObject({
      dataset: "daily_revenue",
      severity: "error",
    } satisfies Partial<CheckOutcome>);

    const refused = await shop.run(["promote", backfill, "--reason", "anyway"], strict);
    expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining("held")]);
    expect(await shop.run(["resume", backfill], strict)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--reason"),
    });

    // Another plan for the same partitions cannot start while this one holds them.
    const second = await shop.run(["run", "--reason", "impatient", "--workers", "1"], strict);
    expect([second.code, second.stderr]).toEqual([4, expect.stringMatching(/overlapping_plan/)]);

    expect((await shop.run(["retry", backfill, "--reason", "again", "--json"], strict)).json()).toMatchObject({
      state: "running",
    });
    expect((await shop.run(["run", backfill, "--workers", "2"], strict)).code).toBe(3);
    expect(
      (await shop.run(["resume", backfill, "--reason", "dollars are fine", "--json"], strict)).json(),
    ).toMatchObject({
      state: "running",
    });
    expect((await shop.run(["run", backfill, "--workers", "2"], strict)).code).toBe(0);
    expect((await shop.run(["cancel", backfill, "--reason", "not needed", "--json"], strict)).json()).toMatchObject({
      state: "cancelled",
    });
    expect(await shop.run(["run", backfill], strict)).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("is cancelled"),
    });
  });

  it("a reader that has seen enough does no harm", { timeout }, async () => {
    const running = shop.start(["status", "--json"]);
    running.child.stdout?.destroy();
    const answer = await running.ended;
    expect([answer.code, answer.stderr]).toEqual([0, ""]);
  });
});
