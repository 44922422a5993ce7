/** What the planner is given: plain values, read under one snapshot by whoever calls it. */
import type { Catalog } from "../catalog/catalog.ts";
import type { DataShape, MetadataShape } from "../catalog/definition.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { PlanRequest } from "../plan.ts";
import type { Preflight } from "../report.ts";
import type { LiveMap } from "./changes.ts";
import type { PartitionMap } from "./impact.ts";
import type { ActiveReservation } from "./reservations.ts";
import type { TaskLimits } from "./tasks.ts";

export interface PlannerInput extends TaskLimits {
  readonly catalog: Catalog;
  readonly request: PlanRequest;
  /** Why somebody wants this; part of the decision that others approve. */
  readonly requestReason: string;
  readonly environment: string;
  /** The session settings under which tasks run. */
  readonly pins: Readonly<Record<string, string>>;
  readonly hashAlgorithm: string;
  /** What is live, by derived dataset and fingerprint. */
  readonly live: LiveMap;
  /** Live partitions whose inputs have other content than they were computed from. */
  readonly inputsChanged?: PartitionMap;
  /** The partitions that each source has. */
  readonly extents: PartitionMap;
  readonly fingerprints: ReadonlyMap<string, Fingerprints>;
  /** What stands behind the fingerprints and metadata hashes of live content, as far as it is known. */
  readonly shapes?: ReadonlyMap<string, DataShape>;
  readonly metadata?: ReadonlyMap<string, MetadataShape>;
  readonly activeReservations: readonly ActiveReservation[];
  /** The backfill that the request continues. */
  readonly earlier?: EarlierRun;
  /** What tasks of a dataset took before, for the forecast. */
  readonly speeds?: ReadonlyMap<string, TaskSpeed>;
  /** Tasks at the same time, for the forecast. Default 1. */
  readonly concurrency?: number;
  /** Milliseconds since the epoch, for the forecast of a deadline. */
  readonly now?: number;
  /** What was found in tables and sources; it is told with the forecast. */
  readonly preflight?: Preflight;
  /** Things to know about a dataset (an unindexed partition column), shown when the plan uses it. */
  readonly notices?: ReadonlyMap<string, readonly string[]>;
}

/** The two parts of a definition, and what stands behind them. */
export interface Fingerprints {
  /** Data fingerprint as analysed by Postgres. */
  readonly fingerprint: string;
  /** Hash of the definition as written. */
  readonly definition: string;
  /** Hash of the metadata. */
  readonly metadata: string;
  readonly shape?: DataShape;
  readonly metadataShape?: MetadataShape;
  /** Columns that it reads, by input handle; null where whole rows are read. Everything where undefined. */
  readonly reads?: ReadonlyMap<string, readonly string[] | null>;
}

export interface EarlierRun {
  readonly backfill: string;
  readonly datasets: ReadonlyMap<string, EarlierDataset>;
}

/** What an earlier backfill did in one dataset. */
export interface EarlierDataset {
  readonly fingerprint: string;
  /** All that it was to compute. */
  readonly tasks: Ranges;
  /** Computed, and no check of severity `error` failed on it. */
  readonly verified: Ranges;
  /** Of those, the ones whose rows are those that are live. */
  readonly sameAsLive: Ranges;
}

/** Measured on earlier tasks of a dataset. */
export interface TaskSpeed {
  /** Seconds of a task. */
  readonly mean: number;
  readonly quarter: number;
  readonly ninetieth: number;
  /** Rows that a measured task wrote, and those that a live partition has. */
  readonly rows?: number;
  readonly liveRows?: number;
}
