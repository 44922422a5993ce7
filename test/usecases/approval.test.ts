/**
 * Approvals as the five people of a change use them, on a real database: each way in which an approval can be worth nothing
 * by the time it is used is refused, by the library and, where it knows, by the database itself.
 */
import { createRederive, type Rederive } from "rederive";
import { runToEnd } from "rederive/testing";
import { expect, it } from "vitest";
import type { Backfill } from "../../src/backfill.ts";
import type { GovernanceConfig } from "../../src/config.ts";
import type { Actor } from "../../src/governance/roles.ts";
import type { Database } from "../../src/tx.ts";
import { shop, withShop } from "./shop.ts";

const ada: Actor = { name: "ada", role: "operator" };
const grace: Actor = { name: "grace", role: "approver" };
const edsger: Actor = { name: "edsger", role: "approver" };
const root: Actor = { name: "root", role: "admin" };

interface Scene {
  readonly rederive: Rederive;
  readonly database: Database;
  readonly url: string;
  /** A plan of ada's. */
  readonly backfill: Backfill;
  readonly as: (actor: Actor) => Promise<Backfill>;
  /** Another instance on the same database, with another policy or other definitions. */
  readonly open: (governance: GovernanceConfig, version?: number) => Promise<Rederive>;
}

async function scene(governance: GovernanceConfig, play: (scene: Scene) => Promise<void>): Promise<void> {
  await withShop(async ({ url, database }) => {
    const opened: Rederive[] = [];
    const open = async (policy: GovernanceConfig, version = 1): Promise<Rederive> => {
      const catalog = shop({ version });
      const rederive = await createRederive({ catalog, databaseUrl: url, environment: "test", governance: policy });
      opened.push(rederive);
      return rederive;
    };
    try {
      const rederive = await open(governance);
      const backfill = await rederive.as(ada).plan({ reason: "first" });
      const as = (actor: Actor) => rederive.as(actor).backfill(backfill.id);
      await play({ rederive, database, url, backfill, as, open });
    } finally {
      for (const rederive of opened) await rederive.close();
    }
  });
}

const both: GovernanceConfig = { startApprovals: 1, promotionApprovals: 1 };

/** Approved, run to its end, and compared: the digest of the difference. */
async function verified({ rederive, backfill, as }: Scene): Promise<string> {
  await (await as(grace)).approve({});
  const status = await runToEnd(rederive, backfill, { workers: 4 });
  expect(status.state).toBe("verified");
  return (await backfill.diff()).digest;
}

it("goes from a plan to a rollback with what each has to agree to", async () => {
  await scene(both, async (stage) => {
    const { backfill, as, rederive } = stage;
    await expect(backfill.start()).rejects.toMatchObject({ code: "approval_required" });
    await expect(backfill.approve({})).rejects.toMatchObject({ code: "forbidden" });
    await (await as(grace)).requestChanges({ comment: "why all of it?" });
    await backfill.comment({ comment: "the table is empty" });
    const approved = await (await as(grace)).approve({ comment: "then yes" });
    expect(approved.entries.map(({ verdict, approver }) => [verdict, approver])).toEqual([
      ["changes_requested", "grace"],
      ["commented", "ada"],
      ["approved", "grace"],
    ]);
    expect((await backfill.status()).state).toBe("approved");
    const status = await runToEnd(rederive, backfill, { workers: 4 });
    expect(status.state).toBe("verified");
    await expect(backfill.promote({ reason: "go" })).rejects.toMatchObject({ code: "approval_required" });
    await expect((await as(grace)).approve({ act: "promote" })).rejects.toMatchObject({ code: "usage" });
    const { digest } = await backfill.diff();
    await (await as(grace)).approve({ act: "promote", digest });
    expect((await backfill.promote({ reason: "go" })).state).toBe("promoted");
    expect((await backfill.rollback({ reason: "and back" })).state).toBe("rolled_back");
  });
});

it("counts approvals by person, and nobody's for what they asked for", async () => {
  await scene({ startApprovals: 2 }, async ({ backfill, as, database, rederive }) => {
    const laptop: Actor = { name: "ada's laptop", role: "admin", person: "ada" };
    await expect((await as(laptop)).approve({})).rejects.toMatchObject({ code: "self_approval" });
    await expect(
      database.query(
        `insert into rederive.approval (backfill, plan_hash, requester, act, verdict, approver, schema_hash, expires_at)
         values ($1::text, $2::text, 'ada', 'start', 'approved', 'ada', 's', now() + interval '1 day')`,
        [backfill.id, backfill.plan.hash],
      ),
    ).rejects.toMatchObject({ code: "23514" });
    await (await as(grace)).approve({});
    await (await as({ ...grace, name: "grace's phone", person: "grace" })).approve({});
    await expect(backfill.start()).rejects.toMatchObject({ code: "approval_required", details: { counting: 1 } });
    await (await as(edsger)).approve({});
    await backfill.start();
    expect((await rederive.as(ada).backfill(backfill.id)).id).toBe(backfill.id);
  });
});

