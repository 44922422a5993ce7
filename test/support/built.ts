/**
 * The command line as it is shipped: compiled, in `dist`. Processes of tests run that rather than the sources, which
 * would be compiled anew for each of them and take twice as long to start.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const main = join(root, "dist", "cli", "main.js");

/** Program and first argument of a process of `rederive`. */
export const builtCommand: readonly [string, string] = [process.execPath, main];

/** Compiles where a source is newer than what was compiled. Types are left to `npm run check`. */
export function buildIfStale(): void {
  const built = statSync(main, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (lastChange() < built) return;
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  execFileSync(process.execPath, [compiler, "-p", "tsconfig.build.json", "--noCheck"], { cwd: root, stdio: "inherit" });
}

function lastChange(): number {
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).map((name) =>
    join("src", name),
  );
  return Math.max(...[...sources, "tsconfig.build.json"].map((name) => statSync(join(root, name)).mtimeMs));
}
