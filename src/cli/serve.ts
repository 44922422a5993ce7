/** The life of a process that serves: it runs until SIGTERM or SIGINT and then drains; a second signal ends it at once. */

import { observeFleet } from "../telemetry/metrics.ts";
import type { Opened } from "./open.ts";
import { loadServer } from "./server-package.ts";

export interface Service {
  /** Resolves when it has ended, with the error if it had to. */
  readonly ended?: Promise<Error | undefined>;
  /** Drains; called again, it ends what is left at once. */
  stop(): Promise<void>;
}

/** Resolves once the service has stopped in order. */
export async function serve(start: () => Promise<Service>): Promise<void> {
  const service = await start();
  await new Promise<void>((resolve, reject) => {
    const onSignal = (): void => {
      service.stop().then(resolve, reject);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
    service.ended?.then((error) => (error === undefined ? resolve() : reject(error)), reject);
  });
}

/** The HTTP server of an opened instance, with the fleet's gauges among its metrics. */
export async function startWeb({ rederive, log, metrics }: Opened): Promise<Service & { readonly url: string }> {
  const { startServer } = await loadServer();
  const server = await startServer(rederive, { ...(log && { log }), metrics });
  const unobserve = observeFleet(() => rederive.fleet());
  return {
    url: server.url,
    stop: async () => {
      unobserve();
      await server.close();
    },
  };
}
