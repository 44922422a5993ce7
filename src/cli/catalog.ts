/** `rederive catalog`: what the datasets and exposures are, for people; as a list, or as a page to publish. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { catalogPage, catalogText, searched } from "../lineage/catalog-page.ts";
import { graphSvg } from "../planner/svg.ts";
import { type CommonOptions, withRederive } from "./open.ts";

export function addCatalog(program: Command): void {
  const catalog = program.command("catalog").description("show what the datasets and exposures are, for people");
  catalog
    .command("list", { isDefault: true })
    .description("all of it, or what has all of these words")
    .argument("[words...]", "searched in names, descriptions, owners, columns, rules and reasons")
    .action(async (words: string[], _options: unknown, command: Command) => {
      await withRederive(command.optsWithGlobals<CommonOptions>(), async ({ acting, output }) => {
        const found = searched(await acting.describedCatalog(), words.join(" "));
        output.data(found);
        for (const line of catalogText(found)) output.text(line);
      });
    });
  catalog
    .command("export")
    .description("write it as one HTML page that needs no server")
    .requiredOption("--out <dir>", "folder for index.html and catalog.json; made where it is missing")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions & { out: string }>();
      await withRederive(options, async ({ acting, output }) => {
        const report = await acting.describedCatalog();
        const page = catalogPage(report, graphSvg(acting.catalog), new Date().toISOString());
        const path = join(options.out, "index.html");
        await mkdir(options.out, { recursive: true });
        await writeFile(path, page);
        await writeFile(join(options.out, "catalog.json"), `${JSON.stringify(report, null, 2)}\n`);
        output.data({ page: path });
        output.text(`wrote ${path}`);
      });
    });
}
