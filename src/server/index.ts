/**
 * The HTTP server: `/api/v1`, the queue board under `/queues`, `/healthz`, `/readyz` and `/metrics`; where people log in with
 * a browser, `/login` and `/logout` as well.
 *
 * `createApp` gives an Express application to mount in another one, at any path; it answers its own paths alone.
 * `startServer` listens. Open are `/healthz`, `/readyz` and the login; everything else asks for a token or a session.
 */
import { createServer as createHttpServer, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import express, { type Express, type RequestHandler } from "express";
import type { Logger } from "pino";
import { isLoopbackName } from "../config.ts";
import { RederiveError } from "../errors.ts";
import { createLog } from "../telemetry/log.ts";
import { FailedAttempts } from "./attempts.ts";
import { allowed, authenticated } from "./auth.ts";
import { queueBoard } from "./board.ts";
import {
  boardHeaders,
  isLocal,
  noStore,
  onlyReading,
  prepareRequest,
  refuseCrossSite,
  securityHeaders,
} from "./guard.ts";
import { healthz, metricsPage, readyz } from "./health.ts";
import { firstPage, loginPages } from "./login-pages.ts";
import type { RederivePort } from "./port.ts";
import { problemHandler } from "./problem.ts";
import { apiRoot } from "./route.ts";
import { routerOf } from "./router.ts";
import { routes } from "./routes.ts";
import { ownPagesAlone } from "./session.ts";
import { currentSite, knowsSite, type Site } from "./site.ts";
import { readCertificate } from "./tls.ts";

export type { RederivePort } from "./port.ts";

export interface AppOptions {
  /** Default: JSON lines on standard error. */
  readonly log?: Logger;
  /** Gives the text behind `/metrics` (see `startTelemetry`); without it the page is 404. */
  readonly metrics?: (() => Promise<string>) | undefined;
  /** In development, requests from this machine act as a local admin. Default true; production never does. */
  readonly localAdmin?: boolean;
}

export interface ServerOptions extends AppOptions {
  /** Default: the settings' host. */
  readonly host?: string;
  /** Default: the settings' port; 0 takes a free one. */
  readonly port?: number;
  /** How long `close` waits for running requests. Default 10,000. */
  readonly drainMs?: number;
}

export interface RunningServer {
  /** For example http://127.0.0.1:3000 */
  readonly url: string;
  /** Takes no new requests, lets running ones end within `drainMs`, then cuts the rest. Idempotent. */
  close(): Promise<void>;
}

export function createApp(rederive: RederivePort, options: AppOptions = {}): Express {
  return applicationOf(rederive, options, ({ mount }) => mount !== "");
}

/** `hasFirstPage`: whether `/` is the application's, and not that of one in which it is mounted. */
function applicationOf(rederive: RederivePort, options: AppOptions, hasFirstPage: (site: Site) => boolean): Express {
  const log = options.log ?? createLog({ name: "web" });
  const localAdmin = options.localAdmin ?? true;
  const who = { localAdmin, failures: new FailedAttempts() };
  const app = express();
  app.disable("x-powered-by");
  app.set("trust proxy", rederive.settings.server.proxies);
  app.use(knowsSite(rederive.settings.server));
  app.use(
    [apiRoot, "/queues", "/healthz", "/readyz", "/metrics", "/login", "/logout"],
    prepareRequest,
    securityHeaders,
  );

  app.use("/healthz", onlyReading, atItsRoot(healthz));
  app.use("/readyz", onlyReading, atItsRoot(readyz(rederive, log)));
  app.use(
    "/metrics",
    onlyReading,
    exceptLocally(authenticated(rederive, { ...who, basic: true }), allowed("metrics.read")),
  );
  app.use("/metrics", atItsRoot(metricsPage(options.metrics)));

  app.use(apiRoot, noStore, refuseCrossSite);
  app.use(apiRoot, authenticated(rederive, { ...who, basic: false, sessions: "requests" }), ownPagesAlone);
  app.use(apiRoot, routerOf(routes, rederive));

  app.use("/queues", authenticated(rederive, { ...who, basic: true, sessions: "pages" }));
  app.use("/queues", allowed("queue.read"), onlyReading);
  app.use("/queues", boardHeaders, queueBoard(rederive.queues, { logout: rederive.login !== undefined }), nowhere);

  const { login } = rederive;
  if (login !== undefined) {
    app.use(["/login", "/logout"], noStore);
    app.use(loginPages(login));
    const isOurs: RequestHandler = (_request, response, next) =>
      hasFirstPage(currentSite(response)) ? next() : next("route");
    app.get("/", isOurs, prepareRequest, securityHeaders, noStore, firstPage(rederive, login));
  }

  app.use(problemHandler(log));
  return app;
}

export async function startServer(rederive: RederivePort, options: ServerOptions = {}): Promise<RunningServer> {
  const log = options.log ?? createLog({ name: "web" });
  const app = express();
  app.disable("x-powered-by");
  const own = applicationOf(rederive, { ...options, log }, () => true);
  app.use(own, prepareRequest, securityHeaders, nowhere, problemHandler(log));
  const host = options.host ?? rederive.settings.server.host;
  requireSafeAddress(rederive.settings, host);
  const server = serverFor(rederive.settings, app);
  await listen(server, options.port ?? rederive.settings.server.port, host);
  const url = urlOf(rederive.settings, server.address() as AddressInfo);
  log.info({ url }, "listening");
  let closing: Promise<void> | undefined;
  return {
    url,
    close: () => {
      closing ??= drain(server, options.drainMs ?? 10_000);
      return closing;
    },
  };
}

function serverFor({ server: { tls } }: RederivePort["settings"], app: Express): Server {
  // Slow senders are cut off; how long a use case takes is not limited.
  const limits = { requestTimeout: 30_000, headersTimeout: 15_000 };
  return tls === undefined
    ? createHttpServer(limits, app)
    : createHttpsServer({ ...limits, ...readCertificate(tls) }, app);
}

/** Tokens do not travel in clear text: in production the server or a proxy ends TLS for whatever is not on this machine alone. */
function requireSafeAddress({ environment, server: { publicUrl, tls } }: RederivePort["settings"], host: string): void {
  if (environment !== "production" || isLoopbackName(host)) return;
  if (tls !== undefined || publicUrl?.startsWith("https:")) return;
  throw new RederiveError(
    "configuration",
    `in production the server does not listen on ${host} without TLS; listen on 127.0.0.1, set server.tls to a ` +
      "certificate, or server.publicUrl to the https address of the proxy in front of it",
  );
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      const advice = taken
        ? "is in use; choose another with PORT or --port"
        : `cannot be used (${error.code ?? error.message})`;
      reject(new RederiveError("configuration", `port ${port} on ${host} ${advice}`, { cause: error }));
    });
    server.listen(port, host, () => resolve());
  });
}

async function drain(server: Server, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection turns idle when its last request ends, and clients keep idle ones for their next.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const deadline = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(deadline);
}

function urlOf({ server: { tls } }: RederivePort["settings"], { address, family, port }: AddressInfo): string {
  return `${tls === undefined ? "http" : "https"}://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}

const nowhere: RequestHandler = () => {
  throw new RederiveError("not_found", "there is nothing at this path");
};

/** A page has no paths below it. */
function atItsRoot(page: RequestHandler): RequestHandler {
  return (request, response, next) => (request.path === "/" ? page : nowhere)(request, response, next);
}

/** Scraping from this machine needs no token. */
function exceptLocally(...checks: readonly [RequestHandler, RequestHandler]): RequestHandler {
  const [first, second] = checks;
  return (request, response, next) => {
    if (isLocal(request)) next();
    else return first(request, response, (error?: unknown) => (error ? next(error) : second(request, response, next)));
  };
}
