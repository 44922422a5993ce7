/**
 * Where people's browsers reach this server, and which cookies are safe there: over TLS ones that no other host and no
 * plain connection can set or see (`__Host-`), and on this machine, where browsers take these over TLS alone, plain ones.
 */
import type { CookieOptions, Request, RequestHandler, Response } from "express";
import { isLoopbackName, type ServerSettings } from "../config.ts";
import { RederiveError } from "../errors.ts";

export interface Site {
  /** Of its pages, as browsers name it. */
  readonly origin: string;
  /** Path of the application there, without a slash at its end. */
  readonly path: string;
  /** Path below which it is mounted in another application; empty for its own server. */
  readonly mount: string;
}

export type CookieKind = "session" | "login";

const cookieNames: Readonly<Record<CookieKind, string>> = { session: "rederive", login: "rederive-login" };

/** Finds out once for each request. Behind a proxy the settings say it, or the headers of one that is trusted. */
export function knowsSite({ publicUrl }: Pick<ServerSettings, "publicUrl">): RequestHandler {
  return (request, response, next) => {
    response.locals["site"] = siteOf(request, publicUrl);
    next();
  };
}

export function currentSite(response: Response): Site {
  return response.locals["site"] as Site;
}

/** Throws `configuration` where cookies and codes would travel in clear text. */
export function requireSafeSite({ origin }: Site): void {
  const { protocol, hostname } = new URL(origin);
  if (protocol === "https:" || isLoopbackName(hostname)) return;
  throw new RederiveError("configuration", `nobody logs in at ${origin}: set server.publicUrl to an https address`);
}

export function cookieName({ origin }: Pick<Site, "origin">, kind: CookieKind): string {
  return isEncrypted(origin) ? `__Host-${cookieNames[kind]}` : cookieNames[kind];
}

/** Sent with navigations from other sites, such as the one that comes back from the issuer, and with nothing else of theirs. */
export function cookieOptions({ origin }: Site): CookieOptions {
  return { httpOnly: true, secure: isEncrypted(origin), sameSite: "lax", path: "/" };
}

/** The value of a cookie that the request has. */
export function cookieOf(request: Request, site: Site, kind: CookieKind): string | undefined {
  const name = `${cookieName(site, kind)}=`;
  const pairs = (request.headers.cookie ?? "").split(";").map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(name))?.slice(name.length);
}

function siteOf(request: Request, publicUrl: string | undefined): Site {
  const mount = request.baseUrl;
  const asked = `${request.protocol}://${request.host}`;
  const address = new URL(publicUrl ?? (URL.canParse(asked) ? asked : "http://unknown.invalid"));
  return { origin: address.origin, path: `${address.pathname.replace(/\/$/, "")}${mount}`, mount };
}

function isEncrypted(origin: string): boolean {
  return origin.startsWith("https:");
}
