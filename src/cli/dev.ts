/** `rederive dev`: everything in one process, with embedded servers where no database is named. */
import type { Command } from "commander";
import { isRederiveError } from "../errors.ts";
import { type CommonOptions, type Opened, withRederive } from "./open.ts";
import { type Service, serve, startWeb } from "./serve.ts";

export function addDev(program: Command): void {
  program
    .command("dev")
    .description(
      "run server, planner and worker in this process, with an embedded Postgres where DATABASE_URL is not set",
    )
    .action(async (_options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), (opened) => serve(() => startAll(opened)), {
        role: "dev",
        lock: "refresh",
      });
    });
}

async function startAll(opened: Opened): Promise<Service> {
  const { rederive, output } = opened;
  const web = await startWebIfInstalled(opened);
  const planner = rederive.startPlanner();
  const worker = await rederive.startWorker();
  if (web) output.note(`queues: ${web.url}/queues   API: ${web.url}/api/v1/openapi.json`);
  output.note('now, in another terminal: rederive plan --reason "first run"   (Ctrl-C stops everything)');
  return {
    ended: worker.ended,
    stop: async () => {
      await web?.stop();
      await worker.stop();
      await planner.stop();
    },
  };
}

/** Work can be developed without the server's packages, so their absence is only said. */
async function startWebIfInstalled(opened: Opened): Promise<Awaited<ReturnType<typeof startWeb>> | undefined> {
  try {
    return await startWeb(opened);
  } catch (error) {
    if (!isRederiveError(error) || !error.message.includes("npm install")) throw error;
    opened.output.note(`no HTTP server: ${error.message}`);
    return undefined;
  }
}
