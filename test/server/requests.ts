/** A valid request for every route of the table, so that tests can go through all of them. */
import type { Route } from "../../src/server/route.ts";

const reason = { reason: "checked with finance" };

const bodies: Readonly<Record<string, unknown>> = {
  previewPlan: { datasets: ["revenue"], window: { from: "2001-01-01", to: "2001-02-01" }, ...reason },
  createBackfill: { changes: true, ...reason },
  startBackfill: {},
  pauseBackfill: reason,
  resumeBackfill: reason,
  cancelBackfill: reason,
  retryBackfill: { dataset: "revenue", partitions: ["2001-01-31"], ...reason },
  promoteBackfill: reason,
  rollbackBackfill: { onLaterWrites: "keep", ...reason },
  setLimit: { rate: { max: 50, perMs: 1_000 }, concurrency: null, ...reason },
};

export function requestOf(route: Route): { path: string; method: string; body?: unknown } {
  const path = `/api/v1${route.at.replace(":id", "bf_7k3m9x2q4d").replace(":name", "revenue")}`;
  const method = route.method.toUpperCase();
  return method === "GET" ? { path, method } : { path, method, body: bodies[route.operation] };
}
