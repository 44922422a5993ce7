/**
 * Carries tasks in the lanes of one process: what comes in waits for a free lane, goes there in a group, and has its
 * outcome when the group is through. A task whose worker was lost before runs while nothing else does.
 */

import { Groups } from "./groups.ts";
import type { Lane } from "./lane.ts";
import { later, type TaskOutcome, type TaskRef } from "./outcome.ts";
import { runTasks } from "./task.ts";
import type { Outcomes, TaskContext } from "./task-context.ts";
import { Turns } from "./turns.ts";

export interface DispatcherOptions {
  /** Lanes at most; each is made once. */
  readonly concurrency: number;
  readonly makeLane: (index: number) => Lane;
  /** Of which datasets several tasks can share a transaction. */
  readonly groupable: (dataset: string) => boolean;
  readonly context: Omit<TaskContext, "lane">;
  /** Told of every outcome, with the seconds that the task took. */
  readonly onOutcome: (ref: TaskRef, outcome: TaskOutcome, seconds: number) => void;
  /** Told when a group is through and its lane is free. */
  readonly onFree: () => void;
}

interface WaitingTask {
  readonly ref: TaskRef;
  readonly traceparent: string | undefined;
  readonly end: (outcome: TaskOutcome) => void;
  readonly fail: (error: unknown) => void;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #groups: Groups<WaitingTask>;
  readonly #turns = new Turns();
  readonly #lanes: readonly Lane[];
  readonly #free: Lane[];
  #stopped = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#groups = new Groups(options.concurrency, options.groupable);
    this.#lanes = Array.from({ length: options.concurrency }, (_, index) => options.makeLane(index + 1));
    this.#free = [...this.#lanes];
  }

  get idle(): boolean {
    return this.#free.length === this.#lanes.length && this.#groups.waiting === 0;
  }

  /**
   * Tasks that it pays to hold. Where they go in groups, a group for each lane waits beside the one that runs, so that no
   * lane waits for the queue.
   */
  get capacity(): number {
    const { width } = this.#groups;
    return width === 1 ? this.#lanes.length : 2 * width * this.#lanes.length;
  }

  /** Resolves when the task is through; rejects only on faults of this program. */
  carry(ref: TaskRef, traceparent: string | undefined): Promise<TaskOutcome> {
    return new Promise((end, fail) => {
      this.#groups.add({ ref, traceparent, end, fail });
      this.#dispatch();
    });
  }

  /** What runs may finish; what waits, and what comes from now on, goes back to the queue. */
  stop(): void {
    this.#stopped = true;
    this.#dispatch();
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  #dispatch(): void {
    if (this.#stopped) {
      for (const task of this.#groups.drain()) task.end(later("stopped"));
      return;
    }
    while (this.#groups.waiting > 0) {
      const lane = this.#free.pop();
      if (lane === undefined) return;
      void this.#occupy(lane, this.#groups.take());
    }
  }

  async #occupy(lane: Lane, group: readonly WaitingTask[]): Promise<void> {
    try {
      const outcomes = await this.#run(group, lane);
      for (const { ref, end } of group) end(outcomes.get(ref.task) ?? later("unsettled"));
    } catch (error) {
      for (const { fail } of group) fail(error);
    } finally {
      this.#free.push(lane);
      this.#dispatch();
      this.#options.onFree();
    }
  }

  async #run(group: readonly WaitingTask[], lane: Lane): Promise<Outcomes> {
    const startedAt = performance.now();
    const outcomes = await this.#carryGroup(group, lane);
    const ms = performance.now() - startedAt;
    const [{ ref: first }] = group as readonly [WaitingTask];
    if ([...outcomes.values()].every(({ kind }) => kind === "done"))
      this.#groups.learn(first.dataset, ms, group.length);
    for (const { ref } of group) {
      const outcome = outcomes.get(ref.task);
      if (outcome !== undefined) this.#options.onOutcome(ref, outcome, ms / 1_000 / group.length);
    }
    return outcomes;
  }

  /** Beside other tasks; alone, after those that run now, where a task's worker was lost before. */
  async #carryGroup(group: readonly WaitingTask[], lane: Lane): Promise<Outcomes> {
    const [{ traceparent }] = group as readonly [WaitingTask];
    const context = { ...this.#options.context, lane };
    const refs = group.map(({ ref }) => ref);
    const outcomes = await this.#turns.together(() => runTasks(refs, { ...context, alone: false }, traceparent));
    for (const ref of refs) {
      if (!isSuspect(outcomes.get(ref.task))) continue;
      const again = await this.#turns.alone(() => this.#carryAlone(ref, { ...context, alone: true }, traceparent));
      outcomes.set(ref.task, again);
    }
    return outcomes;
  }

  async #carryAlone(ref: TaskRef, context: TaskContext, traceparent: string | undefined): Promise<TaskOutcome> {
    if (this.#stopped) return later("stopped");
    return (await runTasks([ref], context, traceparent)).get(ref.task) ?? later("unsettled");
  }
}

function isSuspect(outcome: TaskOutcome | undefined): boolean {
  return outcome?.kind === "later" && outcome.why === "suspect";
}
