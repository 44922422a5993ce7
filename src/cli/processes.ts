/**
 * `rederive worker`, `planner` and `server`: the processes of a fleet. Each runs until SIGTERM or SIGINT and then
 * drains; a second signal ends it at once.
 */
import type { Command } from "commander";
import { logLevelFrom, telemetryVariables } from "../config.ts";
import { createLog, type Logger } from "../telemetry/log.ts";
import { startTelemetry, type Telemetry } from "../telemetry/sdk.ts";
import { wholeNumber } from "./numbers.ts";
import { type CommonOptions, withRederive } from "./open.ts";

interface ProcessOptions extends CommonOptions {
  readonly concurrency?: number;
  readonly host?: string;
  readonly port?: number;
}

/** What a process of the fleet is made of. */
interface Service {
  /** Resolves when it has ended, with the error if it had to. */
  readonly ended?: Promise<Error | undefined>;
  /** Drains; called again, it ends what is left at once. */
  stop(): Promise<void>;
}

export function addProcesses(program: Command): void {
  program
    .command("worker")
    .description("run tasks (needs DATABASE_URL, and REDIS_URL where the queues are in Redis)")
    .option("--concurrency <n>", "tasks at a time; each has a database connection of its own", wholeNumber(1, 256))
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ProcessOptions>();
      await withTelemetry("worker", ({ log }) =>
        withRederive(
          options,
          ({ rederive }) =>
            serve(async () => rederive.startWorker(options.concurrency === undefined ? {} : { concurrency: options.concurrency })),
          { fleet: true, log },
        ),
      );
    });
  program
    .command("planner")
    .description("release tasks to the queues and heal what was lost; start as many as you like, one of them leads")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ProcessOptions>();
      await withTelemetry("planner", ({ log }) =>
        withRederive(options, ({ rederive }) => serve(async () => rederive.startPlanner()), { fleet: true, log }),
      );
    });
  program
    .command("server")
    .description("serve the HTTP API, Bull Board (/queues), /healthz, /readyz and /metrics")
    .option("--host <address>", "address to listen on")
    .option("--port <n>", "port to listen on", wholeNumber(0, 65_535))
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ProcessOptions>();
      await withTelemetry("web", ({ log, metrics }) =>
        withRederive(
          options,
          async ({ rederive, output }) => {
            const { startServer } = await loadServer();
            await serve(async () => {
              const server = await startServer(rederive, { log, metrics });
              output.note(`rederive server listens on ${server.url}`);
              return { stop: () => server.close() };
            });
          },
          {
            fleet: true,
            log,
            change: (config) => ({
              ...config,
              server: { ...config.server, ...(options.host && { host: options.host }), ...(options.port !== undefined && { port: options.port }) },
            }),
          },
        ),
      );
    });
}

/** The server's packages are optional peers; say which are missing. */
export async function loadServer(): Promise<typeof import("../server/index.ts")> {
  return import("../server/index.ts");
}

/** Runs a service until a signal; resolves once it has stopped in order. */
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

/** Telemetry and a log for the life of a process. */
async function withTelemetry(
  role: "web" | "worker" | "planner",
  work: (process: { log: Logger; metrics: Telemetry["prometheus"] }) => Promise<void>,
): Promise<void> {
  const telemetry = await startTelemetry({ serviceName: "rederive", role, variables: telemetryVariables() });
  const log = createLog({ name: role, level: logLevelFrom() });
  log.info({ pid: process.pid }, `${role} starts`);
  try {
    await work({ log, metrics: telemetry.prometheus });
    log.info(`${role} has stopped`);
  } finally {
    await telemetry.shutdown();
  }
}
