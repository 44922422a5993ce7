/** `rederive graph`: the catalog's DAG. Needs no database. */
import { type Command, Option } from "commander";
import type { Catalog } from "../catalog/catalog.ts";
import { resolveSettings } from "../config.ts";
import { graphJson, graphMermaid, graphText } from "../planner/graph.ts";
import { graphSvg } from "../planner/svg.ts";
import { loadConfig } from "./load-config.ts";
import type { CommonOptions } from "./open.ts";
import { createOutput } from "./output.ts";

interface GraphOptions extends CommonOptions {
  readonly format: "text" | "mermaid" | "svg" | "json";
}

const pictures: Readonly<Record<GraphOptions["format"], (catalog: Catalog) => string>> = {
  text: graphText,
  mermaid: graphMermaid,
  svg: graphSvg,
  json: () => "",
};

export function addGraph(program: Command): void {
  program
    .command("graph")
    .description("show the datasets, their inputs and mappings, and who uses them")
    .addOption(new Option("--format <format>").choices(["text", "mermaid", "svg", "json"]).default("text"))
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GraphOptions>();
      const output = createOutput(options.json === true || options.format === "json");
      const { catalog } = resolveSettings((await loadConfig(options.config)).config);
      output.data(graphJson(catalog));
      output.text(pictures[options.format](catalog));
    });
}
