import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { afterEach, describe, expect, it } from "vitest";
import { createApp, startServer } from "../../src/server/index.ts";
import { type Harness, type HarnessOptions, silentLog, startHarness } from "./support.ts";

const open: Harness[] = [];

async function start(options?: HarnessOptions): Promise<Harness> {
  const harness = await startHarness(options);
  open.push(harness);
  return harness;
}

afterEach(async () => {
  for (const harness of open.splice(0)) await harness.close();
});

describe("health", () => {
  it("is open, and says which part is away", async () => {
    const harness = await start();
    const alive = await harness.request("/healthz", { role: "nobody" });
    expect([alive.status, await alive.text()]).toEqual([200, "ok"]);
    const ready = await harness.request("/readyz", { role: "nobody" });
    expect([ready.status, await ready.json()]).toEqual([
      200,
      { ready: true, parts: { postgres: "ok", migrations: "ok", redis: "ok" } },
    ]);
    harness.rederive.parts = [
      { part: "postgres", ok: true, audit: { unchained: 2, oldestSeconds: 0.5 } },
      { part: "migrations", ok: false },
    ];
    const unready = await harness.request("/readyz", { role: "nobody" });
    expect([unready.status, await unready.json()]).toEqual([
      503,
      { ready: false, parts: { postgres: "ok", migrations: "failed" }, audit: { unchained: 2, oldestSeconds: 0.5 } },
    ]);
    expect((await harness.request("/healthz", { method: "POST", role: "nobody" })).status).toBe(405);
    expect((await harness.request("/healthz/below", { role: "nobody" })).status).toBe(404);
  });

  it("is not ready where probing itself fails, and keeps the reason for the log", async () => {
    const harness = await start();
    harness.rederive.readiness = async () => {
      throw new Error("no route to 10.0.0.7");
    };
    const response = await harness.request("/readyz", { role: "nobody" });
    expect(response.status).toBe(503);
    expect(await response.text()).not.toContain("10.0.0.7");
    expect(harness.logged()).toContain("10.0.0.7");
  });
});

describe("metrics", () => {
  const metrics = async () => "rederive_tasks_total 1\n";

  it("are open to this machine, but not through a proxy on it", async () => {
    const harness = await start({ metrics });
    const local = await harness.request("/metrics", { role: "nobody" });
    expect([local.status, await local.text()]).toEqual([200, "rederive_tasks_total 1\n"]);
    expect(local.headers.get("content-type")).toContain("text/plain");
    const proxied = { "x-forwarded-for": "203.0.113.9" };
    expect((await harness.request("/metrics", { role: "nobody", headers: proxied })).status).toBe(401);
    expect((await harness.request("/metrics", { role: "viewer", headers: proxied })).status).toBe(200);
  });

  it("are absent where none are kept", async () => {
    const harness = await start();
    expect((await harness.request("/metrics", { role: "viewer" })).status).toBe(404);
  });
});

describe("the local admin", () => {
  const asLocal = { role: "nobody" } as const;

  it("exists in development alone", async () => {
    const development = await start({ environment: "development" });
    expect((await development.request("/api/v1/limits", asLocal)).status).toBe(200);
    expect(development.rederive.calls[0]?.actor).toEqual({ name: "local", role: "admin" });
    for (const environment of ["production", "test"] as const) {
      expect((await (await start({ environment })).request("/api/v1/limits", asLocal)).status).toBe(401);
    }
    expect(
      (await (await start({ environment: "development", localAdmin: false })).request("/api/v1/limits", asLocal))
        .status,
    ).toBe(401);
  });

  it("is not who comes through a proxy, under another name or with a wrong token", async () => {
    const harness = await start({ environment: "development" });
    for (const headers of [
      { "x-forwarded-for": "127.0.0.1" },
      { via: "1.1 proxy" },
      { authorization: "Bearer wrong" },
    ]) {
      expect(
        (await harness.request("/api/v1/limits", { role: "nobody", headers: headers as Record<string, string> }))
          .status,
      ).toBe(401);
    }
    expect(await statusWithHost(harness.url, "evil.example")).toBe(401);
    expect(await statusWithHost(harness.url, "localhost:3000")).toBe(200);
  });
});

describe("mounting", () => {
  it("works below a path of another application, and leaves its other paths alone", async () => {
    const harness = await start();
    const outer = express();
    outer.use("/ops", createApp(harness.rederive, { log: silentLog }));
    outer.get("/ops/own", (_request, response) => void response.send("mine"));
    const server = createServer(outer);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ops`;
    const headers = { authorization: `Bearer ${harness.tokens.admin}`, "content-type": "application/json" };
    const made = await fetch(`${base}/api/v1/backfills`, {
      method: "POST",
      headers,
      body: '{"changes":true,"reason":"x"}',
    });
    expect(made.headers.get("location")).toBe("/ops/api/v1/backfills/bf_7k3m9x2q4d");
    expect(made.headers.get("x-powered-by")).toBeNull();
    expect(await (await fetch(`${base}/queues/`, { headers })).text()).toContain('<base href="/ops/queues/" />');
    const own = await fetch(`${base}/own`);
    expect([await own.text(), own.headers.get("content-security-policy")]).toEqual(["mine", null]);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe("closing", () => {
  it("lets a running request end and takes no new one", async () => {
    const harness = await start();
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const parts = harness.rederive.parts;
    harness.rederive.readiness = async () => {
      arrived();
      await gate;
      return parts;
    };
    const running = harness.request("/readyz", { role: "nobody" });
    await arrival;
    const closed = harness.server.close();
    await expect(harness.request("/healthz", { role: "nobody" })).rejects.toThrow();
    release();
    expect((await running).status).toBe(200);
    await closed;
    await harness.server.close();
  });

  it("names a port that is taken", async () => {
    const harness = await start();
    const port = Number(new URL(harness.url).port);
    await expect(startServer(harness.rederive, { port, host: "127.0.0.1", log: silentLog })).rejects.toMatchObject({
      code: "configuration",
      message: expect.stringContaining(`port ${port} on 127.0.0.1 is in use`),
    });
  });
});

async function statusWithHost(url: string, host: string): Promise<number> {
  const { request } = await import("node:http");
  return await new Promise((resolve, reject) => {
    const outgoing = request(`${url}/api/v1/limits`, { headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}
