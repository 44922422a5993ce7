/**
 * Sessions of browsers. The cookie is 32 random bytes of which Postgres keeps the SHA-256; a session ends half an hour after
 * its last request, twelve hours after the login, with a logout, and when its person is disabled here. What the person may
 * do is what their identity says at each request, not what it said at the login.
 */
import { createHmac, randomBytes } from "node:crypto";
import { RederiveError } from "../errors.ts";
import { sha256 } from "../hash.ts";
import * as store from "../store/sessions.ts";
import type { Tx } from "../tx.ts";
import { type Actor, isRole } from "./roles.ts";

export interface Session {
  readonly actor: Actor;
  /** Goes with every request that changes something. Who cannot read the answers of this server does not know it. */
  readonly csrf: string;
  /** ISO instant; the session ends then at the latest. */
  readonly expiresAt: string;
}

const tokenShape = /^[A-Za-z0-9_-]{43}$/;

/**
 * Begins a session for an identity; `state` is of the login that led to it, and each leads to one alone. The session that the
 * browser had before is over. Gives the cookie's value. Throws `unauthenticated` for a login that was ended before.
 */
export async function openSession(
  tx: Tx,
  login: { readonly identity: string; readonly state: string; readonly replaces: string | undefined },
): Promise<string> {
  await store.deleteExpiredSessions(tx);
  if (login.replaces !== undefined) await store.deleteSession(tx, sha256(login.replaces));
  const token = randomBytes(32).toString("base64url");
  const row = { hash: sha256(token), identity: login.identity, state: sha256(login.state) };
  if (await store.insertSession(tx, row)) return token;
  throw new RederiveError("unauthenticated", "this login was ended before; begin again at /login");
}

/** Undefined where there is none, or it is over. */
export async function sessionOf(tx: Tx, token: string): Promise<Session | undefined> {
  if (!tokenShape.test(token)) return undefined;
  const row = await store.readSession(tx, sha256(token));
  if (row === undefined || !isRole(row.role)) return undefined;
  await store.touchSession(tx, row.id);
  const { person, role, identity, groups, expiresAt } = row;
  const actor = { name: person, person, role, identity, ...(groups === null ? {} : { groups }) };
  return { actor, csrf: createHmac("sha256", token).update("csrf").digest("base64url"), expiresAt };
}

export async function closeSession(tx: Tx, token: string): Promise<void> {
  await store.deleteSession(tx, sha256(token));
}
