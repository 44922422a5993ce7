/**
 * Login in a browser by the authorization code flow of OpenID Connect, with PKCE, state and nonce.
 *
 * What a login needs again when the browser comes back travels with the browser, in a text that this installation alone
 * can make or read (encrypted under a key from the client secret): processes share nothing, and beginning a login without
 * ending it leaves nothing behind.
 */
import { hkdfSync } from "node:crypto";
import { EncryptJWT, jwtDecrypt } from "jose";
import * as oidc from "openid-client";
import type { OidcSettings } from "../config.ts";
import { messageOf, RederiveError } from "../errors.ts";
import { claimAt, type KnownPerson, personOfClaims } from "./issuer.ts";

export interface LoginClient {
  readonly clientId: string;
  readonly clientSecret: string;
  /** Besides `openid`. */
  readonly scopes: readonly string[];
}

export interface BegunLogin {
  /** Where the browser goes next. */
  readonly url: string;
  /** What the browser brings back, in a cookie that no script reads. */
  readonly pending: string;
}

export interface EndedLogin {
  readonly known: KnownPerson;
  /** As it was given when the login began. */
  readonly returnTo: string;
  /** Belongs to this login and to no other. */
  readonly state: string;
}

/** How long somebody may take to log in. */
export const pendingSeconds = 600;
const toleranceSeconds = 30;
const fetchSeconds = 5;

interface Pending {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly returnTo: string;
}

export class Login {
  readonly #settings: OidcSettings;
  readonly #client: LoginClient;
  readonly #key: Uint8Array;
  #issuer: Promise<oidc.Configuration> | undefined;

  constructor(settings: OidcSettings, client: LoginClient) {
    this.#settings = settings;
    this.#client = client;
    this.#key = new Uint8Array(hkdfSync("sha256", client.clientSecret, "", "rederive login", 32));
  }

  /** Throws `unavailable` where the issuer cannot be reached. */
  async begin(redirectUri: string, returnTo: string): Promise<BegunLogin> {
    const issuer = await this.#discover();
    const [state, nonce, verifier] = [oidc.randomState(), oidc.randomNonce(), oidc.randomPKCECodeVerifier()];
    const url = oidc.buildAuthorizationUrl(issuer, {
      ...{ redirect_uri: redirectUri, scope: ["openid", ...this.#client.scopes].join(" "), state, nonce },
      ...{ code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256" },
    });
    return { url: url.href, pending: await this.#seal({ state, nonce, verifier, returnTo }) };
  }

  /**
   * `url`: where the browser was sent back to, whole. Throws `unauthenticated` where it does not belong to the login that
   * `pending` is of, or the issuer does not vouch for anybody; `unavailable` where the issuer cannot be asked.
   */
  async end(url: URL, pending: string | undefined): Promise<EndedLogin> {
    const { state, nonce, verifier, returnTo } = await this.#unseal(pending);
    const issuer = await this.#discover();
    try {
      const tokens = await oidc.authorizationCodeGrant(issuer, url, {
        ...{ expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true },
      });
      const claims = tokens.claims();
      if (claims === undefined) throw refusal("the issuer sent no ID token");
      const known = personOfClaims(await this.#completed(issuer, claims, tokens.access_token), this.#settings);
      return { known, returnTo, state };
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** Many issuers tell names and roles only when they are asked. */
  async #completed(issuer: oidc.Configuration, claims: oidc.IDToken, accessToken: string): Promise<oidc.IDToken> {
    const { nameClaim, roleClaim, groupsClaim = roleClaim } = this.#settings;
    const isTold = [nameClaim, roleClaim, groupsClaim].every((name) => claimAt(claims, name) !== undefined);
    if (isTold || issuer.serverMetadata().userinfo_endpoint === undefined) return claims;
    return { ...(await oidc.fetchUserInfo(issuer, accessToken, claims.sub)), ...claims };
  }

  async #discover(): Promise<oidc.Configuration> {
    const { issuer } = this.#settings;
    this.#issuer ??= configurationOf(issuer, this.#client);
    try {
      return await this.#issuer;
    } catch (error) {
      // Asked again with the next login.
      this.#issuer = undefined;
      throw unavailable(issuer, error);
    }
  }

  async #seal(pending: Pending): Promise<string> {
    return new EncryptJWT({ ...pending })
      .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
      .setExpirationTime(`${pendingSeconds}s`)
      .encrypt(this.#key);
  }

  async #unseal(pending: string | undefined): Promise<Pending> {
    if (pending === undefined) throw refusal("this browser has not begun it, or has ended it already");
    try {
      return (await jwtDecrypt<Pending>(pending, this.#key)).payload;
    } catch {
      throw refusal("it took too long, or was not begun here");
    }
  }

  #told(error: unknown): unknown {
    const { issuer } = this.#settings;
    if (error instanceof RederiveError) return error;
    if (isAboutClient(error)) {
      const message = `the issuer ${issuer} does not accept this client; check clientId and REDERIVE_OIDC_CLIENT_SECRET`;
      return new RederiveError("configuration", message);
    }
    if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError) {
      return refusal(`the issuer said ${error.error}`);
    }
    const isWrong = error instanceof oidc.ClientError && wrongAnswers.has(error.code ?? "");
    return isWrong ? refusal("what the issuer sent does not belong to it") : unavailable(issuer, error);
  }
}

/** The issuer does not know this server, by an error or by asking for other credentials. */
function isAboutClient(error: unknown): boolean {
  if (error instanceof oidc.WWWAuthenticateChallengeError) return true;
  return error instanceof oidc.ResponseBodyError && error.error === "invalid_client";
}

/** Answers that came, and are not right: another state, nonce, issuer, audience, signature or time. */
const wrongAnswers = new Set([
  ...["OAUTH_INVALID_RESPONSE", "OAUTH_JWT_CLAIM_COMPARISON_FAILED", "OAUTH_JWT_TIMESTAMP_CHECK_FAILED"],
  ...["OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED", "OAUTH_PARSE_ERROR"],
]);

async function configurationOf(issuer: string, { clientId, clientSecret }: LoginClient): Promise<oidc.Configuration> {
  const plain = new URL(issuer).protocol === "http:" ? [oidc.allowInsecureRequests] : [];
  return oidc.discovery(
    new URL(issuer),
    clientId,
    { [oidc.clockTolerance]: toleranceSeconds },
    clientAuthentication(clientSecret),
    { timeout: fetchSeconds, execute: [oidc.enableNonRepudiationChecks, ...plain] },
  );
}

/** HTTP Basic, which is the default of the standard, unless the issuer lists others alone. */
function clientAuthentication(secret: string): oidc.ClientAuth {
  const [basic, post] = [oidc.ClientSecretBasic(secret), oidc.ClientSecretPost(secret)];
  return (server, ...rest) => {
    const listed = server.token_endpoint_auth_methods_supported;
    return (listed === undefined || listed.includes("client_secret_basic") ? basic : post)(server, ...rest);
  };
}

function refusal(what: string): RederiveError {
  return new RederiveError("unauthenticated", `the login did not succeed: ${what}; begin again at /login`);
}

function unavailable(issuer: string, cause: unknown): RederiveError {
  return new RederiveError("unavailable", `the issuer ${issuer} cannot be asked: ${messageOf(cause)}`, { cause });
}
