/** Reads, writes and brings up to date the lock file of map code on disk; its format is in planner/lock.ts. */
import { readFile, rename, writeFile } from "node:fs/promises";
import type { Catalog } from "./catalog/catalog.ts";
import { hashMapCode } from "./map-code.ts";
import { formatLock, lockOf, type MapLock, mapDatasets, parseLock } from "./planner/lock.ts";

/** Undefined where there is no such file. */
export async function readLockFile(path: string): Promise<MapLock | undefined> {
  try {
    return parseLock(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Replaces the file in one step, so that a reader never sees half of it. */
export async function writeLockFile(path: string, lock: MapLock): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, formatLock(lock));
  await rename(temporary, path);
}

/** Hashes of the map code behind a catalog, by dataset. `entry` is the file that defines the catalog. */
export async function currentMapHashes(catalog: Catalog, entry: string): Promise<ReadonlyMap<string, string>> {
  return hashMapCode(
    entry,
    mapDatasets(catalog).map((derived) => derived.name),
  );
}

/** Writes the lock file for the code as it is now, and says which datasets have other code than before. */
export async function updateLockFile(path: string, catalog: Catalog, entry: string): Promise<readonly string[]> {
  const before = await readLockFile(path).catch(() => undefined);
  const lock = lockOf(catalog, await currentMapHashes(catalog, entry));
  if (before === undefined || formatLock(before) !== formatLock(lock)) await writeLockFile(path, lock);
  return Object.keys(lock.maps).filter((name) => before?.maps[name]?.hash !== lock.maps[name]?.hash);
}
