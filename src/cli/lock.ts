/**
 * The lock file of map code, as the command line keeps it: in development the commands that plan bring it up to date;
 * elsewhere, and in the processes of a fleet, it must match the code, because a worker that runs other code than the
 * file says would write results under a false name.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import type { Catalog } from "../catalog/catalog.ts";
import type { Settings } from "../config.ts";
import { messageOf, RederiveError } from "../errors.ts";
import { mapDatasets, requireCurrentLock } from "../planner/lock.ts";
import type { Output } from "./output.ts";

/** `refresh` writes the file in development; `compare` never writes. */
export type LockMode = "refresh" | "compare";

export async function settleLock(
  { settings, catalog }: { readonly settings: Settings; readonly catalog: Catalog },
  mode: LockMode,
  output: Output,
): Promise<void> {
  const { catalogFile } = settings;
  if (catalogFile === undefined || !existsSync(catalogFile) || mapDatasets(catalog).length === 0) return;
  if (mode === "refresh" && settings.environment === "development") {
    const changed = await writeLock(settings, catalog, catalogFile);
    if (changed.length > 0) output.note(`${lockNote(settings, changed)}; commit it`);
    return;
  }
  const { currentMapHashes, readLockFile } = await import("../lock-file.ts");
  const lock = await readLockFile(settings.lockFile);
  requireCurrentLock(catalog, lock, await currentMapHashes(catalog, catalogFile));
}

/** Writes the file anew and returns the datasets whose map has other code than before. */
export async function writeLock(settings: Settings, catalog: Catalog, catalogFile: string): Promise<readonly string[]> {
  // Hashing needs a bundler, which most commands can do without.
  const { updateLockFile } = await import("../lock-file.ts");
  try {
    return await updateLockFile(settings.lockFile, catalog, catalogFile);
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new RederiveError("configuration", `cannot write ${settings.lockFile}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

export function lockNote(settings: Settings, changed: readonly string[]): string {
  const file = basename(settings.lockFile);
  return changed.length === 0 ? `${file} is up to date` : `${file}: new code of the map of ${changed.join(", ")}`;
}

function isFileError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}
