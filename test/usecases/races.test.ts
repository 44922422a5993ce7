/**
 * Twelve ways in which an approval is worth nothing by the time it is used, in the order in which they happen to people: what is
 * refused, and what the database says to whoever goes past the library. docs/governance.md has the same table.
 */
import { readFileSync } from "node:fs";
import { createRederive, defineCatalog, exposure, type Rederive } from "rederive";
import { runToEnd } from "rederive/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Backfill } from "../../src/backfill.ts";
import { actorOfIdentity } from "../../src/governance/identities.ts";
import type { Actor } from "../../src/governance/roles.ts";
import type { Database } from "../../src/tx.ts";
import { type Kept, kept } from "../support/kept.ts";
import { shop, withShop } from "./shop.ts";

const ada: Actor = { name: "ada", role: "admin" };
/** They speak for finance, to whom what is downstream belongs, and for logistics. */
const grace: Actor = { name: "grace", role: "approver", groups: ["finance"] };
const edsger: Actor = { name: "edsger", role: "approver", groups: ["logistics"] };

interface Scene {
  readonly rederive: Rederive;
  readonly database: Database;
  /** A plan of ada's, which needs two approvals, one of them for finance. */
  readonly backfill: Backfill;
  readonly as: (actor: Actor) => Promise<Backfill>;
}

interface Race {
  readonly what: string;
  /** `code`, and behind it `because` where there is one. */
  readonly answer: string;
  /** What the database refuses: the approval itself, the start, or nothing, as it does not know. */
  readonly database: "the approval" | "the start" | "nothing";
  /** What happens before the start. */
  readonly before: (scene: Scene) => Promise<unknown>;
}

const approve = async ({ as }: Scene, ...people: Actor[]) => {
  for (const person of people) await (await as(person)).approve({});
};

const races: readonly Race[] = [
  {
    what: "who asked approves",
    answer: "self_approval",
    database: "the approval",
    before: (scene) => approve(scene, ada),
  },
  {
    what: "who asked approves with another token",
    answer: "self_approval",
    database: "the approval",
    before: (scene) => approve(scene, { name: "ada's laptop", person: "ada", role: "approver" }),
  },
  {
    what: "one person approves twice, with two tokens",
    answer: "approval_required",
    database: "the start",
    before: (scene) => approve(scene, grace, { ...grace, name: "grace's phone", person: "grace" }),
  },
  {
    what: "enough people approve, and none for the owners",
    answer: "approval_required",
    database: "the start",
    before: (scene) => approve(scene, edsger, { ...edsger, name: "tony" }),
  },
  {
    what: "an approval expires before the start",
    answer: "approval_void expired",
    database: "the start",
    before: async (scene) => {
      await approve(scene, grace, edsger);
      const { database, backfill } = scene;
      await database.query("alter table rederive.approval disable trigger approval_guard");
      await database.query(
        "update rederive.approval set expires_at = now() where backfill = $1::text and approver = 'grace'",
        [backfill.id],
      );
      await database.query("alter table rederive.approval enable trigger approval_guard");
    },
  },
  {
    what: "an approver takes it back",
    answer: "approval_void withdrawn",
    database: "the start",
    before: async (scene) => {
      await approve(scene, grace, edsger);
      await (await scene.as(edsger)).withdraw({ reason: "looked again" });
    },
  },
  {
    what: "an approver asks for another plan afterwards",
    answer: "changes_requested",
    database: "the start",
    before: async (scene) => {
      await approve(scene, grace, edsger);
      await (await scene.as(grace)).requestChanges({ comment: "a month is enough" });
    },
  },
  {
    what: "an approver's token is revoked",
    answer: "approval_void rights_lost",
    database: "the start",
    before: async (scene) => {
      const { rederive } = scene;
      const { token, id } = await rederive.as(ada).createToken({ name: "carol", role: "approver" });
      await approve(scene, grace, (await rederive.authenticate(token)) as Actor);
      await rederive.as(ada).revokeToken(id);
    },
  },
  {
    what: "an approver comes back from the issuer without the role",
    answer: "approval_void rights_lost",
    database: "the start",
    before: async (scene) => {
      const { database } = scene;
      const known = { issuer: "https://login.example.com", subject: "7", name: "dora", groups: null };
      await approve(scene, grace, await actorOfIdentity(database, { ...known, role: "approver", issuedAt: 1_000 }));
      await actorOfIdentity(database, { ...known, role: null, issuedAt: 2_000 }).catch(() => undefined);
    },
  },
  {
    what: "the plan is replaced by another one",
    answer: "approval_required",
    database: "the start",
    before: async ({ rederive }) => {
      const replaced = await rederive.as(ada).plan({ reason: "the same, before" });
      for (const person of [grace, edsger]) await (await rederive.as(person).backfill(replaced.id)).approve({});
    },
  },
  {
    what: "a table gets another column",
    answer: "approval_void schema_changed",
    database: "nothing",
    before: async (scene) => {
      await approve(scene, grace, edsger);
      await scene.database.query("alter table public.orders add column note text");
    },
  },
];

