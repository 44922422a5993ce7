/**
 * A person who is limited to the datasets of their groups, on a real instance: nothing of what others own is in any answer,
 * of any route and any use case. The names of what others own all have "zebra" in them.
 */
import { sql } from "drizzle-orm";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { type Actor, createRederive, defineCatalog, derived, exposure, type Rederive, source } from "rederive";
import { runToEnd, tester, withTestDatabase } from "rederive/testing";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Acting } from "../../src/acting.ts";
import { Audit } from "../../src/audit.ts";
import { Backfill } from "../../src/backfill.ts";
import { check } from "../../src/catalog/check.ts";
import type { RederiveError } from "../../src/errors.ts";
import { outside } from "../../src/governance/visibility.ts";
import { graphSvg } from "../../src/planner/svg.ts";
import { type RunningServer, startServer } from "../../src/server/index.ts";
import type { Route } from "../../src/server/route.ts";
import { routes } from "../../src/server/routes.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import { requestOf } from "../server/requests.ts";
import { silentLog } from "../server/support.ts";
import { kept } from "../support/kept.ts";

const tableOf = (name: string) =>
  pgTable(name, { id: integer("id").primaryKey(), currency: text("currency").notNull() });
const [orders, revenue, report] = [tableOf("orders"), tableOf("revenue"), tableOf("report")];
const [rates, margin, alone] = [tableOf("zebra_rates"), tableOf("zebra_margin"), tableOf("zebra_alone")];

const finance = { owner: "finance" };
const logistics = { owner: "logistics" };
const orderSource = source(orders, finance);
const rateSource = source(rates, logistics);
const revenueOf = derived(revenue, {
  ...{ version: 1, key: [revenue.id], inputs: { orders: orderSource, rates: rateSource }, ...finance },
  select: ({ orders: o, rates: r }) => sql`select o.id, o.currency from ${o} o join ${r} r using (id)`,
  checks: [check.accepted(revenue.currency, ["EUR"], { severity: "warn" })],
});
const marginOf = derived(margin, {
  ...{ version: 1, key: [margin.id], inputs: { revenue: revenueOf }, ...logistics },
  select: ({ revenue: r }) => sql`select id, currency from ${r}`,
  checks: [check.accepted(margin.currency, ["EUR"])],
});
const reportOf = derived(report, {
  ...{ version: 1, key: [report.id], inputs: { margin: marginOf, revenue: revenueOf }, ...finance },
  select: ({ margin: m }) => sql`select id, currency from ${m}`,
});
const aloneOf = derived(alone, {
  ...{ version: 1, key: [alone.id], inputs: { rates: rateSource }, ...logistics },
  select: ({ rates: r }) => sql`select id, currency from ${r}`,
});
const catalog = defineCatalog({
  datasets: [orderSource, rateSource, revenueOf, marginOf, reportOf, aloneOf],
  exposures: [
    exposure("board", {
      ...{ reads: [revenueOf, marginOf], columns: [revenue.id, margin.id], criticality: "high", ...finance },
    }),
    exposure("zebra_board", { reads: [revenueOf, marginOf], criticality: "critical", ...logistics }),
  ],
});

const bob: Actor = { name: "bob", role: "approver", groups: ["finance"] };

let database: Database;
let rederive: Rederive;
let server: RunningServer;
let token: Readonly<Record<"bob" | "root", string>>;
/** Recomputes datasets of both groups; one that others own holds it. */
let mixed: string;
/** Recomputes what others own alone. */
let foreign: string;
/** Recomputes what they own alone, and is not started. */
let theirs: string;
let close: (() => Promise<void>) | undefined;

beforeAll(async () => {
  ({ close } = await kept<void>((use) =>
    withTestDatabase(inject("databaseUrl"), async (url) => {
      database = openDatabase(url, { max: 2 });
      rederive = await createRederive({
        ...{ catalog, databaseUrl: url, environment: "test" },
        governance: { limitedRoles: ["viewer", "operator", "approver"] },
      });
      server = await startServer(rederive, { port: 0, log: silentLog });
      try {
        await play();
        await use();
      } finally {
        await server.close();
        await rederive.close();
        await database.close();
      }
    }),
  ));
}, 120_000);

afterAll(() => close?.());

