/** `rederive migrate`: brings the control schema up to date. */
import type { Command } from "commander";
import type { Catalog } from "../catalog/catalog.ts";
import { resolveSettings } from "../config.ts";
import { RederiveError } from "../errors.ts";
import type { RolesSetUp } from "../usecases/roles.ts";
import { loadConfig } from "./load-config.ts";
import type { CommonOptions } from "./open.ts";
import { createOutput } from "./output.ts";

interface MigrateOptions extends CommonOptions {
  readonly roles?: boolean;
}

export function addMigrate(program: Command): void {
  program
    .command("migrate")
    .description("create or update the control schema (schema rederive)")
    .option("--roles", "also make the Postgres roles of a deployment and grant them what they need")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<MigrateOptions>();
      const output = createOutput(options.json === true);
      const { attachEmbeddedServers } = await import("../embedded/servers.ts");
      const { migrate } = await import("../store/migrate.ts");
      const { settings, catalog } = resolveSettings((await loadConfig(options.config)).config);
      const url = settings.databaseUrl ?? attachEmbeddedServers(settings.embeddedDirectory)?.databaseUrl;
      if (url === undefined)
        throw new RederiveError("configuration", "DATABASE_URL is not set; set it to the database to migrate");
      const report = await migrate(url, settings.environment);
      const setUp = options.roles === true ? await rolesOf(url, catalog) : undefined;
      output.data({ ...report, ...setUp });
      output.text(
        report.applied === 0
          ? `the control schema is up to date (${report.known} migrations)`
          : `applied ${report.applied} of ${report.known} migrations`,
      );
      if (setUp === undefined) return;
      output.text(`grant these to the login users of the deployment: ${setUp.roles.join(", ")}`);
      if (setUp.missing.length === 0) return;
      output.text(
        `where workers and planners have several logins, a superuser has to run: grant ${setUp.missing.join(", ")} to rederive_worker`,
      );
    });
}

async function rolesOf(url: string, catalog: Catalog): Promise<RolesSetUp> {
  const { setUpRoles } = await import("../usecases/roles.ts");
  return setUpRoles(url, catalog);
}
