/** How much room a backfill will take beside the live tables, and how much there is, as far as can be seen from here. */
import { statfs } from "node:fs/promises";
import type { Catalog } from "../catalog/catalog.ts";
import { size } from "../catalog/ranges.ts";
import { recomputeSteps, type Step } from "../plan.ts";
import type { TaskSpeed } from "../planner/input.ts";
import { type DatasetRoom, type Room, roomFindings, roomText } from "../planner/room.ts";
import type { Preflight } from "../report.ts";
import type { Tx } from "../tx.ts";
import { tableName } from "../warehouse/quote.ts";
import { localDataDirectory, tableSize } from "../warehouse/source-facts.ts";

export interface RoomOf {
  readonly catalog: Catalog;
  readonly steps: readonly Step[];
  readonly speeds: ReadonlyMap<string, TaskSpeed>;
  readonly maxCandidateBytes: number | undefined;
}

export async function lookAtRoom(tx: Tx, { catalog, steps, speeds, maxCandidateBytes }: RoomOf): Promise<Preflight> {
  const datasets: DatasetRoom[] = [];
  for (const { dataset, partitions } of recomputeSteps({ steps })) {
    const derived = catalog.datasets.get(dataset);
    if (derived === undefined) continue;
    const speed = speeds.get(dataset);
    const perTask = speed?.liveRows ?? speed?.rows;
    const live = await tableSize(tx, tableName(derived.table));
    datasets.push({
      dataset,
      ...(perTask === undefined ? {} : { rows: perTask * size(partitions) }),
      ...(live.rows === null || live.rows === 0 ? {} : { bytesPerRow: live.bytes / live.rows }),
    });
  }
  if (datasets.length === 0) return { findings: [], looked: [] };
  const free = await freeBytes(tx);
  const room: Room = {
    datasets,
    ...(free === undefined ? {} : { free }),
    ...(maxCandidateBytes === undefined ? {} : { limit: maxCandidateBytes }),
  };
  return { findings: roomFindings(room), looked: [roomText(room)] };
}

/** Postgres does not say how much is free; the operating system does, where the server is on this very machine. */
async function freeBytes(tx: Tx): Promise<number | undefined> {
  const directory = await localDataDirectory(tx);
  if (directory === undefined) return undefined;
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch {
    // The address looked local, but the folder is on another machine or behind a wall.
    return undefined;
  }
}