async function play(): Promise<void> {
  for (const name of ["orders", "revenue", "report", "zebra_rates", "zebra_margin", "zebra_alone"]) {
    await database.query(`create table public.${name} (id int4 primary key, currency text not null)`);
  }
  await database.query("insert into public.orders values (1, 'EUR'), (2, 'EUR')");
  await database.query("insert into public.zebra_rates values (1, 'EUR'), (2, 'EUR'), (3, 'EUR')");
  const acting = rederive.as(tester);
  const first = await acting.plan({ reason: "the first of all" });
  expect((await runToEnd(rederive, first)).state).toBe("verified");
  await first.promote({ reason: "it is right" });
  // What is downstream of theirs would be recomputed as well.
  const ours = { datasets: ["revenue"], reason: "ours" };
  for (const make of [() => rederive.as(bob).plan(ours), () => rederive.as(bob).preview(ours)]) {
    await expect(make()).rejects.toMatchObject({ code: "forbidden", message: expect.not.stringContaining("zebra") });
  }
  theirs = (await acting.plan({ datasets: ["report"], reason: "not started" })).id;
  foreign = (await acting.plan({ datasets: ["zebra_alone"], reason: "once more" })).id;
  for (const dataset of ["revenue", "zebra_margin"]) {
    await acting.captureBaseline({ name: dataset, dataset, reason: "as it is" });
  }
  await database.query("update public.orders set currency = 'XXX' where id = 2");
  const second = await acting.plan({ datasets: ["revenue"], reason: "a currency more" });
  mixed = second.id;
  expect((await runToEnd(rederive, second)).state).toBe("held");
  // Postgres says what it says, with the names of its tables and constraints.
  const said = `; rederive_candidate.zebra_margin__${mixed} and foreign key zebra_rates_id_fkey of public.zebra_rates`;
  await database.query("update rederive.backfill set state_reason = state_reason || $1::text where id = $2::text", [
    said,
    mixed,
  ]);
  token = {
    bob: (await acting.createToken({ ...bob, person: "bob" })).token,
    root: (await acting.createToken({ name: "root", role: "admin" })).token,
  };
}

interface Asked {
  readonly status: number;
  readonly text: string;
}

async function ask(who: "bob" | "root", path: string, method = "GET", body?: unknown): Promise<Asked> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token[who]}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      // As from another machine, where metrics want a token.
      "x-forwarded-for": "192.0.2.1",
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

/** A path of a route for one backfill and one name; queries are those that every route takes. */
function pathOf(route: Route, { id, name, key = "id=1" }: { id: string; name: string; key?: string }): string {
  const query = { getRowLineage: `?key=${key}`, getImpact: `?dataset=${name}`, getDiff: "?samples=10" };
  const at = route.at.replace(":id", id).replace(":dataset", name).replace(":name", name);
  return `/api/v1${at}${query[route.operation as keyof typeof query] ?? ""}`;
}

const reading = routes.filter(({ method }) => method === "get");