it.each([
  [
    "taken back",
    "withdrawn",
    async ({ as }: Scene) => void (await (await as(grace)).withdraw({ reason: "looked again" })),
  ],
  [
    "expired",
    "expired",
    async ({ database }: Scene) => {
      await database.query("alter table rederive.approval disable trigger approval_guard");
      await database.query("update rederive.approval set expires_at = now()");
    },
  ],
  [
    "for tables that have other columns now",
    "schema_changed",
    async ({ database }: Scene) => void (await database.query("alter table public.orders add column note text")),
  ],
])("does not start with an approval that is %s", async (_title, because, change) => {
  await scene(both, async (stage) => {
    await (await stage.as(grace)).approve({});
    await change(stage);
    await expect(stage.backfill.start()).rejects.toMatchObject({ code: "approval_void", details: { because } });
    expect((await stage.backfill.approvals()).entries).toMatchObject([{ void: because }]);
  });
});

it("does not start where the approver wanted another plan afterwards", async () => {
  await scene(both, async ({ as, backfill }) => {
    await (await as(grace)).approve({});
    await (await as(grace)).requestChanges({ comment: "a month is enough" });
    await expect(backfill.start()).rejects.toMatchObject({ code: "changes_requested" });
    expect((await backfill.status()).state).toBe("planned");
  });
});

it("does not start with an approval by a token that was revoked, whatever the library says", async () => {
  await scene(both, async ({ rederive, backfill, database }) => {
    const { token, id } = await rederive.as(root).createToken({ name: "grace", role: "approver" });
    const actor = (await rederive.authenticate(token)) as Actor;
    await (await rederive.as(actor).backfill(backfill.id)).approve({});
    await rederive.as(root).revokeToken(id);
    await expect(backfill.start()).rejects.toMatchObject({
      code: "approval_void",
      details: { because: "rights_lost" },
    });
    await expect(
      database.query("update rederive.backfill set state = 'running' where id = $1::text", [backfill.id]),
    ).rejects.toMatchObject({ code: "23514" });
  });
});

it("does not take the approval of one plan for another", async () => {
  await scene(both, async ({ as, backfill, rederive, database }) => {
    await (await as(grace)).approve({});
    const other = await rederive.as(ada).plan({ reason: "the same, again" });
    await expect(other.start()).rejects.toMatchObject({ code: "approval_required" });
    await expect(
      database.query("update rederive.backfill set plan_hash = $2::text where id = $1::text", [
        other.id,
        backfill.plan.hash,
      ]),
    ).rejects.toMatchObject({ code: "23514" });
    await expect(
      database.query(
        `insert into rederive.approval (backfill, plan_hash, requester, act, verdict, approver, schema_hash, expires_at)
         values ($1::text, $2::text, 'ada', 'start', 'approved', 'grace', 's', now() + interval '1 day')`,
        [other.id, backfill.plan.hash],
      ),
    ).rejects.toMatchObject({ code: "23503" });
  });
});

it("holds to a policy that became stricter after the approval", async () => {
  await scene({ startApprovals: 1 }, async ({ as, open, backfill }) => {
    await (await as(grace)).approve({});
    const strict = await open({ startApprovals: 2 });
    await expect((await strict.as(ada).backfill(backfill.id)).start()).rejects.toMatchObject({
      code: "approval_required",
      details: { needed: 2, counting: 1 },
    });
  });
});

it("asks for more people where a plan writes much, or nobody knows how much", async () => {
  await scene({ startApprovals: 0, thresholds: [{ rows: 1_000_000, approvals: 2 }] }, async ({ backfill }) => {
    expect((await backfill.approvals()).needed).toMatchObject({ start: 2, promote: 0 });
  });
});

it("promotes the difference that was approved and no other", async () => {
  await scene(both, async (stage) => {
    const digest = await verified(stage);
    const { backfill, as, database } = stage;
    await (await as(grace)).approve({ act: "promote", digest: "0".repeat(64) });
    const changed = { code: "approval_void", details: { because: "difference_changed" } };
    await expect(backfill.promote({ reason: "go" })).rejects.toMatchObject(changed);
    await (await as(grace)).approve({ act: "promote", digest });
    // Between the click and the commit somebody writes the row that would have been added.
    await database.query("insert into revenue values ('2026-01-01', 'EUR', 1, 1)");
    await expect(backfill.promote({ reason: "go" })).rejects.toMatchObject(changed);
    const [row] = await database.query<{ rows: number }>("select count(*)::int4 as rows from revenue");
    expect(row?.rows).toBe(1);
  });
});

