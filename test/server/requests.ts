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
  finalizeBackfill: reason,
  retryBackfill: { dataset: "revenue", partitions: ["2001-01-31"], ...reason },
  approve: { act: "promote", digest: "a".repeat(64), comment: "seen" },
  requestChanges: { comment: "a day too wide" },
  comment: { comment: "looks right" },
  withdrawApproval: reason,
  promoteBackfill: { overrideWindow: true, ...reason },
  rollbackBackfill: { onLaterWrites: "keep", ...reason },
  checkBackfill: { stale: true },
  checkLive: { datasets: ["revenue"], partitions: ["2001-01-31"], stale: true },
  captureBaseline: { name: "revenue", dataset: "revenue", tolerance: { cents: "1%" }, severity: "warn", ...reason },
  approveBaseline: { version: 2, ...reason },
  retireBaseline: reason,
  verifyAudit: {},
  setLimit: { rate: { max: 50, perMs: 1_000 }, concurrency: null, ...reason },
};

/** Of routes that need one. */
const queries: Readonly<Record<string, string>> = {
  getRowLineage: "?key=id=1",
  getImpact: "?dataset=revenue&from=2001-01-01&to=2001-02-01",
};

export function requestOf(route: Route): { path: string; method: string; body?: unknown } {
  const path = `/api/v1${route.at.replace(":id", "bf_7k3m9x2q4d").replace(/:(name|dataset)/, "revenue")}${queries[route.operation] ?? ""}`;
  const method = route.method.toUpperCase();
  return method === "GET" ? { path, method } : { path, method, body: bodies[route.operation] };
}
