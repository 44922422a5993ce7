/** Login of people in browsers, as the server uses it: begin, end, look a session up, log out. */
import type { Settings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import { actorOfIdentity } from "../governance/identities.ts";
import { type BegunLogin, Login } from "../governance/login.ts";
import { closeSession, openSession, type Session, sessionOf } from "../governance/sessions.ts";
import { appendAudit } from "../store/audit.ts";
import type { Database } from "../tx.ts";

export interface LoginReturn {
  /** Where the browser was sent back to, whole. */
  readonly url: URL;
  /** What it was given when the login began. */
  readonly pending: string | undefined;
  /** Of the session that it had before, which is over then. */
  readonly session: string | undefined;
}

export interface BrowserLogin {
  /** Throws `unavailable` where the issuer cannot be reached. */
  begin(redirectUri: string, returnTo: string): Promise<BegunLogin>;
  /** Throws `unauthenticated` for a login that did not succeed, `forbidden` for somebody without a role. */
  end(came: LoginReturn): Promise<{ readonly session: string; readonly returnTo: string }>;
  /** Undefined where it is unknown or over. */
  session(token: string): Promise<Session | undefined>;
  logOut(token: string): Promise<void>;
}

type LoginSettings = Pick<Settings, "server" | "oidcClientSecret">;

/** Undefined where none is configured. Throws `configuration` without the secret of the client. */
export function browserLogin(database: Database, settings: LoginSettings): BrowserLogin | undefined {
  const login = loginOf(settings);
  if (login === undefined) return undefined;
  return {
    begin: (redirectUri, returnTo) => login.begin(redirectUri, returnTo),
    end: (came) => end(database, login, came),
    session: (token) => sessionOf(database, token),
    logOut: (token) => logOut(database, token),
  };
}

export function loginOf({ server: { oidc }, oidcClientSecret }: LoginSettings): Login | undefined {
  if (oidc?.login === undefined) return undefined;
  const { login, ...issuer } = oidc;
  if (oidcClientSecret !== undefined) return new Login(issuer, { ...login, clientSecret: oidcClientSecret });
  throw new RederiveError(
    "configuration",
    `for people to log in, set REDERIVE_OIDC_CLIENT_SECRET to the secret that the issuer gave the client ${login.clientId}`,
  );
}

async function end(database: Database, login: Login, came: LoginReturn): ReturnType<BrowserLogin["end"]> {
  const { known, returnTo, state } = await login.end(came.url, came.pending);
  const { identity, name } = await actorOfIdentity(database, known);
  const session = await database.transaction(async (tx) => {
    const token = await openSession(tx, { identity, state, replaces: came.session });
    await appendAudit(tx, { actor: name, act: "session.login" });
    return token;
  });
  return { session, returnTo };
}

async function logOut(database: Database, token: string): Promise<void> {
  await database.transaction(async (tx) => {
    const session = await sessionOf(tx, token);
    await closeSession(tx, token);
    if (session !== undefined) await appendAudit(tx, { actor: session.actor.name, act: "session.logout" });
  });
}
