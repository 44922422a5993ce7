/**
 * API tokens: `rdv_<prefix>_<secret>`. The prefix finds the row and may be shown; the secret is 32 random bytes.
 * A token is printed once, when it is made. Postgres keeps its SHA-256 alone, which is enough for a secret of that
 * length: there is nothing to guess, so no slow hash is needed.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { RederiveError } from "../errors.ts";
import * as store from "../store/tokens.ts";
import type { Tx } from "../tx.ts";
import { type Actor, isRole, type Role, roles } from "./roles.ts";

const tokenShape = /^rdv_([0-9a-f]{8})_[A-Za-z0-9_-]{43}$/;
const nameShape = /^[\p{L}\p{N}][\p{L}\p{N} ._@:+-]{0,99}$/u;

export interface NewToken {
  readonly name: string;
  readonly role: Role;
  /** Whose it is, where the token is called otherwise: nobody approves with one token what they asked for with another. */
  readonly person?: string | undefined;
  /** Owner groups that the person speaks for. Default: all. */
  readonly groups?: readonly string[] | undefined;
  readonly expiresAt?: Date | string | undefined;
}

export interface IssuedToken extends store.TokenRow {
  /** The token itself; it cannot be shown again. */
  readonly token: string;
}

export async function createToken(tx: Tx, createdBy: string, wish: NewToken): Promise<IssuedToken> {
  const expiresAt = checkWish(wish);
  const prefix = randomBytes(4).toString("hex");
  const token = `rdv_${prefix}_${randomBytes(32).toString("base64url")}`;
  const row = await store.insertToken(tx, {
    name: wish.name,
    role: wish.role,
    person: wish.person ?? null,
    groups: wish.groups ?? null,
    prefix,
    hash: digest(token).toString("hex"),
    createdBy,
    expiresAt,
  });
  return { ...row, token };
}

/**
 * The actor behind a token, or undefined for one that is malformed, unknown, expired or revoked: the caller
 * cannot tell which. Hashes are compared in constant time.
 */
export async function authenticate(tx: Tx, token: string): Promise<Actor | undefined> {
  const prefix = tokenShape.exec(token)?.[1];
  if (prefix === undefined) return undefined;
  const presented = digest(token);
  const candidates = await store.tokensWithPrefix(tx, prefix);
  const match = candidates.find((candidate) => timingSafeEqual(Buffer.from(candidate.hash, "hex"), presented));
  if (match === undefined || !match.usable || !isRole(match.role)) return undefined;
  await store.touchToken(tx, match.id);
  const { id, name, role, person, groups } = match;
  return { name, role, person, token: id, ...(groups === null ? {} : { groups }) };
}

export async function listTokens(tx: Tx): Promise<store.TokenRow[]> {
  return await store.listTokens(tx);
}

/** Works from the next request on. Throws `not_found` where there is no such token. */
export async function revokeToken(tx: Tx, id: string): Promise<store.TokenRow> {
  const row = /^\d{1,18}$/.test(id) ? await store.revokeToken(tx, id) : undefined;
  if (row) return row;
  throw new RederiveError("not_found", `there is no token with id "${id}"; list the tokens to see their ids`);
}

/** Gives the expiry as an ISO instant, or null for none. */
function checkWish(wish: NewToken): string | null {
  if (!nameShape.test(wish.name)) {
    throw new RederiveError(
      "usage",
      `a token name is 1 to 100 letters, digits, spaces and ._@:+- beginning with a letter or digit; got "${wish.name}"`,
    );
  }
  if (wish.person !== undefined && !nameShape.test(wish.person)) {
    throw new RederiveError("usage", `a person is named like a token; got "${wish.person}"`);
  }
  if (!isRole(wish.role)) {
    throw new RederiveError("usage", `unknown role "${String(wish.role)}"; use one of ${roles.join(", ")}`);
  }
  if (wish.expiresAt === undefined) return null;
  const expiry = new Date(wish.expiresAt);
  if (Number.isNaN(expiry.getTime())) {
    throw new RederiveError(
      "usage",
      `"${String(wish.expiresAt)}" is not a time; write an instant such as 2030-01-31T00:00:00Z`,
    );
  }
  return expiry.toISOString();
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}
