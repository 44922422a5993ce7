/** Login in a browser against a real OpenID issuer on this machine: what it leads to, and what it does not let through. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createRederive, type Rederive } from "../../src/rederive.ts";
import { createApp, type RunningServer, startServer } from "../../src/server/index.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { createLog } from "../../src/telemetry/log.ts";
import type { Database } from "../../src/tx.ts";
import { audience, loginClient, startIssuer, type TestIssuer } from "../support/issuer.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { shop } from "../usecases/shop.ts";
import { askIssuer, logIn, type Page, type Visit, Visitor } from "./visitor.ts";

const people: Record<string, Record<string, unknown>> = {
  ada: { preferred_username: "ada", roles: ["engineer"] },
  vera: { preferred_username: "vera", roles: ["reader"] },
  grace: { preferred_username: "grace", roles: ["reviewer"] },
  mallory: { preferred_username: "mallory", roles: ["cleaner"] },
};

let issuer: TestIssuer;
let database: Database;
let rederive: Rederive;
let server: RunningServer;
let drop: () => Promise<void>;
const lines: string[] = [];
const secrets: string[] = [loginClient.clientSecret];
const log = createLog({ name: "web", destination: { write: (line: string) => lines.push(line) } });

beforeAll(async () => {
  vi.stubEnv("REDERIVE_OIDC_CLIENT_SECRET", loginClient.clientSecret);
  issuer = await startIssuer(people, {
    redirectUris: ["/login/callback", "/ops/login/callback"]
      .map((path) => `http://127.0.0.1${path}`)
      .concat("https://ops.example/re/login/callback"),
  });
  const created = await createTestDatabase();
  drop = created.drop;
  database = openDatabase(created.url, { max: 2 });
  rederive = await open(created.url);
  server = await startServer(rederive, { port: 0, log });
});

afterAll(async () => {
  await server.close();
  await rederive.close();
  await database.close();
  await drop();
  await issuer.close();
  vi.unstubAllEnvs();
  // Of all that happened here.
  for (const secret of secrets.filter((each) => each !== "")) expect(lines.join("")).not.toContain(secret);
});

async function open(databaseUrl: string, publicUrl?: string): Promise<Rederive> {
  return createRederive({
    ...{ catalog: shop(), databaseUrl, environment: "test" },
    server: {
      proxies: 1,
      publicUrl,
      oidc: {
        ...{ issuer: issuer.url, audience, login: { clientId: loginClient.clientId } },
        mapping: { reader: "viewer", engineer: "operator", reviewer: "approver" },
      },
    },
  });
}

const asProgram = { accept: "application/json" };

/** A browser in which somebody has logged in, and what it sends to change something. */
async function loggedIn(person: string): Promise<{ visitor: Visitor; csrf: string }> {
  const visitor = new Visitor();
  const page = await logIn(visitor, server.url, person);
  expect([page.status, page.leadsTo]).toEqual([302, `${server.url}/`]);
  const { login } = await session(visitor);
  secrets.push(visitor.cookies.get("rederive") ?? "");
  return { visitor, csrf: login?.csrf ?? "" };
}

interface SessionAnswer {
  readonly person?: string;
  readonly role?: string;
  readonly code?: string;
  readonly login?: { readonly csrf: string; readonly expiresAt: string } | null;
}

async function session(visitor: Visitor): Promise<SessionAnswer & { readonly status: number }> {
  const { status, body } = await visitor.go(`${server.url}/api/v1/session`, { headers: asProgram });
  return { status, ...(JSON.parse(body) as SessionAnswer) };
}

const codeOf = ({ status, body }: Page) => [status, (JSON.parse(body) as { code?: string }).code];

