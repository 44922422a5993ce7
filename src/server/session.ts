/**
 * Requests that come with a browser's session. A browser sends the cookie by itself, also where a page of another site
 * made it; so whatever changes something has to come from a page of ours, by what the browser says of it and by a token
 * that other sites cannot read.
 */
import { timingSafeEqual } from "node:crypto";
import type { Request, RequestHandler, Response } from "express";
import type { Session } from "../governance/sessions.ts";
import type { BrowserLogin } from "../usecases/browser-login.ts";
import { reading } from "./guard.ts";
import { HttpError } from "./problem.ts";
import { cookieOf, currentSite, type Site } from "./site.ts";

export const csrfHeader = "X-CSRF-Token";

/** The session that the request's cookie is of; undefined without one, or where it is over. */
export async function sessionIn(request: Request, site: Site, login: BrowserLogin): Promise<Session | undefined> {
  const token = cookieOf(request, site, "session");
  return token === undefined ? undefined : login.session(token);
}

/** The session that `authenticated` found; undefined where the request came with a token. */
export function currentSession(response: Response): Session | undefined {
  return response.locals["session"] as Session | undefined;
}

/** Refuses what changes something by a session and does not come from a page of ours. */
export const ownPagesAlone: RequestHandler = (request, response, next) => {
  const session = currentSession(response);
  if (session !== undefined && !reading.has(request.method)) requireOwnPage(request, currentSite(response), session);
  next();
};

/** Throws 403 `csrf`. The token is in a header or, from a form, in the field `csrf`. */
export function requireOwnPage(request: Request, { origin }: Site, { csrf }: Session): void {
  const from = request.headers["sec-fetch-site"];
  const isOurs = from === undefined ? request.headers.origin === origin : from === "same-origin";
  if (!isOurs) throw new HttpError("csrf", "with a session this is accepted from pages of this server alone");
  const { csrf: field } = (request.body ?? {}) as { readonly csrf?: unknown };
  const sent = Buffer.from(request.get(csrfHeader) ?? (typeof field === "string" ? field : ""));
  const right = Buffer.from(csrf);
  if (sent.length === right.length && timingSafeEqual(sent, right)) return;
  throw new HttpError("csrf", `send the header ${csrfHeader} with the value that GET /api/v1/session gives`);
}

/** Whether a person waits for a page, who is better sent to the login than told that they are nobody. */
export function wantsPage(request: Request): boolean {
  return (
    (request.method === "GET" || request.method === "HEAD") &&
    request.headers.authorization === undefined &&
    request.accepts(["json", "html"]) === "html"
  );
}

export function toLogin(request: Request, response: Response): void {
  response.setHeader("Cache-Control", "no-store");
  const { path, mount } = currentSite(response);
  const returnTo = `${path}${request.originalUrl.slice(mount.length)}`;
  response.redirect(302, `${path}/login?returnTo=${encodeURIComponent(returnTo)}`);
}
