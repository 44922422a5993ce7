/** A deployment in which each process logs in as a user with the rights of its group role and no others. */
import { randomBytes } from "node:crypto";
import { type Config, createRederive } from "rederive";
import { tester } from "rederive/testing";
import { describe, expect, it } from "vitest";
import { powerlessLogins } from "../../src/store/health.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { setUpRoles } from "../../src/usecases/roles.ts";
import { openSession } from "../../src/warehouse/session.ts";
import { withRedis } from "../support/redis.ts";
import { lacks } from "../support/require.ts";
import { type Stage, shop, withShop } from "./shop.ts";

type Group = "api" | "worker" | "audit";

/** Login users with one group role each; gives a URL a group. */
async function withUsers(stage: Stage, work: (urls: Readonly<Record<Group, string>>) => Promise<void>): Promise<void> {
  const setUp = await setUpRoles(stage.url, shop());
  expect(setUp).toEqual({ roles: ["rederive_api", "rederive_worker", "rederive_audit"], missing: [] });
  const suffix = randomBytes(4).toString("hex");
  const users = (["api", "worker", "audit"] as const).map((group) => ({ group, user: `t_${group}_${suffix}` }));
  try {
    for (const { group, user } of users) {
      await stage.database.query(`create role ${user} login password 'x' in role rederive_${group}`);
    }
    const urls = users.map(({ group, user }) => [group, withUser(stage.url, user)]);
    await work(Object.fromEntries(urls) as Record<Group, string>);
  } finally {
    for (const { user } of users) {
      await stage.database.query(`drop owned by ${user}`);
      await stage.database.query(`drop role ${user}`);
    }
  }
}

function withUser(url: string, user: string): string {
  const changed = new URL(url);
  changed.username = user;
  changed.password = "x";
  return changed.toString();
}

const denied = { code: "42501" };

const rewrites = [
  ...["reason = ''", "actor = 'x'", "at = now()"].map((change) => `update rederive.audit set ${change}`),
  "update rederive.audit_chain set hash = ''",
  "update rederive.audit_pruned set pruned_by = ''",
  "update rederive.approval set approver = 'x'",
  ...["audit", "audit_chain", "audit_pruned", "approval", "backfill"].flatMap((table) => [
    `delete from rederive.${table}`,
    `truncate rederive.${table} cascade`,
  ]),
  ...["decision", "plan_hash", "requested_by", "start_approvals", "sign_off"].map(
    (column) => `update rederive.backfill set ${column} = ${column}`,
  ),
];

describe("rederive migrate --roles", () => {
  it("lets nobody rewrite the record or the plan, or publish without being asked to", {
    timeout: 120_000,
  }, async () => {
    await withShop(async (stage) => {
      const rederive = await stage.open(shop());
      await rederive.as(tester).plan({ datasets: ["facts"], reason: "first" });
      await withUsers(stage, async (urls) => {
        for (const group of ["api", "worker", "audit"] as const) {
          await asUser(urls[group], async (database) => {
            for (const statement of rewrites) {
              const error = await database.query(statement).catch((caught: unknown) => caught);
              expect([group, statement, error]).toEqual([group, statement, expect.objectContaining(denied)]);
            }
          });
        }
        await asUser(urls.worker, async (database) => {
          for (const statement of beyondWorkers) {
            const error = await database.query(statement).catch((caught: unknown) => caught);
            expect([statement, error]).toEqual([statement, expect.objectContaining(denied)]);
          }
        });
        await asUser(urls.audit, async (database) => {
          expect(await database.query("select act from rederive.audit")).not.toEqual([]);
          await expect(database.query("select hash from rederive.api_token")).rejects.toMatchObject(denied);
          await expect(database.query("select hash from rederive.session")).rejects.toMatchObject(denied);
          await expect(
            database.query("insert into rederive.audit (actor, act) values ('x', 'x')"),
          ).rejects.toMatchObject(denied);
        });
      });
    });
  });

  it.skipIf(lacks("redis"))(
    "lets a backfill be planned, run, promoted and rolled back",
    { timeout: 180_000 },
    async () => {
      await withShop(async (stage) => {
        await withUsers(stage, async (urls) => {
          await withRedis(async ({ url: redisUrl, prefix }) => {
            const settings: Omit<Config, "databaseUrl"> = {
              ...{ catalog: shop(), redisUrl, prefix, environment: "production", concurrency: 2 },
              governance: { startApprovals: 0, promotionApprovals: 0, signOff: false },
            };
            await using api = await createRederive({ ...settings, databaseUrl: urls.api });
            await using fleet = await createRederive({ ...settings, databaseUrl: urls.worker });
            fleet.startPlanner();
            await fleet.startWorker();
            const backfill = await api.as(tester).plan({ reason: "first" });
            await backfill.start();
            expect(await backfill.finished()).toMatchObject({ state: "verified", troubles: [] });
            expect((await backfill.promote({ reason: "go" })).state).toBe("promoted");
            expect(await api.as(tester).check({ datasets: ["revenue"] })).toMatchObject({ failed: false });
            expect((await backfill.rollback({ reason: "back" })).state).toBe("rolled_back");
          });
        });
      });
    },
  );
});

it("lets doctor tell which logins cannot end the sessions of others", { timeout: 120_000 }, async () => {
  await withShop(async (stage) => {
    await withUsers(stage, async (urls) => {
      const powerless = (group: Group) => {
        let found: string[] = [];
        return asUser(urls[group], async (database) => {
          found = await powerlessLogins(database);
        }).then(() => found);
      };
      const { username } = new URL(urls.audit);
      expect(await powerless("audit")).toEqual([]);
      // A worker that logs in as somebody without the group role.
      const session = await openSession(urls.audit, { applicationName: "rederive worker 0 writer" });
      expect([await powerless("worker"), await powerless("api"), await powerless("audit")]).toEqual([
        [username],
        [username],
        [],
      ]);
      await session.end();
    });
  });
});

const beyondWorkers = [
  "insert into public.revenue values ('2026-01-01', 'EUR', 1, 1)",
  "update public.facts set amount = 0",
  "delete from public.orders",
  "create table public.mine (id int)",
  "insert into rederive.session (hash, identity, state) values ('x', 1, 'x')",
  "select hash from rederive.api_token",
  "insert into rederive.approval select from rederive.approval",
  "copy public.orders to program 'cat'",
  "select pg_read_file('/etc/passwd')",
  "set role pg_write_all_data",
];

async function asUser(url: string, work: (database: Database) => Promise<void>): Promise<void> {
  const database = openDatabase(url, { max: 1 });
  try {
    await work(database);
  } finally {
    await database.close();
  }
}
