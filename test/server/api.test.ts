import { readdirSync } from "node:fs";
import { request as rawRequest } from "node:http";
import { tmpdir } from "node:os";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RederiveError } from "../../src/errors.ts";
import { allows, leastRole, roles } from "../../src/governance/roles.ts";
import { revokeToken } from "../../src/governance/tokens.ts";
import { routes } from "../../src/server/routes.ts";
import { eventually } from "../support/eventually.ts";
import { requestOf } from "./requests.ts";
import { aCanary, type Harness, startHarness } from "./support.ts";

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness();
});

afterAll(async () => {
  await harness.close();
});

describe.each(routes)("$method $at", (route) => {
  it("answers what its schema says", async () => {
    const response = await harness.request(requestOf(route).path, requestOf(route));
    expect(response.status).toBe(route.status ?? 200);
    expect(response.headers.get("content-type")).toContain(route.produces ?? "application/json");
    if (route.produces !== undefined) return;
    const result: unknown = await response.json();
    expect(route.answer.safeParse(result).error).toBeUndefined();
  });

  it("wants a token", async () => {
    const response = await harness.request(requestOf(route).path, { ...requestOf(route), role: "nobody" });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe('Bearer realm="rederive"');
    expect(await response.json()).toMatchObject({ code: "unauthenticated", status: 401 });
  });

  it.each(roles)("as %s", async (role) => {
    const response = await harness.request(requestOf(route).path, { ...requestOf(route), role });
    expect(response.status).toBe(allows(role, route.useCase) ? (route.status ?? 200) : 403);
    if (response.status !== 403) return;
    expect(await response.json()).toMatchObject({
      code: "forbidden",
      details: { needs: leastRole[route.useCase], has: role },
    });
  });

  it("refuses an unknown field in the query", async () => {
    const { path } = requestOf(route);
    const response = await harness.request(`${path}${path.includes("?") ? "&" : "?"}colour=red`, requestOf(route));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "unknown_field" });
  });

  it("refuses methods that it does not have", async () => {
    const response = await harness.request(requestOf(route).path, { method: "DELETE" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toContain(route.method.toUpperCase());
  });
});

