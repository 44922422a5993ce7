/**
 * Makes Express routes from the table. Each request passes the same steps: role, content type, body, validation, use
 * case inside a span, answer. Authentication and origin were checked before (see index.ts).
 */

import { SpanKind } from "@opentelemetry/api";
import express, { type Request, type RequestHandler, type Response, Router } from "express";
import type { z } from "zod";
import { RederiveError } from "../errors.ts";
import type { UseCase } from "../governance/roles.ts";
import { currentTraceId, withSpan } from "../telemetry/spans.ts";
import { allowed, currentActor } from "./auth.ts";
import { notTooDeep } from "./depth.ts";
import { type Download, sendDownload } from "./download.ts";
import { once } from "./once.ts";
import type { RederivePort } from "./port.ts";
import { HttpError } from "./problem.ts";
import { fewAtATime } from "./quota.ts";
import { apiRoot, type Route } from "./route.ts";
import { currentSession } from "./session.ts";

const largestBody = 256 * 1024;
const parseBody = express.json({ limit: largestBody, type: "application/json" });

/** What costs much, and how much of it one person may have made at a time. */
const quotas = [
  { useCases: new Set<UseCase>(["backfill.plan", "plan.preview"]), most: 4, what: "plans" },
  { useCases: new Set<UseCase>(["audit.export"]), most: 2, what: "exports" },
] as const;

export function routerOf(routes: readonly Route[], rederive: RederivePort): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const limited = quotas.map(({ useCases, most, what }) => ({ useCases, limit: fewAtATime(most, what) }));
  for (const route of routes) {
    const steps: RequestHandler[] = [allowed(route.useCase)];
    if (route.method !== "get") steps.push(onlyJson, parseBody, notTooDeep);
    const quota = limited.find(({ useCases }) => useCases.has(route.useCase));
    const answer = answerWith(route, rederive);
    router[route.method](route.at, ...steps, quota === undefined ? answer : quota.limit(answer));
  }
  for (const at of new Set(routes.map((route) => route.at))) router.all(at, otherMethod(routes, at));
  router.use(() => {
    throw new RederiveError("not_found", `the API has no such path; ${apiRoot}/openapi.json lists those that it has`);
  });
  return router;
}

function answerWith(route: Route, rederive: RederivePort): RequestHandler {
  return async (request, response) => {
    const call = {
      rederive,
      actor: currentActor(response),
      session: currentSession(response),
      path: parsed(route.path, request.params, "path"),
      query: parsed(route.query, request.query, "query"),
      // A method without a body was not given one to parse.
      body: parsed(route.body, (request.body as unknown) ?? {}, "body"),
    };
    const { produces } = route;
    if (produces !== undefined) {
      await traced(route, request, response, async () =>
        sendDownload(response, produces, (await route.run(call)) as Download),
      );
      return;
    }
    const answer = await once(rederive, request, call.actor, async () => {
      const result = await traced(route, request, response, () => route.run(call));
      const location = route.location ? `${request.baseUrl}${route.location(result)}` : null;
      return { status: route.status ?? 200, location, body: JSON.stringify(result) };
    });
    if (answer.location !== null) response.setHeader("Location", answer.location);
    if (answer.replayed) response.setHeader("Idempotency-Replayed", "true");
    response.status(answer.status).type("json").send(answer.body);
  };
}

/** The span continues the client's trace; its id becomes the one that problem documents name. */
async function traced(
  route: Route,
  request: Request,
  response: Response,
  run: () => Promise<unknown>,
): Promise<unknown> {
  const method = request.method;
  const attributes = {
    "http.request.method": method,
    "http.route": `${apiRoot}${route.at}`,
    "url.path": request.baseUrl + request.path,
    "user.name": currentActor(response).name,
  };
  const settings = { kind: SpanKind.SERVER, traceparent: request.get("traceparent") };
  return await withSpan(
    `${method} ${apiRoot}${route.at}`,
    attributes,
    async () => {
      response.locals["traceId"] = currentTraceId() ?? response.locals["traceId"];
      return await run();
    },
    settings,
  );
}

/** A body must say that it is JSON: a form of another site can be sent without the browser asking us first. */
const onlyJson: RequestHandler = (request, _response, next) => {
  const hasBody =
    request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
  if (!hasBody || request.is("application/json")) next();
  else next(new HttpError("unsupported_media_type", "send the body as JSON with Content-Type: application/json"));
};

function otherMethod(routes: readonly Route[], at: string): RequestHandler {
  const methods = routes.filter((route) => route.at === at).map((route) => route.method.toUpperCase());
  const allow = methods.includes("GET") ? [...methods, "HEAD"] : methods;
  return (request, response) => {
    response.setHeader("Allow", allow.join(", "));
    throw new HttpError("method_not_allowed", `${request.method} is not allowed here; use ${allow.join(" or ")}`);
  };
}

/** Throws `usage`, or `unknown_field` where the only fault is a surplus, with every fault named. */
function parsed<Value>(schema: z.ZodType<Value>, input: unknown, place: "path" | "query" | "body"): Value {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => ({
    at: [place, ...issue.path].join("."),
    message: issue.message,
  }));
  const text = faults.map((fault) => `${fault.at}: ${fault.message}`).join("; ");
  const surplus = result.error.issues.some((issue) => issue.code === "unrecognized_keys");
  if (surplus) throw new HttpError("unknown_field", text, { faults });
  throw new RederiveError("usage", text, { details: { faults } });
}
