/**
 * What the server needs of a `Rederive`: the use cases of an actor, and what authentication, readiness and the queue
 * board read. Kept apart from the composition root so that the server can be tested and mounted with any of them.
 */
import type { Queue } from "bullmq";
import type { Catalog } from "../catalog/catalog.ts";
import type { Ranges } from "../catalog/ranges.ts";
import type { Environment, ServerSettings } from "../config.ts";
import type { KeyedRequests } from "../governance/keyed-requests.ts";
import type { Actor, UseCase } from "../governance/roles.ts";
import type { TrailVerdict, Trust } from "../governance/trail.ts";
import type { ColumnsReport } from "../lineage/columns.ts";
import type { Lineage } from "../lineage/graph.ts";
import type { RowLineage } from "../lineage/rows.ts";
import type { Plan } from "../plan.ts";
import type { Affected } from "../planner/affected.ts";
import type { CatalogGraph } from "../planner/catalog-graph.ts";
import type {
  Approvals,
  Baseline,
  Bisection,
  CheckReport,
  Diff,
  ExposureStatus,
  LimitSetting,
  LiveValidation,
  MergeReport,
  PreflightReport,
  Status,
} from "../report.ts";
import type { BackfillState } from "../states.ts";
import type { AuditLog } from "../usecases/audit.ts";
import type { BrowserLogin } from "../usecases/browser-login.ts";

export interface RederivePort {
  readonly settings: {
    readonly environment: Environment;
    readonly server: ServerSettings;
  };
  readonly catalog: Catalog;
  /** Every queue: lanes, limited resources and the gate. */
  readonly queues: readonly Queue[];
  as(actor: Actor): ActingPort;
  /** The actor of an API token; undefined where it is unknown, expired or revoked. */
  authenticate(token: string): Promise<Actor | undefined>;
  /** Throws unless the actor may do this, to this backfill where there is one. */
  admit(actor: Actor, useCase: UseCase, about?: { readonly backfill?: string | undefined }): Promise<void>;
  /** How people log in with a browser; undefined where none can. */
  readonly login: BrowserLogin | undefined;
  /** What was answered to requests that came with a key of their own. */
  readonly keyedRequests: KeyedRequests;
  /** Probes what a request needs. Never rejects for a part that is away: it says so. */
  readiness(): Promise<readonly Readiness[]>;
}

export interface Readiness {
  readonly part: "postgres" | "migrations" | "redis";
  readonly ok: boolean;
  /** How far the chain of the audit trail is behind. */
  readonly audit?: { readonly unchained: number; readonly oldestSeconds: number };
}

export interface ActingPort {
  plan(input: PlanWish): Promise<BackfillPort>;
  preview(input: PlanWish): Promise<Plan>;
  backfill(id: string): Promise<BackfillPort>;
  backfills(options?: { limit?: number; state?: BackfillState }): Promise<readonly Status[]>;
  check(input?: CheckWish): Promise<CheckReport>;
  graph(): Promise<CatalogGraph>;
  validation(): Promise<readonly LiveValidation[]>;
  impact(input: ImpactWish): Promise<Affected>;
  lineage(input: LineageWish): Promise<Lineage>;
  lineageColumns(dataset: string): Promise<ColumnsReport>;
  lineageRow(input: { dataset: string; key: Record<string, string>; rows?: number }): Promise<RowLineage>;
  exposure(name: string): Promise<ExposureStatus>;
  baselines(of?: { name?: string }): Promise<readonly Baseline[]>;
  captureBaseline(input: BaselineWish): Promise<Baseline>;
  approveBaseline(input: BaselineDecision): Promise<Baseline>;
  retireBaseline(input: BaselineDecision): Promise<Baseline>;
  readonly audit: AuditPort;
  limits(): Promise<readonly LimitSetting[]>;
  setLimit(name: string, limit: LimitWish, reason: string): Promise<LimitSetting>;
}

export interface AuditPort {
  log(input?: {
    backfill?: string;
    actor?: string;
    since?: string;
    before?: string;
    limit?: number;
  }): Promise<AuditLog>;
  verify(trust?: Trust): Promise<TrailVerdict>;
  /** Writes what is recorded of a backfill to a new archive. Throws the signal's reason where it comes first. */
  exportBackfill(input: { backfill: string; out: string; signal?: AbortSignal }): Promise<unknown>;
}

export interface BackfillPort {
  readonly id: string;
  readonly plan: Plan;
  start(): Promise<Status>;
  pause(options: { reason: string }): Promise<Status>;
  resume(options: { reason: string }): Promise<Status>;
  approvePhase(options: { phase: string; reason: string }): Promise<Status>;
  cancel(options: { reason: string }): Promise<Status>;
  finalize(options: { reason: string }): Promise<Status>;
  retry(options: { reason: string; dataset?: string; partitions?: readonly string[] | Ranges }): Promise<Status>;
  status(): Promise<Status>;
  diff(options?: { samples?: number }): Promise<Diff>;
  bisect(options?: { rows?: number }): Promise<Bisection>;
  preflight(): Promise<PreflightReport>;
  check(options?: CheckWish): Promise<CheckReport>;
  approve(options: { act?: "start" | "promote" | "rollback"; digest?: string; comment?: string }): Promise<Approvals>;
  requestChanges(options: { comment: string }): Promise<Approvals>;
  comment(options: { comment: string }): Promise<Approvals>;
  withdraw(options: { reason: string }): Promise<Approvals>;
  approvals(): Promise<Approvals>;
  promote(options: { reason: string; overrideWindow?: boolean }): Promise<MergeReport>;
  rollback(options: { reason: string; onLaterWrites?: LaterWrites }): Promise<MergeReport>;
}

export type LaterWrites = "refuse" | "overwrite" | "keep";

export interface PlanWish {
  datasets?: string[];
  window?: { from: string; to: string };
  /** Labels of one dataset, or ordinal ranges. */
  partitions?: readonly string[] | Ranges;
  changes?: boolean;
  reason: string;
}

export interface CheckWish {
  datasets?: string[];
  /** Labels or ordinal ranges of one dataset. */
  partitions?: readonly string[] | Ranges;
  stale?: boolean;
}

export interface ImpactWish {
  dataset: string;
  window?: { from: string; to: string };
  partitions?: readonly string[];
}

export interface LineageWish {
  dataset: string;
  partition?: string;
  direction?: "up" | "down" | "both";
  depth?: number;
  asOf?: string;
}

export interface BaselineWish {
  name: string;
  dataset: string;
  partitions?: readonly string[] | Ranges;
  key?: string[];
  tolerance?: Record<string, string>;
  severity?: "error" | "warn";
  reason: string;
}

export interface BaselineDecision {
  name: string;
  version?: number;
  reason: string;
}

export interface LimitWish {
  rate?: { max: number; perMs: number } | null;
  concurrency?: number | null;
}
