/** The handle of one stored plan: one method a use case, for one actor. */
import type { UseCase } from "./governance/roles.ts";
import { inSight, type Sight } from "./governance/visibility.ts";
import type { Plan } from "./plan.ts";
import type {
  Approvals,
  Bisection,
  CheckReport,
  Diff,
  MergeReport,
  PreflightReport,
  RunEvent,
  Status,
} from "./report.ts";
import {
  type ApproveInput,
  approvals,
  approve,
  type CommentInput,
  comment,
  requestChanges,
  withdraw,
} from "./usecases/approval.ts";
import { type BisectOptions, bisect } from "./usecases/bisect.ts";
import { type CheckInput, check } from "./usecases/check.ts";
import type { Context } from "./usecases/context.ts";
import { cancel, finalize, pause, type Reasoned, type RetryInput, resume, retry } from "./usecases/control.ts";
import { type ApprovePhaseInput, approvePhase } from "./usecases/gate.ts";
import { type About, permitted } from "./usecases/permitted.ts";
import { preflight } from "./usecases/preflight.ts";
import {
  type DiffOptions,
  diff,
  type PromoteInput,
  promote,
  type RollbackInput,
  rollback,
} from "./usecases/publish.ts";
import { start } from "./usecases/start.ts";
import { type FollowOptions, follow, status } from "./usecases/status.ts";

export class Backfill {
  readonly id: string;
  readonly plan: Plan;
  readonly #context: Context;

  constructor(context: Context, id: string, plan: Plan) {
    this.#context = context;
    this.id = id;
    this.plan = plan;
  }

  /** Lets the fleet begin. Does no work in this process. Refused where the code or what is live changed since the plan. */
  async start(): Promise<Status> {
    await this.#permitted("backfill.start", () => start(this.#context, this.id));
    return this.status();
  }

  /** Nothing new starts; running tasks finish. */
  async pause(input: Reasoned): Promise<Status> {
    await this.#permitted("backfill.pause", () => pause(this.#context, this.id, input));
    return this.status();
  }

  /** Lets a phase pass whose gate asks for approval; the next one begins. */
  async approvePhase(input: ApprovePhaseInput): Promise<Status> {
    await this.#permitted("phase.approve", () => approvePhase(this.#context, this.id, input));
    return this.status();
  }

  /** Goes on after a pause; after a hold it accepts what the failed check showed. */
  async resume(input: Reasoned): Promise<Status> {
    await this.#permitted("backfill.resume", () => resume(this.#context, this.id, input));
    return this.status();
  }

  /** Gives it up for good. Live tables stay as they are. */
  async cancel(input: Reasoned): Promise<Status> {
    await this.#permitted("backfill.cancel", () => cancel(this.#context, this.id, input));
    return this.status();
  }

  /** Gives up the way back from a promotion, for good, and with it the space that it takes. Live tables stay as they are. */
  async finalize(input: Reasoned): Promise<Status> {
    await this.#permitted("backfill.finalize", () => finalize(this.#context, this.id, input));
    return this.status();
  }

  /** Computes again what failed, was quarantined or failed a check, or the named partitions, and what is downstream. */
  async retry(input: RetryInput): Promise<Status> {
    const { dataset } = input;
    const datasets = dataset === undefined ? [] : [dataset];
    await this.#permitted("backfill.retry", () => retry(this.#context, this.id, input), datasets);
    return this.status();
  }

  /** Asks again what was asked of tables and sources when this was planned. Changes nothing. */
  async preflight(): Promise<PreflightReport> {
    return this.#permitted("backfill.preflight", () => preflight(this.#context, this.id));
  }

  async status(): Promise<Status> {
    return this.#permitted("backfill.read", () => status(this.#context, this.id));
  }

  /** Compares the candidates with what is live, by key. */
  async diff(options: DiffOptions = {}): Promise<Diff> {
    return this.#permitted("backfill.diff", () => diff(this.#context, this.id, options));
  }

  /** Says where candidates differ from what is live, and which input rows or definitions these differences come from. */
  async bisect(options: BisectOptions = {}): Promise<Bisection> {
    return this.#permitted("backfill.diff", () => bisect(this.#context, this.id, options));
  }

  /** Asks the checks again of what is computed so far. A failed one of severity error holds its dataset. */
  async check(options: Omit<CheckInput, "backfill"> = {}): Promise<CheckReport> {
    const wish = { ...options, backfill: this.id };
    return this.#permitted("check.run", () => check(this.#context, wish), options.datasets);
  }

  /** Agrees to the plan, to its promotion, or to a rollback that overwrites later writes. Never to what one asked for. */
  async approve(input: ApproveInput = {}): Promise<Approvals> {
    await this.#permitted("approval.approve", () => approve(this.#context, this.id, input));
    return this.approvals();
  }

  /** Asks for another plan: this one does not start where it needs approval, until it is approved by the same person. */
  async requestChanges(input: CommentInput): Promise<Approvals> {
    await this.#permitted("approval.request_changes", () => requestChanges(this.#context, this.id, input));
    return this.approvals();
  }

  async comment(input: CommentInput): Promise<Approvals> {
    await this.#permitted("approval.comment", () => comment(this.#context, this.id, input));
    return this.approvals();
  }

  /** Takes back what the actor's person approved or asked for. */
  async withdraw(input: Reasoned): Promise<Approvals> {
    await this.#permitted("approval.withdraw", () => withdraw(this.#context, this.id, input));
    return this.approvals();
  }

  /** What was said of the plan, what of it counts, and what is needed. */
  async approvals(): Promise<Approvals> {
    return this.#permitted("approval.read", () => approvals(this.#context, this.id));
  }

  /** Makes the candidates live, all datasets in one transaction. */
  async promote(input: PromoteInput): Promise<MergeReport> {
    return this.#permitted("backfill.promote", () => promote(this.#context, this.id, input));
  }

  /** Puts back what the promotion replaced, exactly. It can be promoted again afterwards. */
  async rollback(input: RollbackInput): Promise<MergeReport> {
    return this.#permitted("backfill.rollback", () => rollback(this.#context, this.id, input));
  }

  /** Waits until the backfill can go no further by itself: verified, held, paused, cancelled or failed. */
  async finished(options: FollowOptions = {}): Promise<Status> {
    const { sight } = this.#context;
    const { onProgress } = options;
    const told = { ...options, ...(sight && onProgress && { onProgress: inSightOf(sight, onProgress) }) };
    return this.#permitted("backfill.read", () => follow(this.#context, this.id, told));
  }

  #permitted<Answer>(useCase: UseCase, run: () => Promise<Answer>, datasets: About["datasets"] = []): Promise<Answer> {
    return permitted(this.#context, useCase, { backfill: this.id, datasets }, run);
  }
}

/** Tells of what happens to their datasets. */
function inSightOf(sight: Sight, onProgress: (event: RunEvent) => void): (event: RunEvent) => void {
  return (event) => {
    for (const each of inSight(sight, [event])) onProgress(each);
  };
}
