/**
 * Production as five people use it over HTTP, each with tokens of a real OpenID issuer: an engineer plans a fix of the
 * flights example, a reviewer asks for another plan, an owner of the numbers agrees, an operator runs, pauses, promotes
 * and rolls back, an auditor takes the evidence away and verifies it; and nobody does more.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OidcConfig } from "rederive";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { newKeyPair } from "../../src/governance/checkpoint.ts";
import { unpack } from "../../src/governance/tar.ts";
import type { Approvals, Diff, MergeReport, Status } from "../../src/report.ts";
import { type RunningServer, startServer } from "../../src/server/index.ts";
import type { AuditLog } from "../../src/usecases/audit.ts";
import { runCommand } from "../cli/command.ts";
import { type FlightsStage, withFlights } from "../lineage/flights.ts";
import { eventually } from "../support/eventually.ts";
import { audience, startIssuer, type TestIssuer } from "../support/issuer.ts";
import { lacks, redisUrlIfAny } from "../support/require.ts";
import { silentLog } from "./support.ts";

const people = {
  ada: { roles: ["engineer"], teams: ["flight-data", "punctuality"] },
  rita: { roles: ["reviewer"], teams: ["flight-data"] },
  grace: { roles: ["owner"], teams: ["punctuality"] },
  oscar: { roles: ["operations"], teams: ["flight-data", "punctuality"] },
  audrey: { roles: ["auditor"] },
  mallory: { roles: ["cleaner"] },
};
type Person = keyof typeof people;

const mapping: OidcConfig["mapping"] = {
  ...{ engineer: "operator", operations: "operator" },
  ...{ reviewer: "approver", owner: "approver", auditor: "approver" },
};

const key = newKeyPair();
const fix = { changes: true, reason: "early flights hid the late ones" };

let directory: string;
let issuer: TestIssuer;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "rederive-people-"));
  vi.stubEnv("REDERIVE_AUDIT_KEY", key.privateKey);
  issuer = await startIssuer(people);
});

afterAll(async () => {
  await issuer.close();
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

describe.skipIf(lacks("redis"))("five people over HTTP", () => {
  it("do what each may, and nobody more", { timeout: 240_000 }, async () => {
    await withFlights(async (stage) => {
      // What is live has the bug.
      await stage.run();
      const rederive = await stage.open(2, {
        ...{ environment: "production", redisUrl: redisUrlIfAny(), prefix: `{p${randomBytes(4).toString("hex")}}` },
        server: {
          oidc: {
            ...{ issuer: issuer.url, audience, mapping },
            ...{ nameClaim: "sub", roleClaim: "roles", groupsClaim: "teams" },
          },
        },
      });
      await rederive.startWorker({ concurrency: 2 });
      rederive.startPlanner();
      const server = await startServer(rederive, { port: 0, log: silentLog });
      try {
        await walk(stage, server);
      } finally {
        await server.close();
      }
    }, 1);
  });
});

async function walk(stage: FlightsStage, server: RunningServer): Promise<void> {
  const { ok, refused } = requestsTo(server);
  await refused("nobody", "GET", "/backfills", undefined, 401, "unauthenticated");
  await refused("mallory", "GET", "/backfills", undefined, 403, "forbidden");

  const first = await plan(ok, "ada", fix.reason);
  await refused("oscar", "POST", `/backfills/${first}/start`, {}, 409, "approval_required");
  await refused("ada", "POST", `/backfills/${first}/request-changes`, { comment: "mine" }, 403, "forbidden");
  await ok("grace", "POST", `/backfills/${first}/approvals`, {});
  await ok("rita", "POST", `/backfills/${first}/request-changes`, { comment: "say which ticket" });
  await refused("oscar", "POST", `/backfills/${first}/start`, {}, 409, "changes_requested");
  await ok("ada", "POST", `/backfills/${first}/cancel`, { reason: "planned again" });

  const own = await plan(ok, "rita", "my own idea");
  await refused("rita", "POST", `/backfills/${own}/approvals`, {}, 403, "self_approval");
  await ok("rita", "POST", `/backfills/${own}/cancel`, { reason: "let Ada do it" });

  const id = await plan(ok, "ada", `${fix.reason}, OPS-12`);
  const of = (path: string) => `/backfills/${id}${path}`;
  await refused("ada", "POST", of("/approvals"), {}, 403, "forbidden");
  await refused("oscar", "POST", of("/approvals"), {}, 403, "forbidden");
  // The exposures downstream are not those of her team, nor of the auditor's, who has none.
  await ok("rita", "POST", of("/approvals"), { comment: "clearer" });
  await ok("audrey", "POST", of("/approvals"), {});
  await refused("oscar", "POST", of("/start"), {}, 409, "approval_required");
  const { needed } = await ok<Approvals>("grace", "POST", of("/approvals"), { comment: "as agreed" });
  expect(needed).toEqual({ start: 1, promote: 1, signOff: ["punctuality"] });
  expect(await ok<Status>("ada", "GET", of(""))).toMatchObject({ state: "approved", requestedBy: "ada" });

  await runWithPause(stage, ok, of);

  await refused("oscar", "POST", of("/promote"), { reason: "OPS-12" }, 409, "approval_required");
  await ok("grace", "POST", of("/approvals"), { act: "promote", digest: "0".repeat(64) });
  await refused("oscar", "POST", of("/promote"), { reason: "OPS-12" }, 409, "approval_void");
  const { digest, datasets } = await ok<Diff>("grace", "GET", of("/diff"));
  expect(datasets.find(({ dataset }) => dataset === "airport_day")).toMatchObject({ changed: 270 });
  await ok("grace", "POST", of("/approvals"), { act: "promote", digest, comment: "looked at the ranking" });
  for (const person of ["rita", "grace", "audrey"] as const) {
    const overriding = { reason: "now", overrideWindow: true };
    await refused(person, "POST", of("/promote"), overriding, 403, "forbidden");
  }
  const before = await delays(stage);
  expect((await ok<MergeReport>("oscar", "POST", of("/promote"), { reason: "OPS-12" })).state).toBe("promoted");
  expect(await delays(stage)).not.toEqual(before);
  await ok("oscar", "POST", of("/rollback"), { reason: "the board disagrees" });
  expect(await delays(stage)).toEqual(before);

  for (const person of ["ada", "oscar"] as const) {
    await refused(person, "GET", `/audit?backfill=${id}`, undefined, 403, "forbidden");
    await refused(person, "GET", of("/evidence"), undefined, 403, "forbidden");
  }
  const { entries } = await ok<AuditLog>("audrey", "GET", `/audit?backfill=${id}`);
  const acts = entries
    .filter(({ actor, act }) => actor !== "planner" && act !== "denied")
    .map(({ actor, act }) => `${actor} ${act}`);
  expect(acts.reverse()).toEqual([
    "ada backfill.plan",
    "rita approval.approve",
    "audrey approval.approve",
    "grace approval.approve",
    "oscar backfill.start",
    "oscar backfill.pause",
    "oscar backfill.resume",
    "grace approval.approve",
    "grace approval.approve",
    "oscar backfill.promote",
    "oscar backfill.rollback",
  ]);
  await verifyEvidence(ok, await ok<ArrayBuffer>("audrey", "GET", of("/evidence")), id);
}

/** Tasks wait for a table that somebody has locked, so that the pause comes while they run. */
async function runWithPause(stage: FlightsStage, ok: Ok, of: (path: string) => string): Promise<void> {
  const status = () => ok<Status>("oscar", "GET", of(""));
  const running = (count: (tasks: number) => boolean, what: string) =>
    eventually(status, ({ tasks }) => count(tasks.running), { what });
  await stage.database.transaction(async (tx) => {
    await ok("oscar", "POST", of("/start"), {});
    await tx.query("lock table flight_facts in access exclusive mode");
    await running((tasks) => tasks > 0, "a task runs");
    expect((await ok<Status>("oscar", "POST", of("/pause"), { reason: "the nightly load" })).state).toBe("paused");
  });
  const paused = await running((tasks) => tasks === 0, "the running tasks have ended");
  expect(paused).toMatchObject({ state: "paused", tasks: { failed: 0, quarantined: 0 } });
  expect(paused.tasks.done).toBeLessThan(paused.total);
  await ok("oscar", "POST", of("/resume"), { reason: "the load is over" });
  await eventually(status, ({ state }) => state === "verified", {
    what: "the backfill is verified",
    withinMs: 120_000,
  });
}