describe("without a session", () => {
  it("pages lead to the login and back, and programs are told that they are nobody", async () => {
    const visitor = new Visitor();
    const first = await visitor.go(`${server.url}/`);
    expect([first.status, first.leadsTo]).toEqual([302, `${server.url}/login?returnTo=%2F`]);
    const board = await visitor.go(`${server.url}/queues/queue/backfill?page=2`);
    const returnTo = encodeURIComponent("/queues/queue/backfill?page=2");
    expect([board.status, board.leadsTo]).toEqual([302, `${server.url}/login?returnTo=${returnTo}`]);
    for (const path of ["/queues/api/queues", "/api/v1/backfills", "/api/v1/nothing"]) {
      const page = await visitor.go(`${server.url}${path}`, { headers: asProgram });
      expect(codeOf(page)).toEqual([401, "unauthenticated"]);
      // A browser that is asked for Basic shows a window of its own.
      expect(page.headers["www-authenticate"]).not.toContain("Basic");
    }
    expect((await visitor.go(`${server.url}/api/v1/backfills`)).status).toBe(401);
    expect((await visitor.go(`${server.url}/login`, { method: "POST" })).status).toBe(405);
  });

  it("whoever logs in comes back to where they were, as who the issuer says", async () => {
    const visitor = new Visitor();
    const page = await logIn(visitor, server.url, "vera", { returnTo: "/queues/queue/backfill?page=2" });
    expect([page.status, page.leadsTo]).toEqual([302, `${server.url}/queues/queue/backfill?page=2`]);
    const [gone, cookie] = page.cookies;
    expect(gone).toMatch(/^rederive-login=;.*Expires=Thu, 01 Jan 1970/);
    expect(cookie).toMatch(/^rederive=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax$/);
    expect(page.headers["cache-control"]).toBe("no-store");
    expect(await session(visitor)).toMatchObject({ status: 200, person: "vera", role: "viewer" });
    const board = await visitor.go(`${server.url}/queues/`);
    expect([board.status, board.body]).toEqual([200, expect.stringContaining("<base href")]);
    expect(board.body).toContain("../logout");
    const stored = await database.query<{ hash: string }>("select hash from rederive.session");
    expect(JSON.stringify(stored)).not.toContain(visitor.cookies.get("rederive"));
  });

  it("behind TLS the cookies are bound to the host and to TLS", async () => {
    const [{ url }] = (await database.query<{ url: string }>("select current_database() as url")) as [{ url: string }];
    // The proxy takes the beginning of the path away.
    const publicUrl = "https://ops.example/re";
    const other = await open(new URL(`/${url}`, rederive.settings.databaseUrl).href, publicUrl);
    const behind = await startServer(other, { port: 0, log });
    try {
      const visitor = new Visitor();
      const first = await visitor.go(`${behind.url}/queues/`);
      expect(first.headers.location).toBe(`/re/login?returnTo=${encodeURIComponent("/re/queues/")}`);
      const callback = await askIssuer(visitor, behind.url, "vera");
      expect(callback).toMatch(/^https:\/\/ops\.example\/re\/login\/callback\?code=/);
      const page = await visitor.go(`${behind.url}${callback.slice(publicUrl.length)}`);
      expect([page.status, page.headers.location]).toEqual([302, "/re/"]);
      expect(page.cookies[1]).toMatch(/^__Host-rederive=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
      expect((await visitor.go(`${behind.url}/queues/`)).status).toBe(200);
      // One that a plain connection could have set is not looked at.
      const plain = new Visitor();
      plain.cookies.set("rederive", visitor.cookies.get("__Host-rederive") ?? "");
      expect((await plain.go(`${behind.url}/queues/`)).status).toBe(302);
      // A trusted proxy may say it, too, where nobody has said what the address is.
      const headers = { accept: "text/html", "x-forwarded-proto": "https", host: "ops.example" };
      const begun = await visitor.go(`${server.url}/login`, { headers });
      expect(begun.cookies[0]).toMatch(/^__Host-rederive-login=.*; HttpOnly; Secure; SameSite=Lax$/);
      expect(new URL(begun.leadsTo ?? "").searchParams.get("redirect_uri")).toBe("https://ops.example/login/callback");
    } finally {
      await behind.close();
      await other.close();
    }
  });
});

it("below a path of another application, login and session are that path's", async () => {
  const outer = express();
  outer.set("trust proxy", 1);
  outer.use("/ops", createApp(rederive, { log }));
  const listening = createServer(outer).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const base = `http://127.0.0.1:${(listening.address() as AddressInfo).port}/ops`;
  try {
    const visitor = new Visitor();
    expect((await visitor.go(`${base}/queues/`)).headers.location).toMatch(
      /^\/ops\/login\?returnTo=%2Fops%2Fqueues%2F$/,
    );
    const page = await logIn(visitor, base, "ada");
    expect([page.status, page.leadsTo]).toEqual([302, `${base}/`]);
    expect((await visitor.go(`${base}/`)).body).toContain('href="/ops/queues/"');
    expect((await visitor.go(`${base}/api/v1/session`, { headers: asProgram })).status).toBe(200);
    expect((await visitor.go(`${base}/logout`)).body).toContain('action="/ops/logout"');
  } finally {
    listening.closeAllConnections();
    listening.close();
  }
});

describe("a login that is not right", () => {
  const refused = async (visitor: Visitor, callback: string, expected: unknown = [401, "unauthenticated"]) => {
    const before = visitor.cookies.get("rederive");
    const page = await visitor.go(callback);
    expect(codeOf(page)).toEqual(expected);
    expect(visitor.cookies.get("rederive")).toBe(before);
    expect(visitor.cookies.has("rederive-login")).toBe(false);
  };
  const changed = (address: string, name: string, value: string) => {
    const url = new URL(address);
    url.searchParams.set(name, value);
    return url.href;
  };

  it("because it was begun in another browser, with another state, or not at all", async () => {
    const victim = new Visitor();
    const callback = await askIssuer(victim, server.url, "mallory");
    await refused(new Visitor(), callback);
    const other = new Visitor();
    await other.go(`${server.url}/login`);
    await refused(other, callback);
    await refused(victim, changed(callback, "state", "another"));
  });

  it("because the ID token is of another login", async () => {
    const visitor = new Visitor();
    const change = (url: URL) => url.searchParams.set("nonce", "another");
    await refused(visitor, await askIssuer(visitor, server.url, "ada", { change }));
  });

  it("because the code was asked for with another verifier, or by another issuer", async () => {
    const visitor = new Visitor();
    const change = (url: URL) => url.searchParams.set("code_challenge", "a".repeat(43));
    await refused(visitor, await askIssuer(visitor, server.url, "ada", { change }));
    await refused(visitor, changed(await askIssuer(visitor, server.url, "ada"), "iss", "https://evil.example"));
  });

  it("because it was ended before", async () => {
    const visitor = new Visitor();
    const callback = await askIssuer(visitor, server.url, "ada");
    const pending = visitor.cookies.get("rederive-login") ?? "";
    expect((await visitor.go(callback)).status).toBe(302);
    await refused(visitor, callback);
    visitor.cookies.set("rederive-login", pending);
    await refused(visitor, callback);
    secrets.push(pending, new URL(callback).searchParams.get("code") ?? "");
  });

  it("because the cookie was made by somebody else, or is too old", async () => {
    const visitor = new Visitor();
    const callback = await askIssuer(visitor, server.url, "ada");
    visitor.cookies.set("rederive-login", `${visitor.cookies.get("rederive-login")?.slice(0, -4)}AAAA`);
    await refused(visitor, callback);
    const late = await askIssuer(visitor, server.url, "ada");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 601_000 });
    try {
      await refused(visitor, late);
    } finally {
      vi.useRealTimers();
    }
  });

  it("because the person declined, or has no role here", async () => {
    const visitor = new Visitor();
    const begun = await visitor.go(`${server.url}/login`);
    const state = new URL(begun.leadsTo ?? "").searchParams.get("state") ?? "";
    const iss = encodeURIComponent(issuer.url);
    await refused(visitor, `${server.url}/login/callback?error=access_denied&state=${state}&iss=${iss}`);
    await refused(visitor, await askIssuer(visitor, server.url, "mallory"), [403, "forbidden"]);
  });

  it("cannot be tried without end, and hinders nobody who is logged in or has a token", async () => {
    const { visitor } = await loggedIn("ada");
    const callback = `${server.url}/login/callback?code=x&state=x`;
    const bearer = { ...asProgram, authorization: `Bearer ${await issuer.tokenOf("ada")}` };
    const go = async (headers: Visit["headers"] = asProgram) =>
      (await visitor.go(`${server.url}/api/v1/session`, { headers })).status;
    // As the images of another site's page do it, with which browsers send no cookie.
    for (let image = 0; image < 11; image += 1) await refused(visitor, `${callback}&image=${image}`);
    for (let attempt = 0; attempt < 10; attempt += 1) {
      visitor.cookies.set("rederive-login", `forged${attempt}`);
      await refused(visitor, callback);
    }
    visitor.cookies.set("rederive-login", "forged");
    const limited = await visitor.go(callback);
    expect(codeOf(limited)).toEqual([429, "too_many_requests"]);
    expect(Number(limited.headers["retry-after"])).toBeGreaterThan(0);
    expect([await go(), await go(bearer)]).toEqual([200, 200]);
  });

  it.each([
    ...["https://evil.example/", "//evil.example/", "/\\evil.example/", "/..//evil.example", "/%2e%2e//evil.example"],
    ...["\\\\evil.example", "javascript:alert(1)", "/\tevil", "queues", ""],
  ])("does not lead to %j", async (returnTo) => {
    const visitor = new Visitor();
    const page = await logIn(visitor, server.url, "ada", { returnTo });
    expect([page.status, page.leadsTo]).toEqual([302, `${server.url}/`]);
  });
});