/** The twelfth is about a promotion, and needs one that has run. */
const last = {
  what: "what would change is another difference between the click and the commit",
  answer: "approval_void difference_changed",
  database: "nothing",
};

type Ground = Pick<Scene, "rederive" | "database">;
let ground: Kept<Ground> | undefined;

beforeAll(async () => {
  ground = await kept<Ground>((use) =>
    withShop(async ({ url, database }) => {
      const { datasets } = shop();
      const reads = [...datasets.values()].filter(({ name }) => name === "revenue");
      const board = exposure("board", { reads, criticality: "high", owner: "finance" });
      await using rederive = await createRederive({
        ...{ databaseUrl: url, environment: "test" },
        catalog: defineCatalog({ datasets: [...datasets.values()], exposures: [board] }),
        governance: { startApprovals: 2, promotionApprovals: 1, signOff: true },
      });
      await use({ rederive, database });
    }),
  );
});

afterAll(() => ground?.close());

async function scene(): Promise<Scene> {
  const { rederive, database } = (ground as Kept<Ground>).stage;
  const backfill = await rederive.as(ada).plan({ reason: "first" });
  return { rederive, database, backfill, as: (actor) => rederive.as(actor).backfill(backfill.id) };
}

async function answerOf(act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
    return "done";
  } catch (error) {
    const { code, details } = error as { code: string; details?: { because?: string } };
    return [code, details?.because].filter(Boolean).join(" ");
  }
}

describe("it is refused where", () => {
  it.each(races)("$what", async ({ answer, database: refuses, before }) => {
    const set = await scene();
    const { backfill, database } = set;
    const given = await answerOf(() => before(set));
    const started = given === "done" ? await answerOf(() => backfill.start()) : given;
    expect(started).toBe(answer);
    expect((await backfill.status()).startedAt).toBeNull();
    const { id, plan } = backfill;
    if (refuses === "the approval") {
      const forged = database.query(
        `insert into rederive.approval (backfill, plan_hash, requester, act, verdict, approver, schema_hash, expires_at)
         values ($1::text, $2::text, 'ada', 'start', 'approved', 'ada', 's', now() + interval '1 day')`,
        [id, plan.hash],
      );
      await expect(forged).rejects.toMatchObject({ code: "23514" });
    }
    // Past the library: whatever it says, no plan starts without the approvals that were written down with it.
    const forced = database.query("update rederive.backfill set state = 'running' where id = $1::text", [id]);
    if (refuses === "nothing") await forced;
    else await expect(forced).rejects.toMatchObject({ code: "23514" });
    await database.query("update rederive.backfill set state = 'cancelled' where id = $1::text", [id]);
  });

  it(last.what, async () => {
    const set = await scene();
    const { backfill, as, rederive, database } = set;
    await approve(set, grace, edsger);
    expect((await runToEnd(rederive, backfill, { workers: 4 })).state).toBe("verified");
    const { digest } = await backfill.diff();
    await (await as(grace)).approve({ act: "promote", digest });
    await database.query("insert into revenue values ('2026-01-01', 'EUR', 1, 1)");
    expect(await answerOf(() => backfill.promote({ reason: "go" }))).toBe(last.answer);
    const [live] = await database.query<{ rows: number }>("select count(*)::int4 as rows from revenue");
    expect([live?.rows, (await backfill.status()).state]).toEqual([1, "verified"]);
    const denied = await database.query(
      "select details->>'code' as code from rederive.audit where act = 'denied' and backfill = $1::text",
      [backfill.id],
    );
    expect(denied).toEqual([{ code: "approval_void" }]);
  });
});

it("is in the documentation as it is", () => {
  const page = readFileSync(new URL("../../docs/governance.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| (\d+) +\| ([^|]*?) +\| ([^|]*?) +\| ([^|]*?) +\|$/gm)].map(([, at, ...cells]) => [
    Number(at),
    ...cells.map((cell) => cell.replaceAll("`", "")),
  ]);
  expect(rows).toEqual([...races, last].map(({ what, answer, database: of }, at) => [at + 1, what, answer, of]));
});
