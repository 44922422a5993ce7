/** Access tokens of a real OpenID issuer on this machine, and those that somebody else made. */
import { generateKeyPair } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OidcSettings } from "../../src/config.ts";
import { actorOfIdentity } from "../../src/governance/identities.ts";
import { Issuer, isAccessToken, type KnownPerson } from "../../src/governance/issuer.ts";
import type { Rederive } from "../../src/rederive.ts";
import { startServer } from "../../src/server/index.ts";
import { silentLog } from "../server/support.ts";
import { audience, startIssuer, type TestIssuer } from "../support/issuer.ts";
import { shop, withShop } from "../usecases/shop.ts";

let issuer: TestIssuer;
let settings: OidcSettings;

beforeAll(async () => {
  issuer = await startIssuer({
    ada: { preferred_username: "ada", roles: ["engineer"], teams: ["finance"] },
    grace: { preferred_username: "grace", roles: ["engineer", "reviewer"], teams: ["finance", "sales"] },
    mallory: { preferred_username: "grace", roles: ["cleaner", "toString"] },
  });
  settings = {
    ...{ issuer: issuer.url, audience, nameClaim: "preferred_username", roleClaim: "roles", groupsClaim: "teams" },
    mapping: { engineer: "operator", reviewer: "approver" },
  };
});

afterAll(async () => {
  await issuer.close();
});

describe("a token of the issuer", () => {
  it("says who it is, with the highest of the roles", async () => {
    const known = await new Issuer(settings).identify(await issuer.tokenOf("grace"));
    expect(known).toEqual({
      ...{ issuer: issuer.url, subject: "grace", name: "grace", role: "approver", groups: ["finance", "sales"] },
      issuedAt: expect.any(Number),
    });
    const { groupsClaim: _, ...everywhere } = settings;
    expect((await new Issuer(everywhere).identify(await issuer.tokenOf("ada")))?.groups).toBeNull();
  });

  it("gives no role for what is not mapped", async () => {
    const known = await new Issuer(settings).identify(await issuer.tokenOf("mallory"));
    expect(known).toMatchObject({ role: null, groups: [] });
  });

  it("has roles below a path as well, and a name of its subject where it has no better one", async () => {
    const nested = { ...settings, roleClaim: "realm_access.roles" };
    const token = await issuer.sign({
      ...good(),
      realm_access: { roles: ["reviewer"] },
      preferred_username: "a\u202eb",
    });
    expect(await new Issuer(nested).identify(token)).toMatchObject({ role: "approver", name: "ada" });
  });
});

const seconds = () => Math.floor(Date.now() / 1_000);
const good = () => ({
  ...{ iss: issuer.url, aud: audience, sub: "ada", iat: seconds(), exp: seconds() + 60, roles: ["reviewer"] },
});

