/** A server on a free port over real tokens in a real database; the use cases answer from memory and are recorded. */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { Queue } from "bullmq";
import { pgTable, text } from "drizzle-orm/pg-core";
import { pino } from "pino";
import { type Catalog, defineCatalog } from "../../src/catalog/catalog.ts";
import { check } from "../../src/catalog/check.ts";
import { derived, exposure, source } from "../../src/catalog/dataset.ts";
import { whole } from "../../src/catalog/scheme.ts";
import { RederiveError } from "../../src/errors.ts";
import { type KeyedRequests, keyedRequestsIn } from "../../src/governance/keyed-requests.ts";
import { type Actor, authorize, type Role, roles, type UseCase } from "../../src/governance/roles.ts";
import { authenticate, createToken } from "../../src/governance/tokens.ts";
import type { TrailVerdict } from "../../src/governance/trail.ts";
import type { Lineage } from "../../src/lineage/graph.ts";
import { makePlan, type Plan } from "../../src/plan.ts";
import type { Affected } from "../../src/planner/affected.ts";
import { graphOf } from "../../src/planner/catalog-graph.ts";
import type {
  Approvals,
  Baseline,
  Bisection,
  CheckReport,
  LiveValidation,
  PreflightReport,
  Status,
  TaskCounts,
} from "../../src/report.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../src/server/index.ts";
import type { ActingPort, BackfillPort, Readiness, RederivePort } from "../../src/server/port.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import type { Database } from "../../src/tx.ts";
import type { AuditLog } from "../../src/usecases/audit.ts";
import { aDecision } from "../support/decision.ts";
import { createTestDatabase } from "../support/postgres.ts";

export interface Harness {
  readonly url: string;
  readonly database: Database;
  readonly rederive: FakeRederive;
  readonly tokens: Readonly<Record<Role, string>>;
  /** Everything logged, as one text. */
  readonly logged: () => string;
  readonly server: RunningServer;
  /** A request with a token of the role; JSON where there is a body. */
  request(path: string, options?: RequestOptions): Promise<Response>;
  close(): Promise<void>;
}

