/** `rederive worker`, `planner` and `server`: the processes of a fleet. */
import type { Command } from "commander";
import type { Config } from "../config.ts";
import { wholeNumber } from "./numbers.ts";
import { type CommonOptions, withRederive } from "./open.ts";
import { serve, startWeb } from "./serve.ts";

interface ProcessOptions extends CommonOptions {
  readonly concurrency?: number;
  readonly host?: string;
  readonly port?: number;
}

export function addProcesses(program: Command): void {
  program
    .command("worker")
    .description("run tasks (needs DATABASE_URL, and REDIS_URL where the queues are in Redis)")
    .option("--concurrency <n>", "tasks at a time; each has a database connection of its own", wholeNumber(1, 256))
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ProcessOptions>();
      const { concurrency } = options;
      await withRederive(
        options,
        ({ rederive }) => serve(() => rederive.startWorker(concurrency === undefined ? {} : { concurrency })),
        { role: "worker", lock: "compare" },
      );
    });
  program
    .command("planner")
    .description("release tasks to the queues and heal what was lost; start as many as you like, one of them leads")
    .action(async (_options: unknown, command: Command) => {
      await withRederive(
        command.optsWithGlobals<ProcessOptions>(),
        ({ rederive }) => serve(async () => rederive.startPlanner()),
        { role: "planner", lock: "compare" },
      );
    });
  program
    .command("server")
    .description("serve the HTTP API, Bull Board (/queues), /healthz, /readyz and /metrics")
    .option("--host <address>", "address to listen on")
    .option("--port <n>", "port to listen on", wholeNumber(0, 65_535))
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ProcessOptions>();
      await withRederive(
        options,
        (opened) =>
          serve(async () => {
            const web = await startWeb(opened);
            opened.output.note(`rederive server listens on ${web.url}`);
            return web;
          }),
        { role: "web", lock: "compare", change: (config) => listeningAt(config, options) },
      );
    });
}

function listeningAt(config: Config, { host, port }: ProcessOptions): Config {
  const server = { ...config.server, ...(host !== undefined && { host }), ...(port !== undefined && { port }) };
  return { ...config, server };
}