describe("a session", () => {
  const post = (visitor: Visitor, headers: Visit["headers"], path = "/api/v1/backfills") =>
    visitor.go(`${server.url}${path}`, {
      method: "POST",
      headers: { ...asProgram, "content-type": "application/json", ...headers },
      body: '{"changes":true,"reason":""}',
    });

  it("changes something from our own pages alone, with a token that they know", async () => {
    const { visitor, csrf } = await loggedIn("ada");
    const token = { "x-csrf-token": csrf };
    const other = await loggedIn("ada");
    for (const headers of [
      { "sec-fetch-site": "same-origin" },
      { "sec-fetch-site": "same-origin", "x-csrf-token": `${csrf}x` },
      { "sec-fetch-site": "same-origin", "x-csrf-token": other.csrf },
      token,
      { ...token, "sec-fetch-site": "cross-site" },
      { ...token, "sec-fetch-site": "same-site" },
      { ...token, "sec-fetch-site": "none" },
      { ...token, origin: "https://evil.example" },
      { ...token, origin: "null" },
      { ...token, origin: server.url.replace("127.0.0.1", "localhost") },
    ]) {
      expect([headers, codeOf(await post(visitor, headers))]).toEqual([headers, [403, "csrf"]]);
    }
    // The reason is missing, which is the next thing to be looked at.
    for (const headers of [
      { ...token, "sec-fetch-site": "same-origin" },
      { ...token, origin: server.url },
    ]) {
      expect([headers, codeOf(await post(visitor, headers))]).toEqual([headers, [400, "usage"]]);
    }
    const { token: api } = await rederive
      .as({ name: "root", role: "admin" })
      .createToken({ name: "robot", role: "operator" });
    const asRobot = { authorization: `Bearer ${api}` };
    expect(codeOf(await post(new Visitor(), asRobot))).toEqual([400, "usage"]);
  });

  it("does no more than its person may, nor does the board with it", async () => {
    const { visitor, csrf } = await loggedIn("vera");
    const ours = { "x-csrf-token": csrf, "sec-fetch-site": "same-origin" };
    expect(codeOf(await post(visitor, ours))).toEqual([403, "forbidden"]);
    for (const path of ["/queues/api/queues/backfill/pause", "/queues/api/queues/pause"]) {
      expect(codeOf(await post(visitor, ours, path))).toEqual([405, "method_not_allowed"]);
    }
    const first = async () => (await visitor.go(`${server.url}/`)).body;
    expect(await first()).toContain("You are vera (viewer).");
    const { headers } = await visitor.go(`${server.url}/`);
    expect(headers["cache-control"]).toBe("no-store");
    expect(headers["content-security-policy"]).toContain("default-src 'self'");
    expect(await first()).toContain("/queues/");
    // The board shows the datasets of everybody.
    await database.query("update rederive.identity set groups = '{finance}' where person = 'vera'");
    expect(await first()).not.toContain("/queues/");
    expect((await visitor.go(`${server.url}/queues/`)).status).toBe(404);
    await database.query("update rederive.identity set role = 'approver' where person = 'vera'");
    expect(await session(visitor)).toMatchObject({ role: "approver" });
    await database.query("update rederive.identity set role = null where person = 'vera'");
    expect(await session(visitor)).toMatchObject({ status: 401, code: "unauthenticated" });
  });

  it("is another one after every login, and never one that was there before", async () => {
    const visitor = new Visitor();
    visitor.cookies.set("rederive", "planted".padEnd(43, "x"));
    await logIn(visitor, server.url, "ada");
    const first = visitor.cookies.get("rederive") ?? "";
    expect(first).not.toContain("planted");
    await logIn(visitor, server.url, "ada");
    expect(visitor.cookies.get("rederive")).not.toBe(first);
    const thief = new Visitor();
    thief.cookies.set("rederive", first);
    expect((await session(thief)).status).toBe(401);
    expect((await session(visitor)).status).toBe(200);
  });

  it("ends when it was not used for half an hour, or twelve hours after the login", async () => {
    const { visitor } = await loggedIn("grace");
    const age = (column: string, by: string) =>
      database.query(
        `update rederive.session set ${column} = ${column} - interval '${by}'
         where identity = (select id from rederive.identity where person = 'grace')`,
      );
    await age("seen_at", "29 minutes");
    expect((await session(visitor)).status).toBe(200);
    // That counted as a use.
    await age("seen_at", "29 minutes");
    expect((await session(visitor)).status).toBe(200);
    await age("seen_at", "30 minutes");
    expect((await session(visitor)).status).toBe(401);
    expect((await visitor.go(`${server.url}/queues/`)).leadsTo).toContain("/login");

    const { visitor: another } = await loggedIn("grace");
    await age("created_at", "11 hours 59 minutes");
    expect((await session(another)).status).toBe(200);
    await age("created_at", "1 minute");
    expect((await session(another)).status).toBe(401);
  });

  it("ends with the logout, which only our own page can send", async () => {
    const { visitor, csrf } = await loggedIn("grace");
    const cookie = visitor.cookies.get("rederive") ?? "";
    const logout = (body: string, site: string) =>
      visitor.go(`${server.url}/logout`, {
        method: "POST",
        headers: { accept: "text/html", "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": site },
        body,
      });
    expect(codeOf(await logout(`csrf=${csrf}`, "cross-site"))).toEqual([403, "csrf"]);
    expect(codeOf(await logout("csrf=", "same-origin"))).toEqual([403, "csrf"]);
    const form = await visitor.go(`${server.url}/logout`);
    expect(form.body).toContain("You are grace (approver).");
    expect(form.body).toContain(`value="${csrf}"`);
    expect((await session(visitor)).status).toBe(200);
    const done = await logout(`csrf=${csrf}`, "same-origin");
    expect([done.status, done.leadsTo]).toEqual([303, `${server.url}/logout`]);
    expect(visitor.cookies.has("rederive")).toBe(false);
    expect((await visitor.go(`${server.url}/logout`)).body).toContain("You are not logged in.");
    visitor.cookies.set("rederive", cookie);
    expect(await session(visitor)).toMatchObject({ status: 401, code: "unauthenticated" });
    const acts = await database.query<{ act: string }>(
      "select act from rederive.audit where actor = 'grace' order by id desc limit 2",
    );
    expect(acts.map(({ act }) => act)).toEqual(["session.logout", "session.login"]);
  });

  it("ends with its person's admission, and so do their tokens", async () => {
    const { visitor } = await loggedIn("ada");
    const asBearer = async () => {
      const headers = { ...asProgram, authorization: `Bearer ${await issuer.tokenOf("ada")}` };
      return new Visitor().go(`${server.url}/api/v1/session`, { headers });
    };
    expect((await asBearer()).status).toBe(200);
    const admin = rederive.as({ name: "root", role: "admin" });
    await admin.disableIdentity({ person: "ada", reason: "left the company" });
    expect((await session(visitor)).status).toBe(401);
    expect(codeOf(await asBearer())).toEqual([401, "unauthenticated"]);
    const again = await logIn(new Visitor(), server.url, "ada");
    expect(codeOf(again)).toEqual([401, "unauthenticated"]);
    expect(await admin.identities()).toContainEqual(
      expect.objectContaining({ person: "ada", role: null, disabledAt: expect.any(String) }),
    );
    await admin.enableIdentity({ person: "ada", reason: "came back" });
    expect((await session(visitor)).status).toBe(401);
    expect((await asBearer()).status).toBe(200);
    await loggedIn("ada");
    await expect(admin.disableIdentity({ person: "nobody", reason: "x" })).rejects.toMatchObject({ code: "not_found" });
    const operator = rederive.as({ name: "oscar", role: "operator" });
    await expect(operator.identities()).rejects.toMatchObject({ code: "forbidden" });
  });
});

describe("what is missing", () => {
  const findings = async (of: Rederive) =>
    (await of.as({ name: "root", role: "admin" }).doctor()).filter(({ check }) => check === "login");

  it("is told by doctor, and nobody can log in where browsers would send cookies in clear text", async () => {
    expect(await findings(rederive)).toMatchObject([{ level: "warn" }]);
    vi.stubEnv("REDERIVE_OIDC_CLIENT_SECRET", "");
    const { databaseUrl = "" } = rederive.settings;
    const other = await open(databaseUrl, "https://ops.example");
    vi.stubEnv("REDERIVE_OIDC_CLIENT_SECRET", loginClient.clientSecret);
    expect(await findings(other)).toMatchObject([
      { level: "error", message: expect.stringContaining("REDERIVE_OIDC_CLIENT_SECRET") },
    ]);
    await expect(startServer(other, { port: 0, log })).rejects.toMatchObject({ code: "configuration" });
    await other.close();
    await expect(open(databaseUrl, "http://ops.example")).rejects.toMatchObject({ code: "configuration" });
    const elsewhere = await new Visitor().go(`${server.url}/login`, { headers: { host: "ops.example" } });
    expect(codeOf(elsewhere)).toEqual([500, "configuration"]);
  });
});
