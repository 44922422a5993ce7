/** What browsers visit to log in and out: `/login`, where the issuer sends them back to (`/login/callback`), and `/logout`. */
import express, { type Request, type RequestHandler, Router } from "express";
import { isRederiveError } from "../errors.ts";
import { pendingSeconds } from "../governance/login.ts";
import { escapeHtml } from "../governance/report-page.ts";
import type { BrowserLogin } from "../usecases/browser-login.ts";
import { type FailedAttempts, tooMany } from "./attempts.ts";
import { onlyReading } from "./guard.ts";
import { HttpError } from "./problem.ts";
import { requireOwnPage, sessionIn } from "./session.ts";
import { cookieName, cookieOf, cookieOptions, currentSite, requireSafeSite, type Site } from "./site.ts";

export interface LoginPagesOptions {
  readonly login: BrowserLogin;
  readonly failures: FailedAttempts;
}

export function loginPages(options: LoginPagesOptions): Router {
  const { login } = options;
  const router = Router({ caseSensitive: true, strict: true });
  router.all(["/login", "/login/callback"], onlyReading);
  router.get("/login", begin(login));
  router.get("/login/callback", end(options));
  router.get("/logout", logoutPage(login));
  router.post("/logout", express.urlencoded({ limit: 1_024, extended: false }), logOut(login));
  router.all("/logout", (_request, response) => {
    response.setHeader("Allow", "GET, HEAD, POST");
    throw new HttpError("method_not_allowed", "log out with POST");
  });
  return router;
}

function begin(login: BrowserLogin): RequestHandler {
  return async (request, response) => {
    const site = currentSite(response);
    requireSafeSite(site);
    const { url, pending } = await login.begin(callbackOf(site), returnPath(request.query["returnTo"], site));
    const lasting = { ...cookieOptions(site), maxAge: pendingSeconds * 1_000 };
    response.cookie(cookieName(site, "login"), pending, lasting);
    response.redirect(302, url);
  };
}

function end({ login, failures }: LoginPagesOptions): RequestHandler {
  return async (request, response) => {
    const address = request.ip ?? "";
    const wait = failures.waitOf(address);
    if (wait > 0) tooMany(response, wait, "too many logins from this address did not succeed");
    const site = currentSite(response);
    requireSafeSite(site);
    const came = {
      url: new URL(`${callbackOf(site)}${queryOf(request)}`),
      pending: cookieOf(request, site, "login"),
      session: cookieOf(request, site, "session"),
    };
    response.clearCookie(cookieName(site, "login"), cookieOptions(site));
    try {
      const { session, returnTo } = await login.end(came);
      response.cookie(cookieName(site, "session"), session, cookieOptions(site));
      response.redirect(302, returnTo);
    } catch (error) {
      if (isRederiveError(error) && error.code === "unauthenticated") failures.note(address);
      throw error;
    }
  };
}

/** A form, so that logging out needs no script; without a session it says so, and how to begin one. */
function logoutPage(login: BrowserLogin): RequestHandler {
  return async (request, response) => {
    const site = currentSite(response);
    const session = await sessionIn(request, site, login);
    const path = escapeHtml(site.path);
    if (session === undefined) {
      response.type("html").send(page(`<p>You are not logged in.</p><p><a href="${path}/login">Log in</a></p>`));
      return;
    }
    const { name, role } = session.actor;
    const field = `<input type="hidden" name="csrf" value="${escapeHtml(session.csrf)}">`;
    const form = `<form method="post" action="${path}/logout">${field}<button>Log out</button></form>`;
    response.type("html").send(page(`<p>You are ${escapeHtml(name)} (${role}).</p>${form}`));
  };
}

function logOut(login: BrowserLogin): RequestHandler {
  return async (request, response) => {
    const site = currentSite(response);
    const session = await sessionIn(request, site, login);
    const token = cookieOf(request, site, "session");
    if (session !== undefined && token !== undefined) {
      requireOwnPage(request, site, session);
      await login.logOut(token);
    }
    response.clearCookie(cookieName(site, "session"), cookieOptions(site));
    if (request.accepts(["json", "html"]) === "html") response.redirect(303, `${site.path}/logout`);
    else response.status(204).end();
  };
}

function callbackOf({ origin, path }: Site): string {
  return `${origin}${path}/login/callback`;
}

/**
 * Back to a page of this server and to nowhere else, whatever the link to the login said. Addresses are taken apart as
 * browsers do it, which also read `\` as `/` and fold `..`.
 */
function returnPath(wish: unknown, { path }: Site): string {
  const home = `${path}/queues/`;
  if (typeof wish !== "string" || !/^\/[\x21-\x5b\x5d-\x7e]*$/.test(wish)) return home;
  const here = "http://here.invalid";
  const { origin, pathname, search } = new URL(wish, here);
  return origin === here && !pathname.startsWith("//") ? `${pathname}${search}` : home;
}

function queryOf(request: Request): string {
  const at = request.originalUrl.indexOf("?");
  return at < 0 ? "" : request.originalUrl.slice(at);
}

function page(body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>rederive</title></head><body>${body}</body></html>`;
}
