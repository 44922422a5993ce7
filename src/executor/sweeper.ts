/**
 * The healer: what Postgres says is ready and released must be in the queue.
 *
 * 1. The sentinel. A key in Redis says which control database the queues belong to. Where it is missing, Redis was
 *    flushed, or lost its tail, or is another one: everything ready is looked at, at once. Jobs are added one by one,
 *    never as flows, because the loss may be partial and a flow must not be added over live jobs.
 * 2. Waiting tasks whose last producer's worker died before it could say so become ready.
 * 3. Ready tasks whose job is nowhere to be taken by a worker are delivered anew. The ids in the queues are read first
 *    and the tasks after them, page by page by id, so that only what looks lost is looked at one by one.
 */
import { type ReadyTask, readyPage } from "../store/edges.ts";
import { deploymentId, type RunningBackfill, readyReleased, stillReady } from "../store/release.ts";
import { cutOff } from "./cutoff.ts";
import { type Delivery, redeliver } from "./deliver.ts";
import { jobIdOf, type Queues } from "./queues.ts";

export interface SweeperOptions {
  /** A task released less than this ago may still be on its way into the queue. Default 2,000. */
  readonly graceMs?: number;
  /** How long a ready task's job may wait for children before it is rebuilt. Default 2,000. */
  readonly childrenMs?: number;
  /** How long a ready task's job may be active: then its worker is dead. Default 60,000; twice the lease is right. */
  readonly activeMs?: number;
  /** Tasks a page. Default 1,000. */
  readonly pageTasks?: number;
  /** The monotonic clock. Default performance.now. */
  readonly now?: () => number;
}

export interface SweepCounts {
  /** The sentinel was missing. */
  readonly flushed: boolean;
  /** Tasks that became ready. */
  readonly ready: number;
  /** Jobs that were brought on their way. */
  readonly healed: number;
}

const sentinel = "rederive";

export class Sweeper {
  readonly #delivery: Delivery;
  readonly #options: Required<SweeperOptions>;
  /** When a ready task was first seen with a job that is not for a worker to take; forgotten when that changes. */
  readonly #suspects = new Map<string, number>();
  /** Where the next page of waiting tasks begins, by backfill. */
  readonly #waitingFrom = new Map<string, string>();
  #deployment: string | undefined;

  constructor(delivery: Delivery, options: SweeperOptions = {}) {
    this.#delivery = delivery;
    this.#options = {
      graceMs: 2_000,
      childrenMs: 2_000,
      activeMs: 60_000,
      pageTasks: 1_000,
      now: () => performance.now(),
      ...options,
    };
  }

  /** Whether Redis still holds what we put there. One command; cheap enough for every turn. */
  async intact(): Promise<boolean> {
    this.#deployment ??= await deploymentId(this.#delivery.database);
    return (await this.#delivery.queues.gates.getBackend().getQueueMetaField(sentinel)) === this.#deployment;
  }

  /** One sweep over the running backfills. */
  async sweep(backfills: readonly RunningBackfill[]): Promise<SweepCounts> {
    const flushed = !(await this.intact());
    let ready = 0;
    let healed = 0;
    for (const backfill of backfills) {
      ready += await this.#makeReady(backfill.id);
      healed += await this.#heal(backfill, flushed);
    }
    this.#forget(backfills);
    if (flushed) await this.#leaveSentinel();
    return { flushed, ready, healed };
  }

  /** Makes ready what waits for nothing, one page a sweep: a million waiting tasks must not hold up the rest. */
  async #makeReady(backfill: string): Promise<number> {
    const page = await readyPage(this.#delivery.database, {
      backfill,
      after: this.#waitingFrom.get(backfill) ?? "0",
      limit: this.#options.pageTasks * 5,
    });
    if (page.next === null) this.#waitingFrom.delete(backfill);
    else this.#waitingFrom.set(backfill, page.next);
    // Those that are ready are released in the planner's next turn.
    const decided = await cutOff(this.#delivery.database, backfill, page.prunable, {
      release: 0,
      graceMs: this.#options.graceMs,
    });
    return page.ready.length + decided.moved;
  }

  async #heal(backfill: RunningBackfill, flushed: boolean): Promise<number> {
    // Before the tasks: a job that comes in between is then seen as lost, and looked at for nothing. The other way
    // round a job that was taken in between would be.
    const inQueue = await takeableIds(this.#delivery.queues, new Set(Object.values(backfill.queues)));
    let healed = 0;
    let after = "0";
    for (;;) {
      const page = await readyReleased(this.#delivery.database, {
        backfill: backfill.id,
        after,
        limit: this.#options.pageTasks,
        graceMs: flushed ? 0 : this.#options.graceMs,
      });
      const suspects = page.filter((task) => !inQueue.has(jobIdOf(task.backfill, task.id)));
      for (const task of page) if (inQueue.has(jobIdOf(task.backfill, task.id))) this.#suspects.delete(task.id);
      healed += await this.#healPage(suspects);
      if (page.length < this.#options.pageTasks) return healed;
      after = page.at(-1)?.id ?? after;
    }
  }

  async #healPage(suspects: readonly ReadyTask[]): Promise<number> {
    if (suspects.length === 0) return 0;
    // They may have been claimed, or done, since the page was read.
    const ready = await stillReady(
      this.#delivery.database,
      suspects.map((task) => task.id),
    );
    const outcomes = await Promise.all(
      suspects.filter((task) => ready.has(task.id)).map((task) => this.#healTask(task)),
    );
    return outcomes.filter(Boolean).length;
  }

  async #healTask(task: ReadyTask): Promise<boolean> {
    const now = this.#options.now();
    const since = this.#suspects.get(task.id) ?? now;
    this.#suspects.set(task.id, since);
    const outcome = await redeliver(this.#delivery.queues, task, now - since >= this.#options.childrenMs);
    if (outcome === "waiting") return false;
    if (outcome === "active") return now - since >= this.#options.activeMs && this.#replaceActive(task);
    this.#suspects.delete(task.id);
    return outcome !== "live";
  }

  /** An active job of a ready task past every lease: nobody works on it. A lock that lives refuses the removal. */
  async #replaceActive(task: ReadyTask): Promise<boolean> {
    const queue = this.#delivery.queues.queueFor(task.queue);
    const removed = await queue.remove(jobIdOf(task.backfill, task.id), { removeChildren: false });
    if (removed !== 1) return false;
    this.#suspects.delete(task.id);
    return (await redeliver(this.#delivery.queues, task, true)) === "added";
  }

  #forget(backfills: readonly RunningBackfill[]): void {
    const running = new Set(backfills.map((backfill) => backfill.id));
    for (const backfill of this.#waitingFrom.keys()) if (!running.has(backfill)) this.#waitingFrom.delete(backfill);
    if (backfills.length === 0) this.#suspects.clear();
  }

  async #leaveSentinel(): Promise<void> {
    if (this.#deployment !== undefined) {
      await this.#delivery.queues.gates.getBackend().setQueueMeta({ [sentinel]: this.#deployment });
    }
  }
}

/** Ids of all jobs that a worker will take by itself, in one command a queue; the windows bound how many there are. */
async function takeableIds(queues: Queues, names: ReadonlySet<string>): Promise<Set<string>> {
  const ids = await Promise.all(
    [...names].map((name) => queues.queueFor(name).getRanges(["wait", "prioritized", "delayed"], 0, -1)),
  );
  return new Set(ids.flat());
}
