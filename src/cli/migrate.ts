/** `rederive migrate`: brings the control schema up to date. */
import type { Command } from "commander";
import { resolveSettings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import { loadConfig } from "./load-config.ts";
import type { CommonOptions } from "./open.ts";
import { createOutput } from "./output.ts";

export function addMigrate(program: Command): void {
  program
    .command("migrate")
    .description("create or update the control schema (schema rederive)")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      const output = createOutput(options.json === true);
      const { attachEmbeddedServers } = await import("../embedded/servers.ts");
      const { migrate } = await import("../store/migrate.ts");
      const { settings } = resolveSettings((await loadConfig(options.config)).config);
      const url = settings.databaseUrl ?? attachEmbeddedServers(settings.embeddedDirectory)?.databaseUrl;
      if (url === undefined)
        throw new RederiveError("configuration", "DATABASE_URL is not set; set it to the database to migrate");
      const report = await migrate(url);
      output.data(report);
      output.text(
        report.applied === 0
          ? `the control schema is up to date (${report.known} migrations)`
          : `applied ${report.applied} of ${report.known} migrations`,
      );
    });
}