describe.each(routes.filter((route) => route.method !== "get"))("the body of $method $at", (route) => {
  const send = async (body: unknown, headers: Record<string, string> = {}) => {
    const { path, method } = requestOf(route);
    const before = harness.rederive.calls.length;
    const response = await harness.request(path, { method, body, headers });
    const problem = (await response.json()) as Record<string, unknown>;
    expect(response.headers.get("content-type")).toBe("application/problem+json; charset=utf-8");
    expect(harness.rederive.calls).toHaveLength(before);
    return problem;
  };

  it.each(["status", "approved_by", "role", "actor"])("refuses the unknown field %s", async (field) => {
    expect(await send({ ...(requestOf(route).body as object), [field]: "admin" })).toMatchObject({
      status: 400,
      code: "unknown_field",
    });
  });

  it("refuses __proto__", async () => {
    const text = JSON.stringify(requestOf(route).body)
      .replace(/^\{/, '{"__proto__":{"role":"admin"},')
      .replace(",}", "}");
    expect(await send(text)).toMatchObject({ status: 400, code: "unknown_field" });
  });

  it("refuses what is not JSON, without quoting it", async () => {
    const problem = await send('{"reason": "top secret');
    expect(problem).toMatchObject({ status: 400, code: "usage" });
    expect(JSON.stringify(problem)).not.toContain("top secret");
  });

  it("refuses arrays and very deep values", async () => {
    expect(await send("[]")).toMatchObject({ status: 400, code: "usage" });
    const nested = (levels: number) => send(`{"reason":${"[".repeat(levels)}${"]".repeat(levels)}}`);
    for (const levels of [32, 50_000]) {
      expect(await nested(levels)).toMatchObject({
        ...{ status: 400, code: "usage", detail: expect.stringContaining("deeper than 32 levels") },
      });
    }
    // As deep as may be: what is wrong with it is said by the schema.
    expect((await nested(31))["detail"]).not.toContain("levels");
  });

  it("refuses other content types", async () => {
    expect(await send("reason=x", { "content-type": "application/x-www-form-urlencoded" })).toMatchObject({
      status: 415,
      code: "unsupported_media_type",
    });
    expect(await send("{}", { "content-type": "text/plain" })).toMatchObject({ status: 415 });
  });

  it("refuses more than 256 KB, also compressed", async () => {
    const large = JSON.stringify({ reason: "x".repeat(256 * 1024) });
    expect(await send(large)).toMatchObject({ status: 413, code: "payload_too_large" });
    const { path, method } = requestOf(route);
    const compressed = await fetch(harness.url + path, {
      method,
      headers: {
        authorization: `Bearer ${harness.tokens.admin}`,
        "content-type": "application/json",
        "content-encoding": "gzip",
      },
      body: gzipSync(large),
    });
    expect(compressed.status).toBe(413);
  });
});

describe("input", () => {
  it.each([
    'a"; drop table x;--',
    "pg_catalog.x\u0000",
    "х", // Cyrillic
    "revenue ",
    "a".repeat(64),
    "../../etc/passwd",
  ])("refuses the dataset name %j", async (name) => {
    const response = await harness.request("/api/v1/plans", {
      method: "POST",
      body: { datasets: [name], reason: "x" },
    });
    expect(response.status).toBe(400);
    const limit = await harness.request(`/api/v1/limits/${encodeURIComponent(name)}`, {
      method: "PUT",
      body: { concurrency: 1, reason: "x" },
    });
    expect(limit.status).toBe(400);
  });

  it.each(["", "   ", "nul\u0000", "x".repeat(1_001), 7, null])("refuses the reason %j", async (reason) => {
    const response = await harness.request("/api/v1/backfills", { method: "POST", body: { changes: true, reason } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "usage", details: { faults: [{ at: "body.reason" }] } });
  });

  it.each(["limit=201", "limit=0", "limit=1e2", "limit=abc", "limit=1&limit=2", "state=nonsense"])(
    "refuses the query %s",
    async (query) => {
      expect((await harness.request(`/api/v1/backfills?${query}`)).status).toBe(400);
    },
  );

  it("hands over what was validated, and who asks", async () => {
    harness.rederive.calls.length = 0;
    await harness.request("/api/v1/backfills?limit=7&state=running", { role: "viewer" });
    await harness.request("/api/v1/limits/revenue", {
      method: "PUT",
      body: { rate: null, reason: " quiet hours " },
      role: "operator",
    });
    expect(harness.rederive.calls).toEqual([
      {
        act: "backfills",
        actor: { name: "viewer", role: "viewer", person: "viewer", token: expect.any(String) },
        args: [{ limit: 7, state: "running" }],
      },
      {
        act: "setLimit",
        actor: { name: "operator", role: "operator", person: "operator", token: expect.any(String) },
        args: ["revenue", { rate: null }, "quiet hours"],
      },
    ]);
  });

  it("gives the graph of the catalog", async () => {
    const response = await harness.request("/api/v1/catalog", { role: "viewer" });
    expect(await response.json()).toEqual({
      datasets: [
        {
          name: "orders",
          kind: "source",
          table: "public.orders",
          partitions: "whole",
          owner: "sales",
          inputs: [],
          checks: [],
        },
        {
          ...{ name: "revenue", kind: "derived", table: "public.revenue", partitions: "whole", version: 2 },
          ...{
            transform: "select",
            key: ["id"],
            inputs: [{ name: "orders", dataset: "orders", mapping: expect.any(String) }],
          },
          checks: [{ name: expect.any(String), severity: "error" }],
        },
      ],
      exposures: [{ name: "board", reads: ["revenue"], criticality: "critical" }],
    });
  });

  it("says where a new backfill is", async () => {
    const response = await harness.request("/api/v1/backfills", {
      method: "POST",
      body: { changes: true, reason: "x" },
    });
    expect(response.status).toBe(201);
    expect(response.headers.get("location")).toBe("/api/v1/backfills/bf_7k3m9x2q4d");
    expect((await harness.request(response.headers.get("location") ?? "")).status).toBe(200);
  });

  it("knows no other path, and does not tell without a token", async () => {
    const known = await harness.request("/api/v1/nothing");
    expect(known.status).toBe(404);
    expect((await harness.request("/api/v1/nothing", { role: "nobody" })).status).toBe(401);
    expect((await harness.request("/api/v1/backfills/bf_0000000000")).status).toBe(404);
    expect((await harness.request("/api/v1/backfills/%ZZ")).status).toBe(400);
    expect((await harness.request("/elsewhere", { role: "nobody" })).status).toBe(404);
  });
});

describe("tokens", () => {
  it("refuses malformed, unknown and revoked ones alike", async () => {
    const { createToken } = await import("../../src/governance/tokens.ts");
    const issued = await createToken(harness.database, "test", { name: "gone", role: "admin" });
    await revokeToken(harness.database, issued.id);
    const bodies = await Promise.all(
      ["nonsense", `rdv_00000000_${"A".repeat(43)}`, issued.token, `${harness.tokens.admin}x`].map(async (token) => {
        const response = await harness.request("/api/v1/limits", {
          role: "nobody",
          headers: { authorization: `Bearer ${token}` },
        });
        expect(response.status).toBe(401);
        const { traceId: _, ...rest } = (await response.json()) as Record<string, unknown>;
        return rest;
      }),
    );
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1);
  });

  it("does not take Basic for the API", async () => {
    const basic = Buffer.from(`ada:${harness.tokens.admin}`).toString("base64");
    expect(
      (await harness.request("/api/v1/limits", { role: "nobody", headers: { authorization: `Basic ${basic}` } }))
        .status,
    ).toBe(401);
  });
});

