import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lacks } from "../support/require.ts";
import { type BoardQueues, openBoardQueues } from "./board-queues.ts";
import { aCanary, type Harness, startHarness } from "./support.ts";

describe.skipIf(lacks("redis"))("the queue board", () => {
  const canary = aCanary();
  let harness: Harness;
  let board: BoardQueues;
  let basic: string;

  beforeAll(async () => {
    board = openBoardQueues();
    await board.backfill.add(
      "revenue",
      { backfill: "bf_7k3m9x2q4d", task: "17", rows: [canary], note: canary.repeat(4) },
      { jobId: "bf_7k3m9x2q4d~revenue~1" },
    );
    harness = await startHarness({ queues: board.queues });
    basic = `Basic ${Buffer.from(`ada:${harness.tokens.viewer}`).toString("base64")}`;
  });

  afterAll(async () => {
    await harness?.close();
    await board?.close();
  });

  it("shows the queues to a viewer", async () => {
    const response = await harness.request("/queues/api/queues?activeQueue=backfill&page=1&jobsPerPage=10", {
      role: "viewer",
    });
    expect(response.status).toBe(200);
    const { queues: shown } = (await response.json()) as { queues: { name: string; readOnlyMode: boolean }[] };
    expect(shown.map((queue) => queue.name).sort()).toEqual(["backfill", "gate"]);
    expect(shown.every((queue) => queue.readOnlyMode)).toBe(true);
  });

  it("opens in a browser with the token as password", async () => {
    for (const path of ["/queues", "/queues/", "/queues/queue/backfill"]) {
      const response = await harness.request(path, { role: "nobody", headers: { authorization: basic } });
      expect(response.status).toBe(200);
      const page = await response.text();
      expect(page).toContain('<base href="/queues/" />');
      expect(page).not.toMatch(/https?:\/\//);
      expect(page).not.toMatch(/<style|style=/);
      expect(page).toContain("<script defer src=");
    }
  });

  it("serves its own files alone", async () => {
    const page = await (await harness.request("/queues/", { role: "viewer" })).text();
    const files = [...page.matchAll(/(?:src|href)="(static\/[^"]+)"/g)].map((match) => match[1]);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      expect((await harness.request(`/queues/${file}`, { role: "viewer" })).status).toBe(200);
      expect((await harness.request(`/queues/${file}`, { role: "nobody" })).status).toBe(401);
    }
    const { headers } = await harness.request("/queues/", { role: "viewer" });
    expect(headers.get("content-security-policy")).toContain("default-src 'self'");
    expect(headers.get("x-powered-by")).toBeNull();
  });

  it("asks a browser for a password", async () => {
    for (const path of ["/queues", "/queues/api/queues", "/queues/static/favicon.ico", "/queues/nothing"]) {
      const response = await harness.request(path, { role: "nobody" });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toContain("Basic");
    }
  });

  it.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])("refuses %s before the board sees it", async (method) => {
    for (const path of [
      "/queues/api/queues/pause",
      "/queues/api/queues/resume",
      "/queues/api/queues/backfill/pause",
      "/queues/",
    ]) {
      const response = await harness.request(path, { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
      expect((await harness.request(path, { method, role: "nobody" })).status).toBe(401);
    }
    expect(await board.backfill.isPaused()).toBe(false);
  });

  it("shows ids of a job and nothing else", async () => {
    const response = await harness.request("/queues/api/queues/backfill/bf_7k3m9x2q4d~revenue~1", { role: "viewer" });
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toContain("bf_7k3m9x2q4d");
    expect(text).not.toContain(canary);
  });

  it("answers HEAD", async () => {
    expect((await harness.request("/queues/", { method: "HEAD", role: "viewer" })).status).toBe(200);
  });
});
