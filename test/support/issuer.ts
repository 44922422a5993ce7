/** A real OpenID issuer on this machine. Its people are clients that get access tokens for themselves. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { Provider } from "oidc-provider";

export const audience = "urn:rederive";

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

export async function startIssuer(people: Record<string, Record<string, unknown>>): Promise<TestIssuer> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: "k1", alg: "RS256", use: "sig" };
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(url, {
    clients: Object.keys(people).map((client_id) => ({
      ...{
        client_id,
        client_secret: `secret of ${client_id}`.replaceAll(" ", "-"),
        redirect_uris: [],
        response_types: [],
      },
      grant_types: ["client_credentials"],
    })),
    jwks: { keys: [jwk] },
    cookies: { keys: ["test"] },
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: () => ({ audience, scope: "", accessTokenFormat: "jwt", accessTokenTTL: 600 }),
      },
    },
    extraTokenClaims: (_context: unknown, token: { clientId: string }) => people[token.clientId],
  });
  server.on("request", provider.callback());
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
