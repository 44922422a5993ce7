/**
 * The lock file of map code, `rederive.lock.json`: for every map dataset, its version and the hash of its code.
 *
 * It is committed and shipped, so that planner and workers agree about the code whether they run from TypeScript, from
 * `dist` or from a bundle: they compare the file, never function text. Pure; reading and hashing are in lock-file.ts.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Derived } from "../catalog/dataset.ts";
import type { LockFile } from "../catalog/definition.ts";
import { RederiveError } from "../errors.ts";
import { derivedInOrder } from "./impact.ts";
import { listOf } from "./reasons.ts";

/** The content of the file. */
export interface MapLock {
  readonly version: 1;
  readonly maps: Readonly<Record<string, { readonly version: number; readonly hash: string }>>;
}

/** The command that writes the lock file anew. */
export const lockCommand = "rederive plan --update-lock";

export const lockFileName = "rederive.lock.json";

export function mapDatasets(catalog: Catalog): Derived[] {
  return derivedInOrder(catalog).filter((derived) => derived.transform.kind === "map");
}

/** The lock of a catalog whose map code has these hashes. */
export function lockOf(catalog: Catalog, hashes: ReadonlyMap<string, string>): MapLock {
  const entries = mapDatasets(catalog).map(
    ({ name, version }) => [name, { version, hash: requireHash(hashes, name) }] as const,
  );
  return { version: 1, maps: Object.fromEntries(entries.sort((a, b) => (a[0] < b[0] ? -1 : 1))) };
}

/** What definitions and fingerprints take from the file: hashes by dataset. */
export function lockedHashes(lock: MapLock | undefined): LockFile {
  const entries = Object.entries(lock?.maps ?? {}).map(([name, { hash }]) => [name, hash] as const);
  return { maps: Object.fromEntries(entries) };
}

function requireHash(hashes: ReadonlyMap<string, string>, name: string): string {
  const hash = hashes.get(name);
  if (hash === undefined) throw new RederiveError("internal", `the code of ${name} was not hashed`);
  return hash;
}

/** Two-space JSON with sorted names and a final newline: made for reading in a diff. */
export function formatLock(lock: MapLock): string {
  const maps = Object.entries(lock.maps).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${JSON.stringify({ version: lock.version, maps: Object.fromEntries(maps) }, null, 2)}\n`;
}

/** Reads the text of a lock file; throws `configuration` for anything that is none. */
export function parseLock(text: string): MapLock {
  const value = parseJson(text);
  if (!isLock(value)) {
    throw new RederiveError(
      "configuration",
      `${lockFileName} is not a lock file of version 1; write it anew: ${lockCommand}`,
    );
  }
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `${lockFileName} is not JSON (a merge conflict?); write it anew: ${lockCommand}`;
    throw new RederiveError("configuration", message, { cause });
  }
}

function isLock(value: unknown): value is MapLock {
  if (typeof value !== "object" || value === null || !("version" in value) || value.version !== 1) return false;
  if (!("maps" in value) || typeof value.maps !== "object" || value.maps === null) return false;
  return Object.values(value.maps as Record<string, { version?: unknown; hash?: unknown } | null>).every(
    (entry) => Number.isInteger(entry?.version) && typeof entry?.hash === "string" && /^[0-9a-f]{64}$/.test(entry.hash),
  );
}

/**
 * Throws `lock_changed` unless the lock file names every map dataset at its version. This is all that can be checked
 * where the source is not at hand; `requireCurrentLock` also compares the code.
 */
export function requireLock(catalog: Catalog, lock: MapLock | undefined): void {
  const faults = mapDatasets(catalog).flatMap((derived) => entryFault(derived, lock) ?? []);
  if (faults.length > 0) refuse(faults);
}

/** Throws `lock_changed` unless the lock file is what the code hashes to now. */
export function requireCurrentLock(
  catalog: Catalog,
  lock: MapLock | undefined,
  hashes: ReadonlyMap<string, string>,
): void {
  const faults = mapDatasets(catalog).flatMap(
    (derived) => entryFault(derived, lock) ?? codeFault(derived, lock, hashes) ?? [],
  );
  if (faults.length > 0) refuse(faults);
}

interface LockFault {
  readonly dataset: string;
  readonly message: string;
}

function entryFault(derived: Derived, lock: MapLock | undefined): LockFault | undefined {
  const entry = lock?.maps[derived.name];
  if (entry === undefined) return { dataset: derived.name, message: `${derived.name} is not in it` };
  if (entry.version === derived.version) return undefined;
  return {
    dataset: derived.name,
    message: `${derived.name} is version ${derived.version} in the catalog and ${entry.version} in it`,
  };
}

function codeFault(
  derived: Derived,
  lock: MapLock | undefined,
  hashes: ReadonlyMap<string, string>,
): LockFault | undefined {
  if (lock?.maps[derived.name]?.hash === requireHash(hashes, derived.name)) return undefined;
  const message =
    `the code of the map of ${derived.name} has changed (version ${derived.version}); ` +
    "its partitions will be recomputed, so give it a new version if results change";
  return { dataset: derived.name, message };
}

function refuse(faults: readonly LockFault[]): never {
  throw new RederiveError(
    "lock_changed",
    `${lockFileName} does not match the catalog: ${listOf(faults.map((fault) => fault.message))}; ` +
      `run ${lockCommand} and commit the file`,
    { details: { datasets: faults.map((fault) => fault.dataset) } },
  );
}
