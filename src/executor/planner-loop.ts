/**
 * The planner loop: keeps every running backfill going. Start as many as you like; one leads, by a lease row with a
 * term, and the others wait for its end.
 *
 * A turn: limits, then (where Redis lost something) the sweep at once, then windows by criticality and deadline, lost
 * workers, the regular sweep, the end of backfills, code drift, warnings of deadlines. Every step is idempotent or
 * carries the term; a step that fails is reported, and the rest of the turn goes on, so that an outage of Redis does not
 * stop what needs Postgres alone.
 *
 * Nothing in the hot path waits for a turn: workers release consumers themselves, and a window refilled at half holds
 * a second of the fastest work. So the loop polls, every 250 ms while a backfill runs and every 2 s else, two
 * statements a time, and needs neither LISTEN (which transaction pooling forbids) nor a channel in Redis; `wake()` is
 * for use cases in the same process.
 */
import type { Catalog } from "../catalog/catalog.ts";
import type { Limits } from "../catalog/dataset.ts";
import { isRederiveError } from "../errors.ts";
import { resign, takeLead } from "../store/leaders.ts";
import type { QueueLimit } from "../store/limits.ts";
import { checkCodeLevel } from "../store/migrate.ts";
import { type RunningBackfill, runningBackfills } from "../store/release.ts";
import { tendCandidates } from "./candidates.ts";
import { isMoreUrgent, warnOfDeadlines } from "./deadlines.ts";
import type { Delivery } from "./deliver.ts";
import { applyLimits } from "./limits.ts";
import { Loop } from "./loop.ts";
import type { Messenger } from "./messenger.ts";
import { Recovery, type RecoveryOptions } from "./recovery.ts";
import { defaultWindowTasks, type ReleaseOptions, releaseWindow } from "./release.ts";
import { holdDrifted, settle, type Term } from "./settle.ts";
import { Sweeper, type SweeperOptions } from "./sweeper.ts";
import { Watcher, type WatchOptions } from "./watcher.ts";

export interface PlannerOptions {
  readonly delivery: Delivery;
  readonly catalog: Catalog;
  /** Who holds the lease: unique over processes. */
  readonly holder: string;
  /**
   * Checks of whole datasets; lets a backfill pass its next gate, or moves it to verified or held. Called again until it
   * has, so idempotent.
   */
  readonly verify: (backfill: string) => Promise<void>;
  /** Chains the audit trail as far as it is committed. Default: somebody else does. */
  readonly chain?: () => Promise<void>;
  /** Between two times that the audit trail is chained. Default 1,000. */
  readonly chainMs?: number;
  /** How long a silent leader stays the leader. Default 10,000. */
  readonly leadMs?: number;
  /** Default 250. */
  readonly activeMs?: number;
  /** Default 2,000. */
  readonly idleMs?: number;
  /** Between two sweeps. Default 5,000. */
  readonly sweepMs?: number;
  /** Between two looks for lost workers. Default 500. */
  readonly recoverMs?: number;
  /** Between two looks at candidate tables. Default 1,000. */
  readonly tendMs?: number;
  /** Between two comparisons of limits. Default 1,000. */
  readonly limitsMs?: number;
  /** Between two looks at deadlines. Default 5,000. */
  readonly deadlinesMs?: number;
  /** Tells others what happens. Default: nobody is told. */
  readonly messenger?: Messenger | undefined;
  /** Between two rounds of the messenger. Default 2,000. */
  readonly messengerMs?: number;
  /** A backfill is held after so long without a worker that has its definitions. Default 60,000. */
  readonly codeDriftMs?: number;
  /** Scheduled looks at live data. Default: none. */
  readonly watch?: WatchOptions | undefined;
  /** Between two questions whether a look is due. Default 1,000. */
  readonly watchMs?: number;
  readonly release?: ReleaseOptions;
  readonly sweeper?: SweeperOptions;
  readonly recovery?: RecoveryOptions;
  /** Told once of each backfill that will miss its deadline. */
  readonly onLate?: (backfill: string, message: string) => void;
  /** Told after each turn, for metrics. */
  readonly onTurn?: (counts: PlannerCounts) => void;
}

export interface PlannerCounts {
  /** False where another process leads; then all else is 0. */
  readonly leads: boolean;
  readonly backfills: number;
  readonly limits: number;
  readonly released: number;
  readonly recovered: number;
  readonly quarantined: number;
  readonly madeReady: number;
  readonly healed: number;
  /** Redis had lost what was in it. */
  readonly flushed: boolean;
  readonly held: number;
  /** Backfills given to `verify` in this turn. */
  readonly finished: number;
}