/** Offline by the command line, where there is no configuration; then online, with the checkpoint that came along. */
async function verifyEvidence(ok: Ok, archive: ArrayBuffer, id: string): Promise<void> {
  const at = (name: string) => join(directory, name);
  writeFileSync(at("evidence.tar.gz"), Buffer.from(archive));
  writeFileSync(at("key.pub"), key.publicKey);
  const check = ["audit", "check-bundle", at("evidence.tar.gz"), "--key", at("key.pub")];
  const checked = await runCommand(check, { cwd: directory });
  expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining(`files of ${id} are as they were`)]);

  await unpack(at("evidence.tar.gz"), at("evidence"));
  const manifest = JSON.parse(readFileSync(at("evidence/manifest.json"), "utf8")) as { createdBy: string };
  expect(manifest.createdBy).toBe("audrey");
  const signed = readFileSync(at("evidence/audit-chain.ndjson"), "utf8").trim().split("\n").at(-1) ?? "";
  const { checkpoint } = JSON.parse(signed) as { checkpoint: unknown };
  const verify = { checkpoints: [checkpoint], keys: [key.publicKey] };
  expect(await ok("audrey", "POST", "/audit/verify", verify)).toMatchObject({ ok: true, fault: null, trusted: true });
}

/** The sum that the bug made too small, day by day. */
async function delays({ database }: FlightsStage): Promise<unknown> {
  return database.query(
    "select day, sum(delay_minutes)::text as minutes from public.airport_day group by 1 order by 1",
  );
}

