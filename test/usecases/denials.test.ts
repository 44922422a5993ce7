/** Refused acts on record: who asked for what, and never so many that they fill the trail. */

import { expect, it } from "vitest";
import { createToken } from "../../src/governance/tokens.ts";
import { startServer } from "../../src/server/index.ts";
import { silentLog } from "../server/support.ts";
import { shop, withShop } from "./shop.ts";

const viewer = { name: "vera", role: "viewer" } as const;

it("are an entry for each act and object in a minute, from the library and over HTTP, and none for reading", () =>
  withShop(async (stage) => {
    const { database } = stage;
    const rederive = await stage.open(shop(), { governance: { startApprovals: 1 } });
    const ada = rederive.as({ name: "ada", role: "operator" });
    const [one, other] = [await ada.plan({ reason: "one" }), await ada.plan({ reason: "other" })];
    const denials = () =>
      database.query<{ told: string }>(
        `select concat_ws(' ', actor, backfill, details->>'useCase', details->>'code', details->>'role') as told
         from rederive.audit where act = 'denied' order by id`,
      );
    for (const id of [one.id, other.id, one.id]) {
      await expect((await rederive.as(viewer).backfill(id)).cancel({ reason: "no" })).rejects.toMatchObject({
        code: "forbidden",
      });
    }
    await expect(one.start()).rejects.toMatchObject({ code: "approval_required" });
    await expect(rederive.as(viewer).lineageRow({ dataset: "facts", key: { id: "1" } })).rejects.toMatchObject({
      code: "forbidden",
    });
    const server = await startServer(rederive, { port: 0, log: silentLog });
    try {
      const { token } = await createToken(database, "root", { name: "walter", role: "viewer" });
      const post = async (path: string) => {
        const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
        return (await fetch(`${server.url}/api/v1${path}`, { method: "POST", headers, body: "{}" })).status;
      };
      expect(await post(`/backfills/${one.id}/start`)).toBe(403);
      expect(await post(`/backfills/${one.id}/start`)).toBe(403);
      // A backfill that does not exist is not named, so inventing them gives one entry.
      expect([await post("/backfills/bf_0000000/start"), await post("/backfills/bf_1111111/start")]).toEqual([
        403, 403,
      ]);
    } finally {
      await server.close();
    }
    expect((await denials()).map(({ told }) => told)).toEqual([
      `vera ${one.id} backfill.cancel forbidden viewer`,
      `vera ${other.id} backfill.cancel forbidden viewer`,
      `ada ${one.id} backfill.start approval_required operator`,
      `walter ${one.id} backfill.start forbidden viewer`,
      "walter backfill.start forbidden viewer",
    ]);
    // Of one actor at most twenty in a minute, whatever they ask for.
    const acting = rederive.as({ name: "mallory", role: "viewer" });
    const ids = Array.from({ length: 24 }, (_, at) => `bf_${String(at).padStart(6, "0")}`);
    await database.query(
      `insert into rederive.backfill (id, plan_hash, decision, forecast, reason, environment, requested_by)
       select id, plan_hash, decision, forecast, reason, environment, requested_by
       from unnest($1::text[]) as id, (select plan_hash, decision, forecast, reason, environment, requested_by
         from rederive.backfill where id = $2::text) b`,
      [ids, one.id],
    );
    for (const id of ids) await (await acting.backfill(id)).cancel({ reason: "no" }).catch(() => undefined);
    expect((await denials()).filter(({ told }) => told.startsWith("mallory"))).toHaveLength(20);
  }));
