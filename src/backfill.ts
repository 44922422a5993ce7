/** The handle of one stored plan: one method a use case, for one actor. */
import { authorize } from "./governance/roles.ts";
import type { Plan } from "./plan.ts";
import type { Bisection, CheckReport, Diff, MergeReport, PreflightReport, Status } from "./report.ts";
import { type BisectOptions, bisect } from "./usecases/bisect.ts";
import { type CheckInput, check } from "./usecases/check.ts";
import type { Context } from "./usecases/context.ts";
import { preflight } from "./usecases/preflight.ts";
import { cancel, pause, type Reasoned, type RetryInput, resume, retry } from "./usecases/control.ts";
import { type DiffOptions, diff, promote, type RollbackInput, rollback } from "./usecases/publish.ts";
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
    authorize(this.#context.actor, "backfill.start");
    await start(this.#context, this.id);
    return this.status();
  }

  /** Nothing new starts; running tasks finish. */
  async pause(input: Reasoned): Promise<Status> {
    authorize(this.#context.actor, "backfill.pause");
    await pause(this.#context, this.id, input);
    return this.status();
  }

  /** Goes on after a pause; after a hold it accepts what the failed check showed. */
  async resume(input: Reasoned): Promise<Status> {
    authorize(this.#context.actor, "backfill.resume");
    await resume(this.#context, this.id, input);
    return this.status();
  }

  /** Gives it up for good. Live tables stay as they are. */
  async cancel(input: Reasoned): Promise<Status> {
    authorize(this.#context.actor, "backfill.cancel");
    await cancel(this.#context, this.id, input);
    return this.status();
  }

  /** Computes again what failed, was quarantined or failed a check, or the named partitions, and what is downstream. */
  async retry(input: RetryInput): Promise<Status> {
    authorize(this.#context.actor, "backfill.retry");
    await retry(this.#context, this.id, input);
    return this.status();
  }

  /** Asks again what was asked of tables and sources when this was planned. Changes nothing. */
  async preflight(): Promise<PreflightReport> {
    authorize(this.#context.actor, "backfill.preflight");
    return preflight(this.#context, this.id);
  }

  async status(): Promise<Status> {
    authorize(this.#context.actor, "backfill.read");
    return status(this.#context, this.id);
  }

  /** Compares the candidates with what is live, by key. */
  async diff(options: DiffOptions = {}): Promise<Diff> {
    authorize(this.#context.actor, "backfill.diff");
    return diff(this.#context, this.id, options);
  }

  /** Says where candidates differ from what is live, and which input rows or definitions these differences come from. */
  async bisect(options: BisectOptions = {}): Promise<Bisection> {
    authorize(this.#context.actor, "backfill.diff");
    return bisect(this.#context, this.id, options);
  }

  /** Asks the checks again of what is computed so far. A failed one of severity error holds its dataset. */
  async check(options: Omit<CheckInput, "backfill"> = {}): Promise<CheckReport> {
    authorize(this.#context.actor, "check.run");
    return check(this.#context, { ...options, backfill: this.id });
  }

  /** Makes the candidates live, all datasets in one transaction. */
  async promote(input: Reasoned): Promise<MergeReport> {
    authorize(this.#context.actor, "backfill.promote");
    return promote(this.#context, this.id, input);
  }

  /** Puts back what the promotion replaced, exactly. It can be promoted again afterwards. */
  async rollback(input: RollbackInput): Promise<MergeReport> {
    authorize(this.#context.actor, "backfill.rollback");
    return rollback(this.#context, this.id, input);
  }

  /** Waits until the backfill can go no further by itself: verified, held, paused, cancelled or failed. */
  async finished(options: FollowOptions = {}): Promise<Status> {
    authorize(this.#context.actor, "backfill.read");
    return follow(this.#context, this.id, options);
  }
}
