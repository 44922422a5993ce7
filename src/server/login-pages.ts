/**
 * What browsers visit to log in and out: `/login`, where the issuer sends them back to (`/login/callback`), `/logout`, and the
 * first page, which says who is logged in. They need no script.
 */
import express, { type Request, type RequestHandler, Router } from "express";
import { isRederiveError } from "../errors.ts";
import { pendingSeconds } from "../governance/login.ts";
import { escapeHtml } from "../governance/report-page.ts";
import type { Session } from "../governance/sessions.ts";
import type { BrowserLogin } from "../usecases/browser-login.ts";
import { FailedAttempts, tooMany } from "./attempts.ts";
import { onlyReading } from "./guard.ts";
import type { RederivePort } from "./port.ts";
import { HttpError } from "./problem.ts";
import { requireOwnPage, sessionIn, toLogin } from "./session.ts";
import { cookieName, cookieOf, cookieOptions, currentSite, requireSafeSite, type Site } from "./site.ts";

export function loginPages(login: BrowserLogin): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.all(["/login", "/login/callback"], onlyReading);
  router.get("/login", begin(login));
  router.get("/login/callback", end(login));
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

function end(login: BrowserLogin): RequestHandler {
  // Not those of wrong tokens: any page can send browsers here, and whoever is logged in is not to suffer for it.
  const failures = new FailedAttempts();
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
      // Without the cookie nothing was tried. Another site's page can ask for this address, but not make that be sent.
      const tried = came.pending !== undefined && isRederiveError(error) && error.code === "unauthenticated";
      if (tried) failures.note(address);
      throw error;
    }
  };
}

/** Who is logged in, and where to go on. Without a session it leads to the login. */
export function firstPage(rederive: Pick<RederivePort, "admit">, login: BrowserLogin): RequestHandler {
  return async (request, response) => {
    const site = currentSite(response);
    const session = await sessionIn(request, site, login);
    if (session === undefined) {
      toLogin(request, response);
      return;
    }
    const seesQueues = await rederive.admit(session.actor, "queue.read").then(
      () => true,
      () => false,
    );
    const links = seesQueues ? `<p><a href="${escapeHtml(site.path)}/queues/">Queues</a></p>` : "";
    response.type("html").send(page(`${greetingOf(session, site)}${links}`));
  };
}

function logoutPage(login: BrowserLogin): RequestHandler {
  return async (request, response) => {
    const site = currentSite(response);
    const session = await sessionIn(request, site, login);
    const nobody = `<p>You are not logged in.</p><p><a href="${escapeHtml(site.path)}/login">Log in</a></p>`;
    response.type("html").send(page(session === undefined ? nobody : greetingOf(session, site)));
  };
}

/** With a form to log out. */
function greetingOf({ actor, csrf }: Session, site: Site): string {
  const field = `<input type="hidden" name="csrf" value="${escapeHtml(csrf)}">`;
  const form = `<form method="post" action="${escapeHtml(site.path)}/logout">${field}<button>Log out</button></form>`;
  return `<p>You are ${escapeHtml(actor.name)} (${actor.role}).</p>${form}`;
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
  const home = `${path}/`;
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
  const head = '<meta charset="utf-8"><title>rederive</title><link rel="icon" href="data:,">';
  return `<!doctype html><html lang="en"><head>${head}</head><body>${body}</body></html>`;
}