describe("other sites", () => {
  it.each([{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }])(
    "cannot send %j",
    async (headers) => {
      const before = harness.rederive.calls.length;
      // Node's fetch sets Sec-Fetch headers of its own, so this is sent by hand.
      const { status, body } = await raw("POST", "/api/v1/backfills/bf_7k3m9x2q4d/start", headers);
      expect(status).toBe(403);
      expect(JSON.parse(body)).toMatchObject({ code: "csrf" });
      expect(harness.rederive.calls).toHaveLength(before);
    },
  );

  it("do not hinder our own page or a program", async () => {
    const host = new URL(harness.url).host;
    expect(
      (await raw("POST", "/api/v1/backfills/bf_7k3m9x2q4d/start", { "sec-fetch-site": "same-origin" })).status,
    ).toBe(200);
    expect((await raw("POST", "/api/v1/backfills/bf_7k3m9x2q4d/start", { origin: `http://${host}` })).status).toBe(200);
    expect((await raw("POST", "/api/v1/backfills/bf_7k3m9x2q4d/start", {})).status).toBe(200);
  });
});

describe("a file", () => {
  const path = "/api/v1/backfills/bf_7k3m9x2q4d/evidence";
  const foldersLeft = () => readdirSync(tmpdir()).filter((name) => name.startsWith("rederive-download-")).length;

  it("is sent whole under its name, and is gone afterwards", async () => {
    const before = foldersLeft();
    const response = await harness.request(path);
    expect(response.headers.get("content-disposition")).toBe("attachment; filename=evidence-bf_7k3m9x2q4d.tar.gz");
    expect([response.headers.get("content-length"), await response.text()]).toEqual(["10", "an archive"]);
    await eventually(foldersLeft, (left) => left <= before, { what: "the folder of the file is gone" });
  });

  it("that cannot be made is a problem document", async () => {
    const before = foldersLeft();
    harness.rederive.failure = new RederiveError("not_found", "there is no such backfill");
    const response = await harness.request(path);
    expect([response.status, await response.json()]).toMatchObject([404, { code: "not_found" }]);
    expect(response.headers.get("content-disposition")).toBeNull();
    await eventually(foldersLeft, (left) => left <= before, { what: "the folder of the file is gone" });
  });
});

describe("answers", () => {
  it("carry strict headers", async () => {
    const { headers } = await harness.request("/api/v1/limits");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-powered-by")).toBeNull();
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("content-security-policy")).toContain("default-src 'self'");
    expect(headers.get("content-security-policy")).not.toContain("unsafe");
  });

  it("tell a refusal in full", async () => {
    harness.rederive.failure = new RederiveError("overlapping_plan", "bf_other writes revenue [1,2)", {
      details: { backfill: "bf_other" },
    });
    const response = await harness.request("/api/v1/backfills/bf_7k3m9x2q4d/start", { method: "POST", body: {} });
    expect(response.status).toBe(409);
    expect(await response.json()).toEqual({
      type: "urn:rederive:problem:overlapping_plan",
      title: "Another active backfill uses the same partitions",
      status: 409,
      detail: "bf_other writes revenue [1,2)",
      code: "overlapping_plan",
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      details: { backfill: "bf_other" },
    });
  });

  it("tell nothing of a failure of ours, and log it under the same id", async () => {
    const canary = aCanary();
    const dsn = `postgres://app:${canary}@db.internal:5432/app`;
    harness.rederive.failure = Object.assign(new Error(`cannot reach ${dsn}`), {
      code: "XX000",
      query: `select '${canary}'`,
      parameters: [canary],
      detail: `Key (email)=(${canary}) exists`,
    });
    const response = await harness.request("/api/v1/limits", { headers: { cookie: `session=${canary}` } });
    expect(response.status).toBe(500);
    const text = await response.text();
    const problem = JSON.parse(text) as { traceId: string; code: string };
    expect(problem.code).toBe("internal");
    expect(text).not.toMatch(new RegExp(`${canary}|db.internal|at .*ts:`));
    expect(harness.logged()).toContain(problem.traceId);
    expect(harness.logged()).not.toContain(canary);
  });

  it("redact what a refusal quotes", async () => {
    const canary = aCanary();
    harness.rederive.failure = new RederiveError("plan_refused", `read postgres://u:${canary}@h/d`, {
      details: { url: `redis://:${canary}@h`, token: `rdv_12345678_${canary.padEnd(43, "x")}` },
    });
    const response = await harness.request("/api/v1/plans", { method: "POST", body: { changes: true, reason: "x" } });
    expect(response.status).toBe(422);
    expect(await response.text()).not.toContain(canary);
  });

  it("say 503 where Postgres is away", async () => {
    harness.rederive.failure = Object.assign(new Error("connect ECONNREFUSED 10.0.0.7:5432"), { code: "ECONNREFUSED" });
    const response = await harness.request("/api/v1/limits");
    expect(response.status).toBe(503);
    expect(await response.text()).not.toContain("10.0.0.7");
  });

  it("never log a token", () => {
    for (const token of Object.values(harness.tokens)) expect(harness.logged()).not.toContain(token);
  });
});

/** A request with exactly these headers besides the token's. */
async function raw(
  method: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  return await new Promise((resolve, reject) => {
    const outgoing = rawRequest(
      harness.url + path,
      { method, headers: { authorization: `Bearer ${harness.tokens.admin}`, ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end();
  });
}