describe("a person who sees the datasets of their groups", () => {
  it("finds nothing of others in any route that reads", async () => {
    const told: string[] = [];
    for (const route of reading) {
      const names = route.at.startsWith("/exposures") ? ["board"] : ["revenue", "report", "orders"];
      for (const name of names) {
        const path = pathOf(route, { id: mixed, name });
        const seen = await ask("bob", path);
        expect([path, seen.text.match(/.{0,80}zebra.{0,80}/i)?.[0]]).toEqual([path, undefined]);
        const isWhole = route.useCase === "audit.export";
        const isNoRow = route.operation.endsWith("Lineage") && name === "orders";
        if (!isNoRow) expect([path, seen.status, seen.text]).toEqual([path, isWhole ? 403 : 200, expect.anything()]);
        if (/zebra/i.test((await ask("root", path)).text)) told.push(route.operation);
      }
    }
    // Who sees everything is told of them by each of these.
    expect([...new Set(told)].sort()).toEqual([
      ...["bisectBackfill", "getAuditLog", "getBackfill", "getCatalog", "getColumnLineage", "getDiff", "getExposure"],
      ...["getImpact", "getLineage", "getPlan", "getRowLineage", "listBackfills", "listBaselines"],
    ]);
    for (const path of ["/metrics", "/queues", "/queues/api/queues"]) {
      expect([path, await ask("bob", path)]).toMatchObject([path, { status: 404 }]);
    }
  });

  it("is told of what others own as of what does not exist, by every route that names something", async () => {
    const named = routes.filter(({ at, operation }) => at.includes(":") || operation === "getImpact");
    for (const route of named) {
      const { method, body } = requestOf(route);
      const answers = [
        { id: foreign, name: route.at.startsWith("/exposures") ? "zebra_board" : "zebra_margin" },
        { id: "bf_nowhere", name: "nowhere" },
      ].map(async (object) => {
        const { status, text } = await ask("bob", pathOf(route, object), method, body);
        const told = text.replaceAll(object.id, "ID").replaceAll(object.name, "NAME");
        return [status, told.replace(/"traceId":"\w+"/, "")];
      });
      const [theirs, nobodys] = await Promise.all(answers);
      expect([route.operation, theirs]).toEqual([route.operation, nobodys]);
      expect([route.operation, theirs?.[0]]).toEqual([route.operation, 404]);
    }
  });

  it("finds nothing of others in any use case", async () => {
    const acting = rederive.as(bob);
    const backfill = await acting.backfill(mixed);
    const { audit } = acting;
    const reason = "a look";
    const baseline = { name: "zebra_margin", reason };
    const file = { before: "2001-01-01", archive: "/dev/null/x", reason };
    const all: Record<string, () => unknown> = {
      plan: () => acting.plan({ datasets: ["revenue"], reason }),
      preview: () => acting.preview({ reason }),
      impact: () => acting.impact({ dataset: "orders" }),
      lineage: () => acting.lineage({ dataset: "report", direction: "both" }),
      lineageRow: () => acting.lineageRow({ dataset: "report", key: { id: "1" } }),
      lineageColumns: () => acting.lineageColumns("report"),
      exposure: () => acting.exposure("board"),
      graph: () => acting.graph(),
      catalog: () => graphSvg(acting.catalog),
      describedCatalog: () => acting.describedCatalog(),
      backfill: () => backfill.plan,
      auditLag: () => acting.auditLag(),
      backfills: () => acting.backfills(),
      check: () => acting.check(),
      validation: () => acting.validation(),
      captureBaseline: () => acting.captureBaseline({ ...baseline, dataset: "revenue", query: "select 1" }),
      approveBaseline: () => acting.approveBaseline(baseline),
      retireBaseline: () => acting.retireBaseline(baseline),
      baselines: () => acting.baselines(),
      limits: () => acting.limits(),
      setLimit: () => acting.setLimit("zebra_margin", { concurrency: 1 }, reason),
      createToken: () => acting.createToken({ name: "x", role: "viewer" }),
      tokens: () => acting.tokens(),
      revokeToken: () => acting.revokeToken("1"),
      identities: () => acting.identities(),
      disableIdentity: () => acting.disableIdentity({ person: "grace", reason }),
      enableIdentity: () => acting.enableIdentity({ person: "grace", reason }),
      doctor: () => acting.doctor(),
      start: () => backfill.start(),
      pause: () => backfill.pause({ reason }),
      approvePhase: () => backfill.approvePhase({ phase: "pilot", reason }),
      resume: () => backfill.resume({ reason }),
      cancel: () => backfill.cancel({ reason }),
      finalize: () => backfill.finalize({ reason }),
      retry: () => backfill.retry({ reason }),
      preflight: () => backfill.preflight(),
      status: () => backfill.status(),
      diff: () => backfill.diff(),
      bisect: () => backfill.bisect(),
      "backfill.check": () => backfill.check(),
      approve: () => backfill.approve(),
      requestChanges: () => backfill.requestChanges({ comment: reason }),
      comment: () => backfill.comment({ comment: reason }),
      withdraw: () => backfill.withdraw({ reason }),
      approvals: () => backfill.approvals(),
      promote: () => backfill.promote({ reason }),
      rollback: () => backfill.rollback({ reason }),
      finished: async () => {
        const events: unknown[] = [];
        return [await backfill.finished({ onProgress: (event) => events.push(event) }), events];
      },
      log: () => audit.log(),
      verify: () => audit.verify(),
      checkpoint: () => audit.checkpoint(),
      export: () => audit.export("/dev/null/x"),
      exportBackfill: () => audit.exportBackfill({ backfill: mixed, out: "/dev/null/x" }),
      prune: () => audit.prune(file),
    };
    const methods = [Acting, Backfill, Audit].flatMap((made) => Object.getOwnPropertyNames(made.prototype));
    expect(new Set(methods.filter((name) => !["constructor", "audit"].includes(name)))).toEqual(
      new Set(Object.keys(all).filter((name) => !name.includes("."))),
    );
    const forbidden: string[] = [];
    for (const [name, use] of Object.entries(all)) {
      const answer = await Promise.resolve()
        .then(use)
        .catch((error: { code: string; message: string; details: unknown }) => {
          if (error.code === "forbidden") forbidden.push(name);
          return { code: error.code, message: error.message, details: error.details };
        });
      // What they asked for is told to them as it was asked.
      const told = JSON.stringify(answer)?.replace(/\\"zebra_margin\\" among yours/, "");
      expect([name, told?.match(/.{0,80}zebra.{0,80}/i)?.[0]]).toEqual([name, undefined]);
    }
    // Nothing was done to what belongs to others as well.
    expect(forbidden).toEqual(
      [
        "captureBaseline createToken tokens revokeToken identities disableIdentity enableIdentity doctor start pause",
        "approvePhase resume cancel finalize retry backfill.check approve requestChanges promote rollback checkpoint",
        "export exportBackfill prune",
      ].flatMap((names) => names.split(" ")),
    );
    const unchanged = await rederive.as(tester).backfill(mixed);
    expect((await unchanged.status()).state).toBe("held");
  });

  it("sees their own part of what touches both, and where it leads out of it", async () => {
    const acting = rederive.as(bob);
    const listed = (await acting.backfills()).map(({ backfill: id }) => id);
    expect([listed[0], listed.includes(theirs), listed.includes(foreign)]).toEqual([mixed, true, false]);
    expect((await (await acting.backfill(theirs)).cancel({ reason: "ours" })).state).toBe("cancelled");
    expect((await acting.audit.log({ backfill: theirs })).entries[0]).toMatchObject({ act: "backfill.cancel" });
    const backfill = await acting.backfill(mixed);
    const status = await backfill.status();
    expect(status.datasets.map(({ dataset }) => dataset)).toEqual(["revenue", "report"]);
    expect(status.stateReason).toContain(`; rederive_candidate.${outside} and foreign key ${outside} of ${outside}`);
    expect(backfill.plan.decision.steps.map(({ dataset }) => dataset)).toEqual(["revenue", "report"]);
    expect((await backfill.diff()).datasets.map(({ dataset }) => dataset)).toEqual(["revenue", "report"]);
    const { nodes, edges } = await acting.lineage({ dataset: "report", direction: "both" });
    expect(nodes.map(({ dataset }) => dataset).sort()).toEqual([outside, "orders", "report", "revenue"]);
    expect(edges.filter(({ from }) => from === outside)).toHaveLength(2);
    expect((await acting.graph()).datasets.map(({ name, inputs }) => [name, inputs.length])).toEqual([
      ["orders", 0],
      ["revenue", 1],
      ["report", 1],
    ]);
    // A value that happens to be called like somebody's dataset is a value.
    const { row } = await acting.lineageRow({ dataset: "revenue", key: { id: "1" } });
    expect(row).toEqual({ id: "1", currency: "EUR" });
  });

  it("is told the same of names of others and of nobody's, wherever a request has names", async () => {
    const acting = rederive.as(bob);
    const own = await acting.backfill(theirs);
    const wish = { datasets: ["report"], reason: "ours" };
    const asks: ((name: string) => Promise<unknown>)[] = [
      (name) => acting.plan({ ...wish, datasets: ["report", name] }),
      (name) => acting.plan({ ...wish, expect: { datasets: { [name]: { maxChangedRows: 1 } } } }),
      (name) => acting.preview({ ...wish, sample: { partitions: { [name]: ["all"] } } }),
      (name) => acting.plan({ ...wish, continues: name }),
      (name) => own.retry({ dataset: name, reason: "ours" }),
      (name) => own.check({ datasets: [name] }),
      (name) => acting.check({ datasets: [name] }),
      (name) => acting.captureBaseline({ name: "ours", dataset: name, reason: "ours" }),
      (name) => acting.setLimit(name, { concurrency: 1 }, "ours"),
    ];
    for (const [at, ask] of asks.entries()) {
      const told = async (name: string) => {
        const error = (await ask(name).catch((thrown: unknown) => thrown)) as RederiveError;
        return [
          at,
          error.code,
          error.message.replaceAll(name, "NAME"),
          JSON.stringify(error.details).replaceAll(name, "NAME"),
        ];
      };
      const theirs = await told(at === 3 ? foreign : "zebra_margin");
      expect(theirs).toEqual(await told(at === 3 ? "bf_nowhere" : "nowhere"));
      expect(theirs[1]).toBe("not_found");
    }
  });

  it("does not take the name of what others keep", async () => {
    const acting = rederive.as(bob);
    const wish = { dataset: "revenue", reason: "ours" };
    await expect(acting.captureBaseline({ ...wish, name: "zebra_margin" })).rejects.toMatchObject({ code: "usage" });
    expect((await acting.captureBaseline({ ...wish, name: "revenue" })).version).toBe(2);
  });

  it("sees and may do everything with a role that is not limited, or without groups", async () => {
    for (const actor of [
      { name: "carol", role: "viewer" as const },
      { ...bob, role: "admin" as const },
    ]) {
      expect(JSON.stringify(await rederive.as(actor).backfills())).toContain("zebra_margin");
    }
  });
});