export interface RequestOptions {
  readonly method?: string;
  readonly role?: Role | "nobody";
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface HarnessOptions extends Partial<ServerOptions> {
  readonly environment?: "development" | "test" | "production";
  readonly queues?: readonly Queue[];
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const { environment = "production", queues = [], ...serverOptions } = options;
  const created = await createTestDatabase();
  const database = openDatabase(created.url, { max: 3 });
  const rederive = new FakeRederive(database, environment, queues);
  const lines: string[] = [];
  const { createLog } = await import("../../src/telemetry/log.ts");
  const log = createLog({ name: "test", destination: { write: (line: string) => lines.push(line) } });
  const server = await startServer(rederive, { port: 0, host: "127.0.0.1", log, ...serverOptions });
  const tokens = Object.fromEntries(
    await Promise.all(
      roles.map(async (role) => [role, (await createToken(database, "test", { name: role, role })).token]),
    ),
  ) as Record<Role, string>;
  return {
    url: server.url,
    database,
    rederive,
    tokens,
    server,
    logged: () => lines.join(""),
    request: (path, { method = "GET", role = "admin", body, headers = {} } = {}) =>
      fetch(server.url + path, {
        method,
        redirect: "manual",
        headers: {
          ...(role === "nobody" ? {} : { authorization: `Bearer ${tokens[role]}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      }),
    close: async () => {
      await server.close();
      await database.close();
      await created.drop();
    },
  };
}

export const silentLog = pino({ level: "silent" });

/** Use cases from memory: what came in is recorded, and a test may make the next one fail. */
export class FakeRederive implements RederivePort {
  settings: RederivePort["settings"];
  readonly queues: readonly Queue[];
  readonly calls: { act: string; actor: Actor; args: unknown[] }[] = [];
  readonly login = undefined;
  parts: readonly Readiness[] = [
    { part: "postgres", ok: true },
    { part: "migrations", ok: true },
    { part: "redis", ok: true },
  ];
  failure: unknown;
  /** Waited for in each use case. */
  before: () => Promise<void> = async () => {};
  readonly #database: Database;

  constructor(database: Database, environment: "development" | "test" | "production", queues: readonly Queue[]) {
    this.#database = database;
    this.settings = { environment, server: { host: "127.0.0.1", port: 0, proxies: 0 } };
    this.queues = queues;
  }

  get catalog(): Catalog {
    return aCatalog();
  }

  async authenticate(token: string): Promise<Actor | undefined> {
    return await authenticate(this.#database, token);
  }

  async admit(actor: Actor, useCase: UseCase): Promise<void> {
    authorize(actor, useCase);
  }

  get keyedRequests(): KeyedRequests {
    return keyedRequestsIn(this.#database);
  }

  async readiness(): Promise<readonly Readiness[]> {
    return this.parts;
  }

  as(actor: Actor): ActingPort {
    const answer = async <Value>(act: string, value: Value, ...args: unknown[]): Promise<Value> => {
      this.calls.push({ act, actor, args });
      const failure = this.failure;
      this.failure = undefined;
      await this.before();
      if (failure !== undefined) throw failure;
      return value;
    };
    const setting = (name: string) => ({ name, rate: { max: 50, perMs: 1_000 }, concurrency: null });
    return {
      plan: (input) => answer("plan", aBackfill(answer, "bf_7k3m9x2q4d"), input),
      preview: (input) => answer("preview", aPlan(), input),
      backfill: async (id) => {
        if (id !== "bf_7k3m9x2q4d") throw new RederiveError("not_found", `there is no backfill ${id}`);
        return aBackfill(answer, id);
      },
      backfills: (options) => answer("backfills", [aStatus()], options),
      check: (input) => answer("check", aCheckReport(null), input),
      graph: () => answer("graph", graphOf(this.catalog)),
      validation: () => answer("validation", [aValidation()]),
      impact: (input) => answer("impact", anImpact(), input),
      lineage: (input) => answer("lineage", aLineage(), input),
      lineageRow: (input) => {
        const found = {
          input: "orders",
          dataset: "orders",
          partitions: "all",
          narrowedBy: ["id"],
          exact: true,
          doubts: [],
        };
        const inputs = [{ ...found, count: 1, rows: [{ id: "1", note: null }] }];
        const row = { dataset: "revenue", partition: "all", key: { id: "1" }, row: { id: "1" }, backfill: null };
        return answer("lineageRow", { ...row, warnings: [], inputs }, input);
      },
      exposure: (name) =>
        answer("exposure", {
          ...{ exposure: name, criticality: "critical", status: "held" as const, asOf: null, reads: ["revenue"] },
          ...{ backfills: ["bf_7k3m9x2q4d"], diverged: [], owner: "finance" },
        }),
      lineageColumns: (dataset) => {
        const from = [{ input: "orders", dataset: "orders", column: "amount", how: "aggregation" }];
        const columns = [{ column: "cents", from, sources: ["orders.amount"] }];
        return answer("lineageColumns", { dataset, proven: true, sourcesProven: true, columns, rows: [] }, dataset);
      },
      baselines: (of) => answer("baselines", [aBaseline()], of),
      captureBaseline: (input) => answer("captureBaseline", aBaseline(), input),
      approveBaseline: (input) => answer("approveBaseline", aBaseline(), input),
      retireBaseline: (input) => answer("retireBaseline", aBaseline(), input),
      audit: {
        log: (input) => answer("audit.log", anAuditLog(), input),
        verify: (trust) => answer("audit.verify", aVerdict(), trust),
        exportBackfill: async ({ backfill, out, signal }) => {
          await writeFile(out, "an archive");
          return answer("audit.exportBackfill", {}, backfill, signal);
        },
      },
      limits: () => answer("limits", [setting("revenue")]),
      setLimit: (name, limit, reason) => answer("setLimit", setting(name), name, limit, reason),
    };
  }
}

function anAuditLog(): AuditLog {
  const said = { actor: "ada", act: "backfill.plan", reason: "first run", details: { tasks: 42 } };
  const of = { backfill: "bf_7k3m9x2q4d", dataset: null, planHash: "a".repeat(64) };
  return { entries: [{ id: "7", seq: null, at: "2001-01-31T00:00:00.000000Z", ...said, ...of }], next: "7" };
}

function aVerdict(): TrailVerdict {
  const message = "entry 3 at seq 3 was edited after it was chained";
  return {
    ok: false,
    base: { seq: 0, hash: "0".repeat(64) },
    head: { seq: 2, hash: "b".repeat(64) },
    fault: { kind: "edited", seq: 3, message },
    unchained: { entries: 1, oldestAt: "2001-01-31T00:00:00.000000Z" },
    checkpoints: [],
    trusted: false,
  };
}

type Answer = <Value>(act: string, value: Value, ...args: unknown[]) => Promise<Value>;

function aBackfill(answer: Answer, id: string): BackfillPort {
  const merged = {
    backfill: id,
    state: "promoted" as const,
    datasets: [{ dataset: "revenue", inserted: 1, updated: 2, deleted: 3 }],
  };
  return {
    id,
    plan: aPlan(),
    start: () => answer("start", aStatus()),
    pause: (input) => answer("pause", aStatus(), input),
    resume: (input) => answer("resume", aStatus(), input),
    approvePhase: (input) => answer("approvePhase", aStatus(), input),
    cancel: (input) => answer("cancel", aStatus(), input),
    finalize: (input) => answer("finalize", aStatus(), input),
    retry: (input) => answer("retry", aStatus(), input),
    status: () => answer("status", aStatus()),
    diff: (options) => answer("diff", { backfill: id, digest: "d", datasets: [] }, options),
    bisect: (options) => answer("bisect", aBisection(id), options),
    preflight: () => answer("preflight", aPreflight(id)),
    check: (input) => answer("check", aCheckReport(id), input),
    approve: (input) => answer("approve", someApprovals(id), input),
    requestChanges: (input) => answer("requestChanges", someApprovals(id), input),
    comment: (input) => answer("comment", someApprovals(id), input),
    withdraw: (input) => answer("withdraw", someApprovals(id), input),
    approvals: () => answer("approvals", someApprovals(id)),
    promote: (input) => answer("promote", merged, input),
    rollback: (input) => answer("rollback", { ...merged, state: "rolled_back" as const }, input),
  };
}

function someApprovals(backfill: string): Approvals {
  const said = { at: "2001-01-31T00:00:00.000Z", expiresAt: "2001-02-03T00:00:00.000Z" };
  return {
    backfill,
    planHash: "p",
    requestedBy: "ada",
    needed: { start: 1, promote: 1, signOff: ["finance"] },
    entries: [
      { act: "start", verdict: "changes_requested", approver: "grace", comment: "too wide", ...said },
      { act: "promote", verdict: "approved", approver: "grace", comment: null, digest: "d", void: "expired", ...said },
    ],
  };
}

function aPreflight(backfill: string): PreflightReport {
  const seen = { what: "orders has no rows", seen: "nothing in 2001-01-31", mitigation: "load them first" };
  return {
    backfill,
    stopped: false,
    findings: [{ code: "missing_partitions", severity: "warn", dataset: "orders", ...seen }],
    looked: ["orders (31 partitions for gaps)"],
  };
}

export function aPlan(): Plan {
  const step = {
    action: "recompute" as const,
    dataset: "revenue",
    partitions: [[10, 20]] as const,
    reason: "requested",
    why: [{ code: "requested" as const, partitions: [[10, 20]] as const }],
    transform: "select" as const,
    version: 2,
    fingerprint: "f".repeat(64),
    definition: "d".repeat(64),
    metadata: "m".repeat(64),
    key: ["day"],
    ownedColumns: ["day", "cents"],
    criticality: 4,
    prunable: [],
    adopted: [],
  };
  return makePlan(
    aDecision({
      request: { kind: "datasets", datasets: ["revenue"], window: { from: "2001-01-01", to: "2001-02-01" } },
      requestReason: "refunds were ignored",
      environment: "production",
      pins: { TimeZone: "UTC" },
      basis: "b".repeat(64),
      steps: [step],
    }),
    { tasks: 10, prunable: 0, adopted: 0, datasets: [], warnings: [] },
  );
}

function aCheckReport(backfill: string | null): CheckReport {
  const evidence = {
    message: "1 × rows with another value",
    rows: [{ currency: "GBP", cents: null }],
    sql: "select 1",
  };
  const suspects = [{ input: "orders", dataset: "orders", partitions: "all", from: "live" as const }];
  const failure = { dataset: "revenue", partition: "2001-01-31", name: "accepted(currency)", failures: 1 };
  return {
    backfill,
    scope: backfill === null ? "live" : "candidates",
    failed: true,
    datasets: [
      {
        ...{ dataset: "revenue", checked: 3, upToDate: 28, failing: 1 },
        failures: [{ ...failure, severity: "error", evidence: { ...evidence, suspects } }],
      },
    ],
  };
}

function aValidation(): LiveValidation {
  const [startedAt, finishedAt] = ["2001-02-01T00:00:00.000Z", "2001-02-01T00:00:01.000Z"];
  const { failures } = aCheckReport(null).datasets[0] as CheckReport["datasets"][number];
  return { dataset: "revenue", every: "1h", startedAt, finishedAt, checked: 31, failing: 1, error: null, failures };
}

function anImpact(): Affected {
  const reached = { dataset: "revenue", reach: "direct" as const, through: ["orders"], criticality: 4, tasks: 1 };
  return {
    dataset: "orders",
    partitions: ["all"],
    downstream: [{ ...reached, partitions: ["all"] }],
    exposures: [{ name: "board", criticality: "critical", reads: ["revenue"] }],
  };
}

function aLineage(): Lineage {
  const computed = {
    ...{ backfill: "bf_7k3m9x2q4d", version: 2, fingerprint: "f", definition: "d", planHash: "p", rows: 31 },
    ...{ requestedBy: "ada", requestedBecause: "refunds were ignored", outputHash: "7", hashAlgorithm: "rows-1" },
    ...{
      computedAt: "2001-02-01T00:00:00.000000Z",
      workers: ["w1"],
      traceIds: [],
      confirmedBy: null,
      adoptedFrom: null,
    },
    ...{ promotedAt: null, promotedBy: null, promotedBecause: null, live: "none" as const },
  };
  return {
    ...{ dataset: "revenue", partition: null, asOf: null, direction: "both", roots: ["revenue@bf_7k3m9x2q4d"] },
    nodes: [
      { id: "orders", dataset: "orders", kind: "source", partitions: "all", ranges: null, computed: null },
      {
        ...{ id: "revenue@bf_7k3m9x2q4d", dataset: "revenue", kind: "derived", partitions: "all", ranges: [[0, 1]] },
        computed,
      },
    ],
    edges: [{ from: "orders", to: "revenue@bf_7k3m9x2q4d", input: "orders", read: "live", partitions: "all" }],
    exposures: [{ name: "board", criticality: "critical", reads: ["revenue"] }],
  };
}

function aBaseline(): Baseline {
  return {
    ...{ name: "revenue", version: 2, dataset: "revenue", partitions: null, query: null, key: ["day"] },
    ...{ tolerance: { cents: { relative: 0.01 } }, severity: "warn", rows: 31, contentHash: "7" },
    provenance: { fingerprints: ["f"], backfills: ["bf_7k3m9x2q4d"], stamps: "d", server: "18.1" },
    ...{ state: "captured", reason: "checked with finance", capturedBy: "ada" },
    ...{ capturedAt: "2001-02-01T00:00:00.000Z", decidedBy: null, decidedAt: null },
  };
}

function aBisection(backfill: string): Bisection {
  const [before, after] = [
    { day: "2001-01-31", cents: "1" },
    { day: "2001-01-31", cents: "2" },
  ];
  const counts = { partition: "2001-01-31", added: 0, removed: 0, changed: 1, columns: { cents: 1 } };
  const input = { input: "orders", dataset: "orders", from: "live" as const, partitions: "all", narrowedBy: [] };
  return {
    backfill,
    datasets: [
      {
        ...{ dataset: "revenue", compared: 31, proven: 30, divergent: 1 },
        partitions: [{ ...counts, redefined: false }],
        rows: [
          {
            ...{
              partition: "2001-01-31",
              kind: "changed",
              key: { day: "2001-01-31" },
              columns: ["cents"],
              before,
              after,
            },
            causes: ["rows of orders are others than they were when this was computed"],
            inputs: [{ ...input, differing: null, rows: [{ before: null, after: { id: "1", note: null } }] }],
          },
        ],
      },
    ],
  };
}

export function aStatus(): Status {
  const tasks: TaskCounts = {
    ...{ waiting: 1, ready: 2, running: 3, done: 4, unchanged: 0, stale: 0, failed: 0, quarantined: 0, cancelled: 0 },
  };
  return {
    backfill: "bf_7k3m9x2q4d",
    planHash: aPlan().hash,
    state: "running",
    stateReason: null,
    reason: "refunds were ignored",
    requestedBy: "ada",
    createdAt: "2001-01-01T00:00:00.000Z",
    startedAt: "2001-01-01T00:00:01.000Z",
    finishedAt: null,
    tasks,
    total: 10,
    datasets: [{ dataset: "revenue", tasks, held: false, rows: 7 }],
    troubles: [],
    failedChecks: [],
    seconds: 1.5,
    workers: 2,
  };
}

const orderTable = pgTable("orders", { id: text("id").notNull() });
const revenueTable = pgTable("revenue", { id: text("id").notNull() });

function aCatalog(): Catalog {
  const orders = source(orderTable, { partitions: whole(), owner: "sales" });
  const revenue = derived(revenueTable, {
    version: 2,
    key: [revenueTable.id],
    partitions: whole(),
    inputs: { orders },
    select: ({ db, orders }) => db.select({ id: orders.id }).from(orders),
    checks: [check.notNull(revenueTable.id)],
  });
  const board = exposure("board", { reads: [revenue], criticality: "critical" });
  return defineCatalog({ datasets: [orders, revenue], exposures: [board] });
}

/** A secret that must not come out anywhere. */
export function aCanary(): string {
  return `canary${randomBytes(12).toString("hex")}`;
}