describe("a token that is not", () => {
  it.each([
    ["for another audience", () => ({ ...good(), aud: "urn:other" })],
    ["of another issuer", () => ({ ...good(), iss: "https://evil.example" })],
    ["expired", () => ({ ...good(), exp: seconds() - 40 })],
    ["not valid yet", () => ({ ...good(), nbf: seconds() + 40 })],
    ["without an end", () => ({ ...good(), exp: undefined })],
    ["nobody's", () => ({ ...good(), sub: undefined })],
  ])("%s is refused", async (_title, claims) => {
    const verifier = new Issuer(settings);
    expect(await verifier.identify(await issuer.sign(good()))).toMatchObject({ role: "approver" });
    const { exp, sub, ...rest } = claims();
    const sent = { ...rest, ...(exp === undefined ? {} : { exp }), ...(sub === undefined ? {} : { sub }) };
    expect(await verifier.identify(await issuer.sign(sent))).toBeUndefined();
  });

  it("is within thirty seconds of its times is accepted", async () => {
    const token = await issuer.sign({ ...good(), exp: seconds() - 15, nbf: seconds() + 15 });
    expect(await new Issuer(settings).identify(token)).toBeDefined();
  });

  it("signed with another key or a shared secret, unsigned or cut is refused", async () => {
    const verifier = new Issuer(settings);
    const other = await generateKeyPair("RS256");
    const valid = await issuer.sign(good());
    const [header, body, signature] = valid.split(".") as [string, string, string];
    const unsigned = Buffer.from('{"alg":"none"}').toString("base64url");
    const promoted = Buffer.from(JSON.stringify({ ...good(), sub: "root" })).toString("base64url");
    const tokens = [
      await issuer.sign(good(), { key: other.privateKey }),
      await issuer.sign(good(), { alg: "HS256", key: new TextEncoder().encode("k".repeat(64)) }),
      `${unsigned}.${body}.`,
      `${unsigned}.${body}.${signature}`,
      `${header}.${promoted}.${signature}`,
      valid.slice(0, -10),
    ];
    for (const token of tokens) expect([token, await verifier.identify(token)]).toEqual([token, undefined]);
    expect(tokens.map(isAccessToken)).toEqual([true, true, false, true, true, true]);
  });

  it("cannot be judged where the issuer is away, or is another one", async () => {
    const valid = await issuer.sign(good());
    const away = new Issuer({ ...settings, issuer: "http://127.0.0.1:9" });
    await expect(away.identify(valid)).rejects.toMatchObject({ code: "unavailable" });
    const liar = new Issuer({ ...settings, issuer: `${issuer.url}/` });
    await expect(liar.identify(valid)).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("people of an issuer", () => {
  it("keep their name, whoever comes with the same one later", async () => {
    await withShop(async (stage) => {
      const { database } = stage;
      await stage.open(shop());
      const known: KnownPerson = {
        issuer: "i",
        subject: "1",
        name: "grace",
        role: "approver",
        groups: null,
        issuedAt: 100,
      };
      const grace = await actorOfIdentity(database, known);
      expect(grace).toMatchObject({ name: "grace", person: "grace", role: "approver" });
      expect(await actorOfIdentity(database, { ...known, name: "root", groups: ["sales"] })).toEqual({
        ...{ ...grace, groups: ["sales"] },
      });
      const other = await actorOfIdentity(database, { ...known, subject: "2" });
      expect(other.person).toBe("grace (2)");
      const lost = { ...known, role: null, issuedAt: 101 };
      await expect(actorOfIdentity(database, lost)).rejects.toMatchObject({ code: "forbidden" });
      // The token from before that is still within its times.
      await expect(actorOfIdentity(database, known)).rejects.toMatchObject({ code: "forbidden" });
      expect(await actorOfIdentity(database, { ...known, issuedAt: 102 })).toMatchObject({ role: "approver" });
    });
  });

  it("approve with their token, and no longer once they came without the role", async () => {
    await withShop(async (stage) => {
      // Who plans sees everything, whatever groups the issuer tells of.
      const governance = { startApprovals: 1, limitedRoles: [] };
      const rederive = await stage.open(shop(), { governance, server: { oidc: settings } });
      const as = async (person: string) => actor(rederive, await issuer.tokenOf(person));
      const backfill = await rederive.as(await as("ada")).plan({ datasets: ["facts"], reason: "x" });
      await (await rederive.as(await as("grace")).backfill(backfill.id)).approve({});
      issuer.people["grace"] = { preferred_username: "grace", roles: [] };
      await expect(rederive.authenticate(await issuer.tokenOf("grace"))).rejects.toMatchObject({ code: "forbidden" });
      await expect(backfill.start()).rejects.toMatchObject({
        ...{ code: "approval_void", details: { because: "rights_lost" } },
      });
      await expect(
        stage.database.query("update rederive.backfill set state = 'running' where id = $1::text", [backfill.id]),
      ).rejects.toMatchObject({ code: "23514" });
      issuer.people["grace"] = { preferred_username: "grace", roles: ["reviewer"] };
      await as("grace");
      // The same where an admin shuts her out, whatever the issuer says, until she is let in and comes again.
      const admin = rederive.as({ name: "root", role: "admin" });
      await admin.disableIdentity({ person: "grace", reason: "left the company" });
      await expect(as("grace")).rejects.toMatchObject({ code: "unauthenticated" });
      await expect(backfill.start()).rejects.toMatchObject({ details: { because: "rights_lost" } });
      await admin.enableIdentity({ person: "grace", reason: "came back" });
      await expect(backfill.start()).rejects.toMatchObject({ details: { because: "rights_lost" } });
      await as("grace");
      await backfill.start();
    });
  });
});

it("over HTTP a token of the issuer is as good as ours, and its faults are told apart", async () => {
  await withShop(async (stage) => {
    const rederive = await stage.open(shop(), { server: { oidc: settings } });
    const server = await startServer(rederive, { port: 0, log: silentLog });
    try {
      const ask = async (path: string, token: string) => {
        const response = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
        const { code } = (await response.json()) as { code?: string };
        return [response.status, code];
      };
      const ada = await issuer.tokenOf("ada");
      expect(await ask("/api/v1/backfills", ada)).toEqual([200, undefined]);
      expect(await ask("/api/v1/backfills", `${ada.slice(0, -8)}AAAAAAAA`)).toEqual([401, "unauthenticated"]);
      expect(await ask("/api/v1/backfills", await issuer.tokenOf("mallory"))).toEqual([403, "forbidden"]);
    } finally {
      await server.close();
    }
  });
});

async function actor(rederive: Rederive, token: string) {
  const found = await rederive.authenticate(token);
  if (found === undefined) throw new Error("the token is refused");
  return found;
}
