/**
 * Finds and loads the configuration file.
 *
 * The file is TypeScript as a rule. Where this process can import TypeScript by itself (tsx, newer Node) the native
 * import is used, so that the catalog shares our modules; otherwise jiti compiles it on the fly.
 */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Config, configPathFrom } from "../config.ts";
import { isRederiveError, messageOf, RederiveError } from "../errors.ts";

const names = ["rederive.config.ts", "rederive.config.mts", "rederive.config.js", "rederive.config.mjs"];

export interface LoadedConfig {
  readonly config: Config;
  /** Absolute path of the file. */
  readonly path: string;
}

/** `given` is the --config option; then REDERIVE_CONFIG, then the usual names in the working directory. */
export async function loadConfig(given: string | undefined): Promise<LoadedConfig> {
  const path = findConfig(given ?? configPathFrom());
  const module = await importFile(path);
  const config = (module as { default?: unknown }).default;
  if (typeof config !== "object" || config === null) {
    throw new RederiveError(
      "configuration",
      `${path} has no default export; write "export default defineConfig({ catalog })"`,
    );
  }
  return { config: withPaths(config as Config, dirname(path), path), path };
}

function findConfig(given: string | undefined): string {
  if (given !== undefined) {
    const path = resolve(given);
    if (!existsSync(path))
      throw new RederiveError("configuration", `there is no configuration file ${path}; check --config`);
    return path;
  }
  const found = names.map((name) => resolve(name)).find((path) => existsSync(path));
  if (found === undefined) {
    throw new RederiveError(
      "configuration",
      `there is no rederive.config.ts in ${process.cwd()}; run "rederive init" to make one, or name one with --config`,
    );
  }
  return found;
}

async function importFile(path: string): Promise<unknown> {
  try {
    if (canImportTypeScript() || /\.m?js$/.test(path)) return await import(pathToFileURL(path).href);
    const { createJiti } = await import("jiti");
    return await createJiti(import.meta.url, { interopDefault: false }).import(path);
  } catch (error) {
    if (isRederiveError(error)) throw error;
    throw new RederiveError("configuration", `cannot load ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** This very file ends in .ts exactly when the process runs TypeScript from source. */
function canImportTypeScript(): boolean {
  return import.meta.url.endsWith(".ts");
}

/** Paths in the configuration are relative to its file, so that the command works from any folder. */
function withPaths(config: Config, folder: string, path: string): Config {
  return {
    ...config,
    catalogFile: resolve(folder, config.catalogFile ?? path),
    lockFile: resolve(folder, config.lockFile ?? "rederive.lock.json"),
    embeddedDirectory: resolve(folder, config.embeddedDirectory ?? ".rederive"),
    ...(config.auditCheckpoints && {
      auditCheckpoints: { ...config.auditCheckpoints, directory: resolve(folder, config.auditCheckpoints.directory) },
    }),
  };
}
