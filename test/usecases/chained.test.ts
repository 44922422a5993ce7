/** A promotion comes after what it rests on is chained; a rollback does not wait. */
import { runToEnd, tester } from "rederive/testing";
import { expect, it } from "vitest";
import { chainPending } from "../../src/governance/sequencer.ts";
import { lockChain, newestPending } from "../../src/store/audit-chain.ts";
import { shop, withShop } from "./shop.ts";

it("waits for the audit trail, and is refused where nobody chains it in time", () =>
  withShop(async (stage) => {
    const { database } = stage;
    const rederive = await stage.open(shop(), { governance: { auditWaitMs: 300 } });
    const backfill = await rederive.as(tester).plan({ reason: "first" });
    expect((await runToEnd(rederive, backfill, { workers: 4 })).state).toBe("verified");
    await backfill.diff();
    await rederive.as(tester).createToken({ name: "somebody", role: "viewer" });
    // A sequencer that is stuck: it has the lock and writes nothing.
    await database.transaction(async (stuck) => {
      await lockChain(stuck);
      await expect(backfill.promote({ reason: "now" })).rejects.toMatchObject({
        ...{ code: "audit_behind", details: { waitedMs: 300, unchained: expect.any(Number) } },
      });
      const [row] = await database.query<{ live: number }>("select count(*)::int4 as live from public.facts");
      expect([row?.live, (await backfill.status()).state]).toEqual([0, "verified"]);
      expect(await newestPending(database)).toBeDefined();
    });
    // Nobody holds it any more, and this process may chain itself.
    expect((await backfill.promote({ reason: "now" })).state).toBe("promoted");
    await database.transaction(async (stuck) => {
      await lockChain(stuck);
      expect((await backfill.rollback({ reason: "and back" })).state).toBe("rolled_back");
    });
    const [entry] = await database.query<{ unchained: number }>(
      "select (details->>'unchained')::int4 as unchained from rederive.audit where act = 'backfill.rollback'",
    );
    // The promotion's own entry, at least, was not chained yet.
    expect(entry?.unchained).toBeGreaterThan(0);
    expect(await chainPending(database)).toBeGreaterThan(0);
  }));
