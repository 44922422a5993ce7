/** The whole life of a backfill over HTTP, on a real instance with a worker and a planner in this process. */

import { sql } from "drizzle-orm";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { defineCatalog } from "../../src/catalog/catalog.ts";
import { check } from "../../src/catalog/check.ts";
import { derived, source } from "../../src/catalog/dataset.ts";
import { whole } from "../../src/catalog/scheme.ts";
import { makeCheckpoint, newKeyPair, signerOf } from "../../src/governance/checkpoint.ts";
import type { Plan } from "../../src/plan.ts";
import type { Affected } from "../../src/planner/affected.ts";
import { createRederive, type Rederive } from "../../src/rederive.ts";
import type { Baseline, Bisection, CheckReport, Diff, MergeReport, Status } from "../../src/report.ts";
import { type RunningServer, startServer } from "../../src/server/index.ts";
import type { RederivePort } from "../../src/server/port.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { AuditLog } from "../../src/usecases/audit.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { silentLog } from "./support.ts";

const orders = pgTable("orders", {
  id: integer("id").primaryKey(),
  currency: text("currency").notNull(),
  cents: integer("cents").notNull(),
});
const totals = pgTable("totals", { currency: text("currency").primaryKey(), cents: integer("cents").notNull() });

const orderSource = source(orders, { partitions: whole() });
const totalsByCurrency = derived(totals, {
  version: 1,
  key: [totals.currency],
  partitions: whole(),
  inputs: { orders: orderSource },
  select: ({ db, orders }) =>
    db
      .select({ currency: orders.currency, cents: sql<number>`sum(${orders.cents})::int4`.as("cents") })
      .from(orders)
      .groupBy(orders.currency),
  checks: [check.unique(totals.currency)],
});

let rederive: Rederive;
let server: RunningServer;
let token: string;
let databaseUrl: string;
let drop: () => Promise<void>;

beforeAll(async () => {
  const created = await createTestDatabase();
  databaseUrl = created.url;
  drop = created.drop;
  const database = openDatabase(databaseUrl, { max: 1 });
  await database.query("create table public.orders (id int4 primary key, currency text not null, cents int4 not null)");
  await database.query("create table public.totals (currency text primary key, cents int4 not null)");
  await database.query("insert into public.orders values (1, 'EUR', 10), (2, 'EUR', 20), (3, 'USD', 5)");
  await database.close();
  const redisUrl = inject("redisUrl");
  rederive = await createRederive({
    catalog: defineCatalog({ datasets: [orderSource, totalsByCurrency] }),
    databaseUrl,
    ...(redisUrl === "" ? {} : { redisUrl, prefix: `{http${process.pid}}` }),
    environment: "test",
  });
  const port: RederivePort = rederive;
  server = await startServer(port, { port: 0, log: silentLog });
  token = (await rederive.as({ name: "root", role: "admin" }).createToken({ name: "ada", role: "approver" })).token;
  await rederive.startWorker({ concurrency: 1 });
  rederive.startPlanner();
});

afterAll(async () => {
  await server?.close();
  await rederive?.close();
  await drop?.();
});

