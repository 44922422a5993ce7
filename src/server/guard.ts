/** What is decided about a request before anybody asks who sent it: its origin, its method, its trace id. */
import { randomBytes } from "node:crypto";
import { isIPv4 } from "node:net";
import type { Request, RequestHandler } from "express";
import helmet from "helmet";
import { HttpError } from "./problem.ts";

/** Methods that change nothing. */
export const reading: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

const contentPolicy = {
  "default-src": ["'self'"],
  "img-src": ["'self'", "data:"],
  "object-src": ["'none'"],
  "base-uri": ["'self'"],
  "form-action": ["'self'"],
  "frame-ancestors": ["'none'"],
};

/** Strict headers for everything of ours. Pages are our own files: no inline script or style, no other host. */
export const securityHeaders: RequestHandler = helmet({
  contentSecurityPolicy: { useDefaults: false, directives: contentPolicy },
  xFrameOptions: { action: "deny" },
  // Only sent over TLS, below: over plain HTTP it means nothing.
  strictTransportSecurity: false,
});

/** The queue board has one inline style, the colours of its Redis icon, allowed by hash. Without it the icon is black. */
export const boardHeaders: RequestHandler = helmet.contentSecurityPolicy({
  useDefaults: false,
  directives: { ...contentPolicy, "style-src": ["'self'", "'sha256-r2N1TB/gHbBtBZFKg7ejmq1acVSREzucTAEw6ga4hoU='"] },
});

export const prepareRequest: RequestHandler = (request, response, next) => {
  // Replaced by the trace's own id where the request is traced.
  response.locals["traceId"] = randomBytes(16).toString("hex");
  response.removeHeader("X-Powered-By");
  if (request.secure) response.setHeader("Strict-Transport-Security", "max-age=31536000; includeSubDomains");
  next();
};

export const noStore: RequestHandler = (_request, response, next) => {
  response.setHeader("Cache-Control", "no-store");
  next();
};

/**
 * Refuses unsafe methods that a page of another site made a browser send. Browsers say so in Sec-Fetch-Site; those
 * that do not send it send Origin. Programs send neither.
 */
export const refuseCrossSite: RequestHandler = (request, _response, next) => {
  if (reading.has(request.method) || !comesFromElsewhere(request)) next();
  else next(new HttpError("csrf", "this method is not accepted from pages of another site; call the API directly"));
};

/** Lets only GET and HEAD through; the rest is 405. */
export const onlyReading: RequestHandler = (request, response, next) => {
  if (request.method === "GET" || request.method === "HEAD") next();
  else {
    response.setHeader("Allow", "GET, HEAD");
    next(new HttpError("method_not_allowed", `${request.method} is not allowed here; this page is for reading only`));
  }
};

/**
 * Whether the request was made on this machine by a program that knew it: a loopback peer, no sign of a proxy (behind
 * one every request has a loopback peer), and a loopback name in Host, so that a page whose name was made to resolve
 * to 127.0.0.1 does not count.
 */
export function isLocal(request: Request): boolean {
  const proxied = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"].some(
    (name) => request.headers[name],
  );
  return !proxied && isLoopback(request.socket.remoteAddress ?? "") && isLoopbackName(request.headers.host ?? "");
}

function comesFromElsewhere(request: Request): boolean {
  const site = request.headers["sec-fetch-site"];
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const origin = request.headers.origin;
  return origin !== undefined && origin.replace(/^[a-z]+:\/\//i, "") !== request.headers.host;
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, "");
  return plain === "::1" || (isIPv4(plain) && plain.startsWith("127."));
}

function isLoopbackName(host: string): boolean {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  return name === "localhost" || name === "[::1]" || isLoopback(name);
}
