/** For load balancers, orchestrators and Prometheus: is the process alive, can it serve, what does it measure. */
import type { RequestHandler } from "express";
import type { Logger } from "pino";
import { RederiveError } from "../errors.ts";
import type { Readiness, RederivePort } from "./port.ts";

const probeMs = 5_000;

/** Alive: the process answers. It says nothing about Postgres, so that a restart is not the cure for a failover. */
export const healthz: RequestHandler = (_request, response) => {
  response.setHeader("Cache-Control", "no-store");
  response.type("text/plain").send("ok");
};

/** Ready: each part by name, and 503 where one is away. The reasons are in the log; this page is open to all. */
export function readyz(rederive: RederivePort, log: Logger): RequestHandler {
  return async (_request, response) => {
    const parts = await probe(rederive, log);
    const ready = parts.length > 0 && parts.every((part) => part.ok);
    const audit = parts.find((part) => part.audit !== undefined)?.audit;
    response.setHeader("Cache-Control", "no-store");
    response.status(ready ? 200 : 503).json({
      ready,
      parts: Object.fromEntries(parts.map((part) => [part.part, part.ok ? "ok" : "failed"])),
      ...(audit && { audit }),
    });
  };
}

/** Prometheus' text format. */
export function metricsPage(metrics: (() => Promise<string>) | undefined): RequestHandler {
  return async (_request, response) => {
    if (!metrics)
      throw new RederiveError("not_found", "this process keeps no metrics; unset OTEL_SDK_DISABLED and start it again");
    const text = await metrics();
    response.setHeader("Cache-Control", "no-store");
    response.type("text/plain; version=0.0.4; charset=utf-8").send(text);
  };
}

/** A probe that hangs is a part that is away; which one is then not known. */
async function probe(rederive: RederivePort, log: Logger): Promise<readonly Readiness[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new RederiveError("unavailable", `readiness took over ${probeMs} ms`)), probeMs);
  });
  try {
    return await Promise.race([rederive.readiness(), late]);
  } catch (error) {
    log.error({ err: error }, "readiness failed");
    return [];
  } finally {
    clearTimeout(timer);
  }
}
