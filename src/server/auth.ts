/**
 * Who sent a request. Programs send `Authorization: Bearer rdv_…`. A browser in which somebody has logged in sends the
 * cookie of its session. A browser opening a page for reading may send a token as the password of HTTP Basic (any user
 * name); Basic is not accepted elsewhere, because a browser sends it by itself and so on behalf of any page.
 *
 * In development, and only there, a request made on this machine without credentials is a local admin's.
 */
import type { Request, RequestHandler, Response } from "express";
import { RederiveError } from "../errors.ts";
import type { Actor, UseCase } from "../governance/roles.ts";
import type { Session } from "../governance/sessions.ts";
import { type FailedAttempts, tooMany } from "./attempts.ts";
import { isLocal } from "./guard.ts";
import type { RederivePort } from "./port.ts";
import { sessionIn, toLogin, wantsPage } from "./session.ts";
import { cookieOf, currentSite, type Site } from "./site.ts";

export interface AuthOptions {
  /** Accept the token as the password of HTTP Basic. */
  readonly basic: boolean;
  /** Accept the cookie of a session: not at all (default), for requests, or for pages, which lead to the login. */
  readonly sessions?: "requests" | "pages";
  /** False switches the local admin of development off. */
  readonly localAdmin: boolean;
  /** Shared by all that authenticates in one server, and not by its login. */
  readonly failures: FailedAttempts;
}

const localAdmin: Actor = { name: "local", role: "admin" };

/** Sets the actor of the request, or answers 401 with how to authenticate. */
export function authenticated(rederive: RederivePort, options: AuthOptions): RequestHandler {
  const { failures } = options;
  return async (request, response, next) => {
    const address = request.ip ?? "";
    const wait = failures.waitOf(address);
    if (wait > 0) tooMany(response, wait, "too many requests from this address had a wrong token");
    const { actor, session } = await senderOf(rederive, request, currentSite(response), options);
    if (actor === undefined) {
      const pages = options.sessions === "pages" && rederive.login !== undefined;
      if (pages && wantsPage(request)) return toLogin(request, response);
      // Nobody guesses without credentials.
      if (request.headers.authorization !== undefined) failures.note(address);
      // One value a scheme; a browser asks for a password when it sees Basic.
      const schemes =
        options.basic && !pages
          ? ['Basic realm="rederive", charset="UTF-8"', 'Bearer realm="rederive"']
          : ['Bearer realm="rederive"'];
      response.setHeader("WWW-Authenticate", schemes);
      throw new RederiveError("unauthenticated", "send a valid API token as Authorization: Bearer rdv_…");
    }
    response.locals["actor"] = actor;
    response.locals["session"] = session;
    const admission: Admission = (useCase, about) => rederive.admit(actor, useCase, about);
    response.locals["admission"] = admission;
    next();
  };
}

/** Answers 403 unless the actor may do this to the backfill that the path names, and puts a refused act on record. */
export function allowed(useCase: UseCase): RequestHandler {
  return async (request, response, next) => {
    const { id } = request.params;
    try {
      await admissionOf(response)(useCase, { backfill: typeof id === "string" ? id : undefined });
    } catch (error) {
      next(error);
      return;
    }
    next();
  };
}

/** The actor that `authenticated` found. */
export function currentActor(response: Response): Actor {
  return response.locals["actor"] as Actor;
}

type Admission = (useCase: UseCase, about: { readonly backfill: string | undefined }) => Promise<void>;

function admissionOf(response: Response): Admission {
  return response.locals["admission"] as Admission;
}

interface Sender {
  readonly actor?: Actor | undefined;
  readonly session?: Session | undefined;
}

async function senderOf(rederive: RederivePort, request: Request, site: Site, options: AuthOptions): Promise<Sender> {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const token = tokenIn(header, options.basic);
    return { actor: token === undefined ? undefined : await rederive.authenticate(token) };
  }
  const { login } = rederive;
  if (options.sessions !== undefined && login !== undefined && cookieOf(request, site, "session") !== undefined) {
    const session = await sessionIn(request, site, login);
    return { actor: session?.actor, session };
  }
  const mayBeLocal = options.localAdmin && rederive.settings.environment === "development";
  return { actor: mayBeLocal && isLocal(request) ? localAdmin : undefined };
}

function tokenIn(header: string, basic: boolean): string | undefined {
  const [, scheme = "", value = ""] = /^(\S+) +(\S+)$/.exec(header) ?? [];
  if (scheme.toLowerCase() === "bearer") return value;
  if (!basic || scheme.toLowerCase() !== "basic") return undefined;
  const credentials = Buffer.from(value, "base64").toString("utf8");
  return credentials.slice(credentials.indexOf(":") + 1);
}