const nothing: PlannerCounts = {
  leads: false,
  backfills: 0,
  limits: 0,
  released: 0,
  recovered: 0,
  quarantined: 0,
  madeReady: 0,
  healed: 0,
  flushed: false,
  held: 0,
  finished: 0,
};

const leaderName = "planner";

export class PlannerLoop {
  readonly #options: PlannerOptions;
  readonly #loop: Loop<PlannerCounts>;
  readonly #sweeper: Sweeper;
  readonly #recovery: Recovery;
  readonly #watcher: Watcher | undefined;
  readonly #limits: readonly QueueLimit[];
  /** When each periodic step ran last. */
  readonly #ran = new Map<string, number>();
  /** Verifications under way; they may take minutes, and the turns go on. */
  readonly #verifying = new Map<string, Promise<void>>();
  #term: Term | undefined;
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(options: PlannerOptions) {
    this.#options = options;
    this.#sweeper = new Sweeper(options.delivery, options.sweeper);
    this.#recovery = new Recovery(options.delivery, options.recovery);
    this.#watcher = options.watch && new Watcher(options.watch, options.delivery.onError);
    this.#limits = limitsOf(options.catalog);
    this.#loop = new Loop({
      name: "the planner",
      turn: () => this.#turn(),
      busy: (counts) => counts.backfills > 0,
      activeMs: options.activeMs ?? 250,
      idleMs: options.idleMs ?? 2_000,
      onError: (message, error) => options.delivery.onError?.(message, error),
      ...(options.onTurn === undefined ? {} : { onTurn: options.onTurn }),
    });
  }

  start(): void {
    this.#loop.start();
  }

  runOnce(): Promise<PlannerCounts> {
    return this.#loop.runOnce();
  }

  wake(): void {
    this.#loop.wake();
  }

  /** Finishes the turn, the verifications and the partition of a look that are under way, then gives up the lead. */
  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.#watcher?.stop();
    await Promise.all(this.#verifying.values());
    await this.#options.messenger?.stop();
    await this.#resign();
  }

  async #resign(): Promise<void> {
    const term = this.#term;
    this.#term = undefined;
    this.#renewedAt = Number.NEGATIVE_INFINITY;
    if (term !== undefined) await resign(this.#options.delivery.database, term).catch(() => {});
  }

  async #turn(): Promise<PlannerCounts> {
    const term = await this.#lead();
    if (term === undefined) this.#watcher?.leave();
    if (term === undefined) return nothing;
    const { delivery } = this.#options;
    const { database } = delivery;
    const backfills = await runningBackfills(database);
    const counts = { ...nothing, leads: true, backfills: backfills.length };
    counts.limits = await this.#every("limits", this.#options.limitsMs ?? 1_000, 0, () =>
      applyLimits(delivery, this.#limits),
    );
    await this.#every(
      "candidates",
      this.#options.tendMs ?? 1_000,
      undefined,
      async () => void (await tendCandidates(database)),
    );
    await this.#every("audit", this.#options.chainMs ?? 1_000, undefined, async () => this.#options.chain?.());
    await this.#every("watch", this.#options.watchMs ?? 1_000, 0, async () => this.#watcher?.begin(term) ?? 0);
    await this.#every("messages", this.#options.messengerMs ?? 2_000, undefined, async () =>
      this.#options.messenger?.begin(term),
    );
    if (backfills.length === 0) return { ...counts, ...(await this.#recover()) };
    const swept = await this.#sweep(backfills);
    const blocked = new Map(backfills.map((backfill) => [backfill.id, this.#blockedIn(backfill)] as const));
    for (const backfill of backfills) {
      counts.released += await this.#step("release", 0, () =>
        releaseWindow(delivery, backfill, blocked.get(backfill.id) ?? [], this.#windowOf(backfill, backfills)),
      );
    }
    const lost = await this.#recover();
    for (const backfill of backfills) {
      if (this.#verifying.has(backfill.id)) continue;
      const standing = await this.#step("settle", "going", () =>
        settle(database, term, backfill, blocked.get(backfill.id) ?? []),
      );
      if (standing === "held") counts.held += 1;
      if (standing === "finished") counts.finished += await this.#verify(backfill.id);
    }
    counts.held += await this.#every("drift", this.#options.sweepMs ?? 5_000, 0, () =>
      holdDrifted(database, term, this.#options.codeDriftMs ?? 60_000),
    );
    if (backfills.some(({ deadline }) => deadline !== null)) {
      await this.#every("deadlines", this.#options.deadlinesMs ?? 5_000, undefined, () => this.#warn(term));
    }
    return { ...counts, ...swept, ...lost };
  }

  /** Takes or keeps the lead; renews at a third of the lease. Throws `schema_incompatible`, and then leads no more. */
  async #lead(): Promise<Term | undefined> {
    const leadMs = this.#options.leadMs ?? 10_000;
    const now = performance.now();
    if (this.#term !== undefined && now - this.#renewedAt < leadMs / 3) return this.#term;
    const leadership = { name: leaderName, holder: this.#options.holder };
    await this.#checkLevel();
    const term = await takeLead(this.#options.delivery.database, { ...leadership, leaseMs: leadMs });
    this.#term = term === undefined ? undefined : { ...leadership, term };
    // Counted from before the statement, so that we never believe in the lease for longer than Postgres does.
    this.#renewedAt = now;
    return this.#term;
  }

  /** A newer planner need not wait for the end of the lease. */
  async #checkLevel(): Promise<void> {
    try {
      await checkCodeLevel(this.#options.delivery.database);
    } catch (error) {
      if (isRederiveError(error)) {
        this.#watcher?.leave();
        await this.#resign();
      }
      throw error;
    }
  }

  async #sweep(
    backfills: readonly RunningBackfill[],
  ): Promise<Pick<PlannerCounts, "madeReady" | "healed" | "flushed">> {
    const intact = await this.#step("sentinel", true, () => this.#sweeper.intact());
    const untouched = { flushed: false, ready: 0, healed: 0 };
    const pause = intact ? (this.#options.sweepMs ?? 5_000) : 0;
    const swept = await this.#every("sweep", pause, untouched, () => this.#sweeper.sweep(backfills));
    return { madeReady: swept.ready, healed: swept.healed, flushed: swept.flushed };
  }

  #recover(): Promise<Pick<PlannerCounts, "recovered" | "quarantined">> {
    return this.#every("recovery", this.#options.recoverMs ?? 500, { recovered: 0, quarantined: 0 }, () =>
      this.#recovery.recover(),
    );
  }

  /**
   * Queues are first come, first served: what matters less may put only little in before what matters more, and still
   * goes on.
   */
  #windowOf(backfill: RunningBackfill, [first]: readonly RunningBackfill[]): ReleaseOptions {
    const { release = {} } = this.#options;
    if (first === undefined || !isMoreUrgent(first, backfill)) return release;
    return { ...release, windowTasks: Math.ceil((release.windowTasks ?? defaultWindowTasks) / 10) };
  }

  async #warn(term: Term): Promise<void> {
    for (const { backfill, message } of await warnOfDeadlines(this.#options.delivery.database, term)) {
      this.#options.onLate?.(backfill, message);
    }
  }

  /** Everything near and far below a hold: the claim would refuse it. */
  #blockedIn(backfill: RunningBackfill): string[] {
    const { catalog } = this.#options;
    return [...new Set(backfill.held.flatMap((name) => (catalog.datasets.has(name) ? catalog.downstream(name) : [])))];
  }

  /** Begins a verification; one that failed, or left the backfill running, is begun again after a pause. */
  #verify(backfill: string): Promise<number> {
    return this.#every(`verification of ${backfill}`, this.#options.sweepMs ?? 5_000, 0, async () => {
      const verification = this.#step("verification", undefined, () => this.#options.verify(backfill)).finally(() => {
        this.#verifying.delete(backfill);
      });
      this.#verifying.set(backfill, verification);
      return 1;
    });
  }

  async #every<Result>(name: string, ms: number, otherwise: Result, run: () => Promise<Result>): Promise<Result> {
    const now = performance.now();
    if (now - (this.#ran.get(name) ?? Number.NEGATIVE_INFINITY) < ms) return otherwise;
    this.#ran.set(name, now);
    return this.#step(name, otherwise, run);
  }

  async #step<Result>(name: string, otherwise: Result, run: () => Promise<Result>): Promise<Result> {
    try {
      return await run();
    } catch (error) {
      this.#options.delivery.onError?.(`the planner's ${name} step failed; it will be tried again`, error);
      return otherwise;
    }
  }
}

/** The catalog's limits by queue: those of shared resources, and those of datasets with limits of their own. */
export function limitsOf(catalog: Catalog): QueueLimit[] {
  const own = [...catalog.datasets.values()].flatMap((dataset) =>
    dataset.kind === "derived" && dataset.limits !== undefined ? [[dataset.name, dataset.limits] as const] : [],
  );
  return [...Object.entries(catalog.resources), ...own].map(([name, limits]) => limitOf(name, limits));
}

function limitOf(name: string, limits: Limits): QueueLimit {
  return {
    queue: `resource-${name}`,
    rate: limits.rate === undefined ? null : { max: limits.rate.max, perMs: limits.rate.per },
    concurrency: limits.concurrency ?? null,
  };
}