it("does not promote what was computed again after the approval", async () => {
  await scene(both, async (stage) => {
    const digest = await verified(stage);
    const { backfill, as, database, rederive } = stage;
    await (await as(grace)).approve({ act: "promote", digest });
    await database.query("update orders set amount = amount + 1 where id < 20");
    await backfill.retry({ dataset: "facts", partitions: ["2026-01-01"], reason: "an order was late" });
    expect((await runToEnd(rederive, backfill, { workers: 4 })).state).toBe("verified");
    await expect(backfill.promote({ reason: "go" })).rejects.toMatchObject({ code: "approval_void" });
  });
});

it("wants a second person for a rollback that overwrites later writes", async () => {
  await scene(both, async (stage) => {
    const digest = await verified(stage);
    const { backfill, as, database } = stage;
    await (await as(grace)).approve({ act: "promote", digest });
    await backfill.promote({ reason: "go" });
    const write = (orders: number) =>
      database.query("update revenue set orders = $1::int4 where day = '2026-01-01'", [orders]);
    await write(99);
    const forced = { reason: "all of it", onLaterWrites: "overwrite" } as const;
    await expect(backfill.rollback(forced)).rejects.toMatchObject({ code: "approval_required" });
    await expect((await as(grace)).approve({ act: "rollback" })).rejects.toMatchObject({ code: "usage" });
    /** What grace sees that is to be decided: the digest of what she would agree to. */
    const seen = async (policy: "overwrite" | "keep") => {
      const refused = await (await as(grace)).rollback({ reason: "a look" }).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "live_writes_since_promotion" });
      return (refused as { details: { digests: Record<string, string> } }).details.digests[policy] as string;
    };
    const approve = async (loss: string) => (await as(grace)).approve({ act: "rollback", digest: loss });
    await approve(await seen("keep"));
    const otherwise = { code: "approval_void", details: { because: "difference_changed" } };
    await expect(backfill.rollback(forced)).rejects.toMatchObject(otherwise);
    await approve(await seen("overwrite"));
    // The same row, but not what she saw in it; then more rows.
    await write(98);
    await expect(backfill.rollback(forced)).rejects.toMatchObject(otherwise);
    await write(99);
    await database.query("update revenue set orders = 7 where day = '2026-01-02' and currency = 'EUR'");
    await expect(backfill.rollback(forced)).rejects.toMatchObject(otherwise);
    expect((await backfill.status()).state).toBe("promoted");
    await approve(await seen("overwrite"));
    expect((await backfill.rollback(forced)).state).toBe("rolled_back");
    // Promoted again, the same rows written again: it is another promotion.
    await backfill.promote({ reason: "once more" });
    await write(99);
    await database.query("update revenue set orders = 7 where day = '2026-01-02' and currency = 'EUR'");
    await expect(backfill.rollback(forced)).rejects.toMatchObject(otherwise);
  });
});

it("promotes within the change window, or by an admin who says so", async () => {
  const never = { timeZone: "UTC", from: "00:00", to: "00:01", days: [dayAfterTomorrow()] };
  await scene({ changeWindow: never }, async ({ rederive, backfill, as, database }) => {
    await runToEnd(rederive, backfill, { workers: 4 });
    await expect(backfill.promote({ reason: "go" })).rejects.toMatchObject({ code: "outside_change_window" });
    await expect(backfill.promote({ reason: "go", overrideWindow: true })).rejects.toMatchObject({ code: "forbidden" });
    await (await as(root)).promote({ reason: "an incident", overrideWindow: true });
    const [entry] = await database.query<{ details: Record<string, unknown> }>(
      "select details from rederive.audit where act = 'backfill.promote'",
    );
    expect(entry?.details).toMatchObject({ overrideWindow: true });
  });
});

function dayAfterTomorrow() {
  const days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
  return days[(new Date().getUTCDay() + 2) % 7] as (typeof days)[number];
}

it("is not held up by a wish of somebody who may not approve any more", async () => {
  await scene(both, async ({ rederive, backfill, as }) => {
    const { token, id } = await rederive.as(root).createToken({ name: "carol", role: "approver" });
    const carol = (await rederive.authenticate(token)) as Actor;
    await (await rederive.as(carol).backfill(backfill.id)).requestChanges({ comment: "no" });
    await (await as(grace)).approve({});
    await expect(backfill.start()).rejects.toMatchObject({ code: "changes_requested" });
    await rederive.as(root).revokeToken(id);
    expect((await backfill.start()).state).toBe("running");
  });
});

it("is decided in the environment that the plan was made for", async () => {
  await scene(both, async ({ database, as, open }) => {
    await database.query("alter table rederive.backfill disable trigger backfill_guard");
    await database.query("update rederive.backfill set environment = 'production'");
    await expect((await as(grace)).approve({})).rejects.toMatchObject({ code: "wrong_state" });
    // Where a database is production's, nobody acts as if it were not.
    await database.query("insert into rederive.meta (key, value) values ('environment', 'production')");
    await expect(open(both)).rejects.toMatchObject({ code: "configuration" });
  });
});
