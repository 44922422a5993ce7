import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createRederive, type Rederive } from "../../src/rederive.ts";
import { type RunningServer, startServer } from "../../src/server/index.ts";
import { audience, loginClient, startIssuer, type TestIssuer } from "../support/issuer.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { chromiumPath, lacks, redisUrlIfAny } from "../support/require.ts";
import { shop } from "../usecases/shop.ts";
import { silentLog } from "./support.ts";

describe.skipIf(lacks("redis", "chromium"))("a person with a browser", () => {
  let issuer: TestIssuer;
  let rederive: Rederive;
  let server: RunningServer;
  let browser: Browser;
  let drop: () => Promise<void>;

  beforeAll(async () => {
    vi.stubEnv("REDERIVE_OIDC_CLIENT_SECRET", loginClient.clientSecret);
    issuer = await startIssuer(
      { ada: { preferred_username: "ada", roles: ["engineer"] } },
      { redirectUris: ["http://127.0.0.1/login/callback"], idTokenClaims: true },
    );
    const created = await createTestDatabase();
    drop = created.drop;
    rederive = await createRederive({
      ...{ catalog: shop(), databaseUrl: created.url, environment: "test" },
      ...{ redisUrl: redisUrlIfAny(), prefix: `{login${process.pid}}` },
      server: {
        oidc: {
          ...{ issuer: issuer.url, audience, mapping: { engineer: "operator" } },
          login: { clientId: loginClient.clientId },
        },
      },
    });
    server = await startServer(rederive, { port: 0, log: silentLog });
    browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--disable-gpu"] });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rederive?.close();
    await drop?.();
    await issuer?.close();
    vi.unstubAllEnvs();
  });

  it("logs in, looks at the queues, and logs out", async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => {
      // Of our own pages, not of the issuer's.
      const isOurs = message.location().url.startsWith(server.url);
      if (message.type() === "error" && isOurs) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(`${server.url}/`);
    expect(new URL(page.url()).origin).toBe(issuer.url);
    await page.fill("input[name=person]", "ada");
    await page.click("button");
    await page.getByText("You are ada (operator).").waitFor();
    await page.getByText("Queues").click();
    await page.waitForURL(`${server.url}/queues/**`);
    await page.getByText("backfill").first().waitFor();
    expect(complaints).toEqual([]);
    // What a page of ours does to change something, with what it is told.
    const statuses = await page.evaluate(async () => {
      const session = (await (await fetch("/api/v1/session")).json()) as { login: { csrf: string } };
      const plan = (headers: Record<string, string>) =>
        fetch("/api/v1/backfills", {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify({ changes: true, reason: "" }),
        });
      const known = { "x-csrf-token": session.login.csrf };
      return [(await plan({})).status, (await plan(known)).status];
    });
    expect(statuses).toEqual([403, 400]);

    await page.goto(`${server.url}/logout`);
    await page.getByText("You are ada (operator).").waitFor();
    await page.click("button");
    await page.getByText("You are not logged in.").waitFor();
    const answer = await page.goto(`${server.url}/api/v1/session`);
    expect(answer?.status()).toBe(401);
    await page.goto(`${server.url}/queues/`);
    expect(new URL(page.url()).origin).toBe(issuer.url);
    await page.close();
  });
});
