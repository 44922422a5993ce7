/**
 * Access tokens of an OpenID issuer: signature by the issuer's own keys, which are fetched once and again when a new key
 * appears, then issuer, audience and times with 30 seconds of tolerance. What the claims mean is in the configuration.
 */
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import { z } from "zod";
import type { OidcSettings } from "../config.ts";
import { messageOf, RederiveError } from "../errors.ts";
import { type Role, roles } from "./roles.ts";

/** Who a token is, by its claims. */
export interface KnownPerson {
  readonly issuer: string;
  readonly subject: string;
  readonly name: string;
  /** Null where none of the token's roles means one here. */
  readonly role: Role | null;
  /** Owner groups; null for all. */
  readonly groups: readonly string[] | null;
  /** When the token was issued, in seconds since 1970. */
  readonly issuedAt: number;
}

/** Public keys alone: with a shared secret whoever checks tokens could make them. */
const algorithms = ["RS256", "PS256", "ES256", "EdDSA"];
const toleranceSeconds = 30;
const fetchMs = 5_000;

const metadata = z.object({ issuer: z.string(), jwks_uri: z.url() });

/** Three parts, the first of them JSON: ours have another shape. */
export function isAccessToken(token: string): boolean {
  return /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
}

export class Issuer {
  readonly #settings: OidcSettings;
  #keys: Promise<JWTVerifyGetKey> | undefined;

  constructor(settings: OidcSettings) {
    this.#settings = settings;
  }

  /** Undefined where the token is not valid, for whatever reason. Throws `unavailable` where keys cannot be had. */
  async identify(token: string): Promise<KnownPerson | undefined> {
    const { issuer, audience } = this.#settings;
    const keys = await this.#discover();
    try {
      const { payload } = await jwtVerify(token, keys, {
        ...{ issuer, audience, algorithms, clockTolerance: toleranceSeconds, requiredClaims: ["exp", "iat", "sub"] },
      });
      return personOfClaims(payload, this.#settings);
    } catch (error) {
      if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError)) throw unavailable(issuer, error);
      return undefined;
    }
  }

  async #discover(): Promise<JWTVerifyGetKey> {
    this.#keys ??= keysOf(this.#settings.issuer);
    try {
      return await this.#keys;
    } catch (error) {
      // Asked again with the next token.
      this.#keys = undefined;
      throw error;
    }
  }
}

/** Where the issuer says that its keys are. */
async function keysOf(issuer: string): Promise<JWTVerifyGetKey> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  try {
    const response = await fetch(address, { redirect: "error", signal: AbortSignal.timeout(fetchMs) });
    const found = metadata.parse(await response.json());
    if (found.issuer !== issuer) throw new Error(`it says that it is ${found.issuer}`);
    return createRemoteJWKSet(new URL(found.jwks_uri), { timeoutDuration: fetchMs, cacheMaxAge: 600_000 });
  } catch (error) {
    throw unavailable(issuer, error);
  }
}

function unavailable(issuer: string, cause: unknown): RederiveError {
  return new RederiveError("unavailable", `cannot get the keys of the issuer ${issuer}: ${messageOf(cause)}`, {
    cause,
  });
}

/** What the claims say by the configuration; their signature was checked before. */
export function personOfClaims(claims: JWTPayload, settings: OidcSettings): KnownPerson {
  const { issuer, nameClaim, roleClaim, groupsClaim, mapping } = settings;
  const subject = claims.sub ?? "";
  const [name] = textsOf(claimAt(claims, nameClaim));
  const mapped = textsOf(claimAt(claims, roleClaim)).flatMap((value) =>
    Object.hasOwn(mapping, value) ? [mapping[value] as Role] : [],
  );
  return {
    issuer,
    subject,
    name: [name, subject].find((text) => text !== undefined && nameShape.test(text)) ?? "somebody",
    role: roles.findLast((role) => mapped.includes(role)) ?? null,
    groups: groupsClaim === undefined ? null : textsOf(claimAt(claims, groupsClaim)),
    issuedAt: claims.iat ?? 0,
  };
}

const nameShape = /^[\p{L}\p{N}][\p{L}\p{N} ._@:+-]{0,99}$/u;

/** By its full name, as some are URLs, or else as a path into objects. */
export function claimAt(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  return name
    .split(".")
    .reduce<unknown>(
      (value, part) =>
        typeof value === "object" && value !== null && Object.hasOwn(value, part)
          ? (value as Record<string, unknown>)[part]
          : undefined,
      claims,
    );
}

function textsOf(value: unknown): string[] {
  const values: unknown[] = Array.isArray(value) ? value : [value];
  return values.filter((each): each is string => typeof each === "string" && each !== "");
}
