/** `rederive dev`: everything in one process, with embedded servers where no database is named. */
import type { Command } from "commander";
import { loadServer, serve } from "./processes.ts";
import { type CommonOptions, withRederive } from "./open.ts";

export function addDev(program: Command): void {
  program
    .command("dev")
    .description("run server, planner and worker in this process, with an embedded Postgres where DATABASE_URL is not set")
    .action(async (_options: unknown, command: Command) => {
      await withRederive(
        command.optsWithGlobals<CommonOptions>(),
        async ({ rederive, output }) => {
          await serve(async () => {
            const planner = rederive.startPlanner();
            const worker = await rederive.startWorker({});
            const { startServer } = await loadServer();
            const server = await startServer(rederive);
            output.note(`queues: ${server.url}/queues   API: ${server.url}/api/v1/openapi.json`);
            output.note('now, in another terminal: rederive plan --reason "first run"   (Ctrl-C stops everything)');
            return {
              stop: async () => {
                await server.close();
                await worker.stop();
                await planner.stop();
              },
            };
          });
        },
        { embedded: true },
      );
    });
}
