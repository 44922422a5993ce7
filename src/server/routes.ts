/**
 * The API as one table. The router, the OpenAPI document and the tests' role × route matrix are all made from it, so
 * a route that is not here does not exist, and one that is here is checked, documented and tested.
 */
import { approvalRoutes } from "./approval-routes.ts";
import { auditRoutes } from "./audit-routes.ts";
import { lineageRoutes } from "./lineage-routes.ts";
import { openApiOf } from "./openapi.ts";
import { proofRoutes } from "./proof-routes.ts";
import * as accept from "./requests.ts";
import * as answer from "./responses.ts";
import { backfillOf, type Route, route } from "./route.ts";
import { sessionRoutes } from "./session-routes.ts";

const nothing = { path: accept.noFields, query: accept.noFields, body: accept.noFields };
const ofBackfill = { ...nothing, path: accept.backfillPath };

export const routes: readonly Route[] = [
  route({
    ...nothing,
    operation: "previewPlan",
    method: "post",
    at: "/plans",
    useCase: "plan.preview",
    summary: "Plan without storing: what would be recomputed, reused and skipped, and why",
    body: accept.planBody,
    answer: answer.plan,
    run: ({ rederive, actor, body }) => rederive.as(actor).preview(body),
  }),
  route({
    ...nothing,
    operation: "createBackfill",
    method: "post",
    at: "/backfills",
    useCase: "backfill.plan",
    summary: "Plan and store a backfill; nothing runs before it is started",
    body: accept.planBody,
    answer: answer.plannedBackfill,
    status: 201,
    run: async ({ rederive, actor, body }) => {
      const backfill = await rederive.as(actor).plan(body);
      return { backfill: backfill.id, plan: backfill.plan };
    },
    location: (made) => `/backfills/${made.backfill}`,
  }),
  route({
    ...nothing,
    operation: "listBackfills",
    method: "get",
    at: "/backfills",
    useCase: "backfill.read",
    summary: "Backfills, newest first",
    query: accept.listQuery,
    answer: answer.statusList,
    run: async ({ rederive, actor, query }) => ({
      backfills: await rederive.as(actor).backfills({ limit: 50, ...query }),
    }),
  }),
  route({
    ...ofBackfill,
    operation: "getBackfill",
    method: "get",
    at: "/backfills/:id",
    useCase: "backfill.read",
    summary: "State, progress, troubles and failed checks of a backfill",
    answer: answer.status,
    run: async (call) => (await backfillOf(call)).status(),
  }),
  route({
    ...ofBackfill,
    operation: "getPlan",
    method: "get",
    at: "/backfills/:id/plan",
    useCase: "backfill.read",
    summary: "The plan that a backfill carries out",
    answer: answer.plan,
    run: async (call) => (await backfillOf(call)).plan,
  }),
  route({
    ...ofBackfill,
    operation: "startBackfill",
    method: "post",
    at: "/backfills/:id/start",
    useCase: "backfill.start",
    summary: "Start a planned backfill: its tasks are queued for the workers",
    body: accept.startBody,
    answer: answer.status,
    run: async (call) => (await backfillOf(call)).start(),
  }),
  route({
    ...ofBackfill,
    operation: "pauseBackfill",
    method: "post",
    at: "/backfills/:id/pause",
    useCase: "backfill.pause",
    summary: "Start no new tasks; running ones end",
    body: accept.reasonBody,
    answer: answer.status,
    run: async (call) => (await backfillOf(call)).pause(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "resumeBackfill",
    method: "post",
    at: "/backfills/:id/resume",
    useCase: "backfill.resume",
    summary: "Go on after a pause, release a hold, or let a phase pass that waits for approval",
    body: accept.resumeBody,
    answer: answer.status,
    run: async (call) => {
      const { reason, phase } = call.body;
      const backfill = await backfillOf(call);
      return phase === undefined ? backfill.resume({ reason }) : backfill.approvePhase({ phase, reason });
    },
  }),
  route({
    ...ofBackfill,
    operation: "cancelBackfill",
    method: "post",
    at: "/backfills/:id/cancel",
    useCase: "backfill.cancel",
    summary: "Give a backfill up; live tables stay as they are",
    body: accept.reasonBody,
    answer: answer.status,
    run: async (call) => (await backfillOf(call)).cancel(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "finalizeBackfill",
    method: "post",
    at: "/backfills/:id/finalize",
    useCase: "backfill.finalize",
    summary: "Give up the way back from a promotion, for good, and drop what it would have needed",
    body: accept.reasonBody,
    answer: answer.status,
    run: async (call) => (await backfillOf(call)).finalize(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "retryBackfill",
    method: "post",
    at: "/backfills/:id/retry",
    useCase: "backfill.retry",
    summary: "Try failed and quarantined tasks again, or the named partitions of a dataset",
    body: accept.retryBody,
    answer: answer.status,
    run: async (call) => (await backfillOf(call)).retry(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "promoteBackfill",
    method: "post",
    at: "/backfills/:id/promote",
    useCase: "backfill.promote",
    summary: "Make the candidates of a verified backfill live, in one transaction",
    body: accept.promoteBody,
    answer: answer.mergeReport,
    run: async (call) => (await backfillOf(call)).promote(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "rollbackBackfill",
    method: "post",
    at: "/backfills/:id/rollback",
    useCase: "backfill.rollback",
    summary: "Put back what a promotion replaced",
    body: accept.rollbackBody,
    answer: answer.mergeReport,
    run: async (call) => (await backfillOf(call)).rollback(call.body),
  }),
  route({
    ...ofBackfill,
    operation: "getDiff",
    method: "get",
    at: "/backfills/:id/diff",
    useCase: "backfill.diff",
    summary: "How the candidates differ from live, dataset by dataset",
    query: accept.diffQuery,
    answer: answer.diff,
    run: async (call) => (await backfillOf(call)).diff({ samples: 0, ...call.query }),
  }),
  ...approvalRoutes,
  ...proofRoutes,
  ...auditRoutes,
  ...lineageRoutes,
  ...sessionRoutes,
  route({
    ...nothing,
    operation: "listLimits",
    method: "get",
    at: "/limits",
    useCase: "limit.read",
    summary: "Rate and concurrency limits in force",
    answer: answer.limitList,
    run: async ({ rederive, actor }) => ({ limits: await rederive.as(actor).limits() }),
  }),
  route({
    ...nothing,
    operation: "setLimit",
    method: "put",
    at: "/limits/:name",
    useCase: "limit.set",
    summary: "Change a limit for the whole fleet, at once",
    path: accept.limitPath,
    body: accept.limitBody,
    answer: answer.limitSetting,
    run: ({ rederive, actor, path, body: { reason, ...limit } }) =>
      rederive.as(actor).setLimit(path.name, limit, reason),
  }),
  route({
    ...nothing,
    operation: "getCatalog",
    method: "get",
    at: "/catalog",
    useCase: "catalog.read",
    summary: "The graph of datasets and exposures",
    answer: answer.catalogGraph,
    run: ({ rederive, actor }) => rederive.as(actor).graph(),
  }),
  route({
    ...nothing,
    operation: "getOpenApi",
    method: "get",
    at: "/openapi.json",
    useCase: "catalog.read",
    summary: "This API as an OpenAPI 3.1 document",
    answer: answer.openApiDocument,
    run: () => openApiOf(routes),
  }),
];