describe("a backfill over HTTP", () => {
  it("is ready to serve", async () => {
    const response = await fetch(`${server.url}/readyz`);
    expect([response.status, await response.json()]).toMatchObject([
      200,
      { ready: true, parts: { postgres: "ok", migrations: "ok" } },
    ]);
  });

  it("is planned, run, compared, promoted and rolled back", async () => {
    const preview = await send<{ hash: string }>("POST", "/plans", {
      datasets: ["totals"],
      reason: "first computation",
    });
    const sampled = await send<Plan>("POST", "/plans", {
      ...{ datasets: ["totals"], reason: "first computation" },
      sample: { share: 1 },
    });
    expect([sampled.hash, sampled.forecast.sample?.datasets]).toMatchObject([
      preview.hash,
      [{ dataset: "totals", of: 1, added: 2, estimates: { added: { expected: 2, low: 2, high: 2 } } }],
    ]);
    const made = await send<{ backfill: string; plan: { hash: string } }>(
      "POST",
      "/backfills",
      { datasets: ["totals"], reason: "first computation" },
      201,
    );
    expect(made.plan.hash).toBe(preview.hash);
    const id = made.backfill;
    expect(await send<Status>("GET", `/backfills/${id}`)).toMatchObject({
      state: "planned",
      requestedBy: "ada",
      reason: "first computation",
    });
    await send("POST", `/backfills/${id}/start`, {});
    await rederive
      .as({ name: "ada", role: "approver" })
      .backfill(id)
      .then((backfill) => backfill.finished());
    expect(await send<Status>("GET", `/backfills/${id}`)).toMatchObject({ state: "verified", total: 1 });
    const diff = await send<Diff>("GET", `/backfills/${id}/diff?samples=5`);
    expect(diff.datasets).toMatchObject([{ dataset: "totals", added: 2, removed: 0, changed: 0, unchanged: 0 }]);
    const bisection = await send<Bisection>("GET", `/backfills/${id}/bisect?rows=1`);
    expect(bisection.datasets).toMatchObject([
      { dataset: "totals", divergent: 1, rows: [{ kind: "added", key: { currency: "EUR" }, after: { cents: "30" } }] },
    ]);
    expect(await send<CheckReport>("POST", `/backfills/${id}/check`, {})).toMatchObject({
      ...{ backfill: id, scope: "candidates", failed: false, datasets: [{ dataset: "totals", checked: 1 }] },
    });
    const promoted = await send<MergeReport>("POST", `/backfills/${id}/promote`, { reason: "looks right" });
    expect(promoted).toMatchObject({
      state: "promoted",
      datasets: [{ dataset: "totals", inserted: 2, updated: 0, deleted: 0 }],
    });
    expect(await totalsNow()).toEqual(["EUR 30", "USD 5"]);
    expect(await send<CheckReport>("POST", "/check", { datasets: ["totals"] })).toMatchObject({
      ...{ backfill: null, scope: "live", failed: false, datasets: [{ checked: 1, upToDate: 0 }] },
    });
    expect(await send<Affected>("GET", "/impact?dataset=orders")).toMatchObject({
      downstream: [{ dataset: "totals", reach: "direct", tasks: 1 }],
    });
    expect(await send("POST", `/backfills/${id}/promote`, { reason: "twice" }, 409)).toMatchObject({
      code: "wrong_state",
    });
    await send("POST", `/backfills/${id}/rollback`, { reason: "not yet" });
    expect(await totalsNow()).toEqual([]);
    const { backfills } = await send<{ backfills: Status[] }>("GET", "/backfills?state=rolled_back");
    expect(backfills.map((status) => status.backfill)).toEqual([id]);
  });

  it("leaves a baseline that is captured, approved and retired", async () => {
    const wish = { name: "known", dataset: "totals", tolerance: { cents: "1%" }, reason: "checked with finance" };
    expect(await send<Baseline>("POST", "/baselines", wish, 201)).toMatchObject({ version: 1, state: "captured" });
    await send("POST", "/baselines/known/approve", { version: 1, reason: "agreed" });
    const { baselines } = await send<{ baselines: Baseline[] }>("GET", "/baselines?name=known");
    expect(baselines).toMatchObject([{ name: "known", state: "approved", tolerance: { cents: { relative: 0.01 } } }]);
    expect(await send("POST", "/baselines/known/retire", { reason: "no more" })).toMatchObject({ state: "retired" });
    const query = { ...wish, query: "select 1" };
    expect(await send("POST", "/baselines", query, 400)).toMatchObject({ code: "unknown_field" });
    expect(await send("POST", "/baselines/none/approve", { reason: "x" }, 404)).toMatchObject({ code: "not_found" });
  });

  it("that does not exist is not found, and an unknown dataset is refused", async () => {
    expect(await send("GET", "/backfills/bf_0000000000", undefined, 404)).toMatchObject({ code: "not_found" });
    const unknown = { datasets: ["nothing"], reason: "x" };
    expect(await send("POST", "/plans", unknown, 404)).toMatchObject({ code: "not_found" });
  });

  it("leaves a trail that is read in pages and verified with checkpoints", async () => {
    const { backfill } = await send<{ backfill: string }>(
      "POST",
      "/backfills",
      { changes: true, reason: "a look" },
      201,
    );
    await send("POST", `/backfills/${backfill}/cancel`, { reason: "seen enough" });
    const log = await send<AuditLog>("GET", `/audit?backfill=${backfill}&limit=1`);
    expect(log.entries).toMatchObject([{ actor: "ada", act: "backfill.cancel", reason: "seen enough" }]);
    const rest = await send<AuditLog>("GET", `/audit?backfill=${backfill}&before=${log.next}`);
    expect(rest.entries.map(({ act }) => act)).toEqual(["backfill.plan"]);
    expect(await send("GET", "/audit?before=x", undefined, 400)).toMatchObject({ code: "usage" });

    expect(await send("POST", "/audit/verify", {})).toMatchObject({ ok: true, fault: null, trusted: false });
    const { privateKey, publicKey } = newKeyPair();
    const beyond = { seq: 1_000_000, hash: "a".repeat(64) };
    const checkpoint = makeCheckpoint(signerOf(privateKey), beyond, new Date());
    expect(await send("POST", "/audit/verify", { checkpoints: [checkpoint], keys: [publicKey] })).toMatchObject({
      ok: false,
      fault: { kind: "truncated" },
      trusted: true,
    });
    const changed = { ...checkpoint, seq: 1 };
    const refused = await send("POST", "/audit/verify", { checkpoints: [changed] }, 409);
    expect(refused).toMatchObject({ code: "verification_failed" });
    expect(await send("POST", "/audit/verify", { keys: ["no key"] }, 400)).toMatchObject({ code: "usage" });
  });
});

/** Sends as an approver, and expects this status. */
async function send<Answer = unknown>(method: string, path: string, body?: unknown, status = 200): Promise<Answer> {
  const response = await fetch(`${server.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as Answer;
  expect([response.status, answer]).toEqual([status, answer]);
  return answer;
}

async function totalsNow(): Promise<string[]> {
  const database = openDatabase(databaseUrl, { max: 1 });
  const rows = await database.query<{ line: string }>(
    "select currency || ' ' || cents as line from public.totals order by 1",
  );
  await database.close();
  return rows.map((row) => row.line);
}