type Send<Result> = (who: Person | "nobody", method: string, path: string, body?: unknown) => Promise<Result>;
type Ok = <Answer = unknown>(...request: Parameters<Send<Answer>>) => Promise<Answer>;

/** Each request with a token that the issuer has just given to the person. */
function requestsTo(server: RunningServer) {
  const send: Send<Response> = async (who, method, path, body) =>
    fetch(`${server.url}/api/v1${path}`, {
      method,
      headers: {
        ...(who === "nobody" ? {} : { authorization: `Bearer ${await issuer.tokenOf(who)}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const ok: Ok = async (...request) => {
    const response = await send(...request);
    const isJson = response.headers.get("content-type")?.includes("json") === true;
    const answer = (isJson ? await response.json() : await response.arrayBuffer()) as never;
    expect([request, response.ok, answer]).toEqual([request, true, answer]);
    return answer;
  };
  const refused = async (
    who: Person | "nobody",
    method: string,
    path: string,
    body: unknown,
    status: number,
    code: string,
  ) => {
    const response = await send(who, method, path, body);
    expect(response.headers.get("content-type")).toContain("application/problem+json");
    const problem = (await response.json()) as { status: number; code: string };
    expect([who, path, response.status, problem.status, problem.code]).toEqual([who, path, status, status, code]);
  };
  return { ok, refused };
}

async function plan(ok: Ok, who: Person, reason: string): Promise<string> {
  const made = await ok<{ backfill: string }>(who, "POST", "/backfills", { ...fix, reason });
  return made.backfill;
}
