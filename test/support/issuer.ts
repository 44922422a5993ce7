/**
 * A real OpenID issuer on this machine. Its people are clients that get access tokens for themselves; where it has a client
 * for logins, they log in with a browser as well, by writing their name into a form.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { Provider } from "oidc-provider";

export const audience = "urn:rederive";

/** The client for logins: its id and its secret. */
export const loginClient = { clientId: "rederive", clientSecret: "a-secret-of-the-login-client" };

export interface IssuerOptions {
  /** Where browsers may be sent back to, whatever the port on this machine. Default: nobody logs in. */
  readonly redirectUris?: readonly string[];
  /** Roles and names are in ID tokens, and not only told to who asks. Default false, as the standard has it. */
  readonly idTokenClaims?: boolean;
}

export interface TestIssuer {
  readonly url: string;
  /** Claims of each person's next tokens; they may be changed. */
  readonly people: Record<string, Record<string, unknown>>;
  /** As the issuer itself gives it. */
  tokenOf(person: string): Promise<string>;
  /** Signed with the issuer's key, or another one, with whatever claims and header. */
  sign(claims: JWTPayload, header?: { alg?: string; key?: CryptoKey | Uint8Array }): Promise<string>;
  close(): Promise<void>;
}

export async function startIssuer(
  people: Record<string, Record<string, unknown>>,
  { redirectUris = [], idTokenClaims = false }: IssuerOptions = {},
): Promise<TestIssuer> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: "k1", alg: "RS256", use: "sig" };
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(url, {
    clients: [
      ...Object.keys(people).map((client_id) => ({
        ...{
          client_id,
          client_secret: `secret of ${client_id}`.replaceAll(" ", "-"),
          redirect_uris: [],
          response_types: [],
        },
        grant_types: ["client_credentials"],
      })),
      ...(redirectUris.length === 0 ? [] : [clientOfLogins(redirectUris)]),
    ],
    claims: { openid: ["sub"], profile: ["preferred_username", "roles", "teams"] },
    conformIdTokenClaims: !idTokenClaims,
    pkce: { required: () => true },
    findAccount: (_context: unknown, sub: string) => ({
      accountId: sub,
      claims: () => ({ sub, ...people[sub] }),
    }),
    interactions: { url: (_context: unknown, { uid }: { readonly uid: string }) => `/interaction/${uid}` },
    loadExistingGrant: async ({ oidc }: LoginContext) => {
      const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope("openid profile");
      await grant.save();
      return grant;
    },
    jwks: { keys: [jwk] },
    cookies: { keys: ["test"] },
    ttl: { ClientCredentials: 600, Interaction: 600, Grant: 600, Session: 600, AccessToken: 600, IdToken: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ audience, scope: "", accessTokenFormat: "jwt", accessTokenTTL: 600 }),
      },
    },
    extraTokenClaims: (_context: unknown, token: { clientId: string }) => people[token.clientId],
  });
  const answer = provider.callback();
  server.on("request", (request, response) => {
    if (request.url?.startsWith("/interaction/")) void interact(provider, request, response);
    else answer(request, response);
  });
  return {
    url,
    people,
    tokenOf: async (person) => {
      const response = await fetch(`${url}/token`, {
        method: "POST",
        headers: { authorization: `Basic ${Buffer.from(`${person}:secret-of-${person}`).toString("base64")}` },
        body: new URLSearchParams({ grant_type: "client_credentials", resource: audience }),
      });
      const answer = (await response.json()) as { access_token?: string };
      if (answer.access_token === undefined) throw new Error(`the issuer gave no token: ${JSON.stringify(answer)}`);
      return answer.access_token;
    },
    sign: (claims, { alg = "RS256", key = privateKey } = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg, kid: "k1" }).sign(key),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function clientOfLogins(redirectUris: readonly string[]) {
  return {
    ...{ client_id: loginClient.clientId, client_secret: loginClient.clientSecret, application_type: "native" },
    ...{ redirect_uris: redirectUris, response_types: ["code"], grant_types: ["authorization_code"] },
  };
}

interface LoginContext {
  readonly oidc: { readonly client: { readonly clientId: string }; readonly session: { readonly accountId: string } };
}

/** Asks who it is, and believes it. */
async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === "POST") {
    const accountId = new URLSearchParams(await text(request)).get("person") ?? "";
    const result = { login: { accountId }, consent: {} };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    return;
  }
  response.setHeader("content-type", "text/html");
  response.end('<form method="post"><input name="person"><button>Go on</button></form>');
}
