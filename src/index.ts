/** The public API of rederive. What is not named here is internal and may change at any time. */

export { Acting } from "./acting.ts";
export { Audit } from "./audit.ts";
export { Backfill } from "./backfill.ts";
export { type Assumption, assume } from "./catalog/assumption.ts";
export { type Catalog, type CatalogOptions, defineCatalog } from "./catalog/catalog.ts";
export { type Check, check } from "./catalog/check.ts";
export {
  all,
  type Criticality,
  custom,
  type Dataset,
  type Derived,
  derived,
  type Exposure,
  exposure,
  type Input,
  type Limits,
  lookahead,
  lookback,
  rolling,
  type Source,
  source,
} from "./catalog/dataset.ts";
export type { ColumnDeprecation, Deprecation } from "./catalog/deprecation.ts";
export { labelOf } from "./catalog/label.ts";
export type { Mapping } from "./catalog/mapping.ts";
export type { Range, Ranges } from "./catalog/ranges.ts";
export { type Rule, rule } from "./catalog/rule.ts";
export {
  daily,
  hash,
  hourly,
  list,
  monthly,
  type PartitionScheme,
  range,
  weekly,
  whole,
  yearly,
} from "./catalog/scheme.ts";
export {
  type ApprovalThreshold,
  type ChangeWindow,
  type Config,
  defineConfig,
  type Environment,
  type GovernanceConfig,
  type LoginConfig,
  type OidcConfig,
  type ServerConfig,
  type Settings,
} from "./config.ts";
export { type ErrorCode, isRederiveError, RederiveError } from "./errors.ts";
export type { Actor, Role } from "./governance/roles.ts";
export type {
  ColumnChanges,
  DatasetChange,
  DatasetExpectation,
  Decision,
  Expectation,
  Forecast,
  Guarantees,
  Interval,
  Phase,
  Plan,
  PlanRequest,
  Reason,
  RecomputeStep,
  RequestedExpectation,
  RequestedPhases,
  ReuseStep,
  SkipStep,
  StaleValidation,
  Step,
} from "./plan.ts";
export type { Affected, AffectedDataset } from "./planner/affected.ts";
export { createRederive, Rederive, type RederiveOptions } from "./rederive.ts";
export type {
  ApprovalEntry,
  Approvals,
  Baseline,
  BisectedInput,
  BisectedRow,
  Bisection,
  CheckEvidence,
  CheckedDataset,
  CheckOutcome,
  CheckReport,
  DatasetBisection,
  DatasetDiff,
  DatasetStatus,
  DeadlineForecast,
  Diff,
  Estimate,
  Finding,
  Lateness,
  LimitSetting,
  LiveValidation,
  MergeCounts,
  MergeReport,
  PartitionDivergence,
  PhaseStatus,
  Preflight,
  PreflightCode,
  PreflightFinding,
  PreflightReport,
  RunEvent,
  Sample,
  SampledDataset,
  Status,
  Suspect,
  TaskCounts,
  Trouble,
} from "./report.ts";
export type { BackfillState, TaskState } from "./states.ts";
export type { BaselineChoice, CaptureInput } from "./usecases/baseline.ts";
export type { CheckInput } from "./usecases/check.ts";
export type { ApprovePhaseInput } from "./usecases/gate.ts";
export type { ImpactInput } from "./usecases/impact.ts";
export type { PlanInput } from "./usecases/plan.ts";
export type { SampleInput } from "./usecases/sample.ts";
