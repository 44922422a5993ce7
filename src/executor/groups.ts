/**
 * Jobs that wait for a lane, given out as groups of neighbours.
 *
 * Claiming, finishing and committing cost about as much as a small partition takes to compute. So tasks of one dataset
 * of one backfill that are short go together, as many as take `groupMs` by what the dataset's tasks took so far: a
 * dataset that nothing is known of goes one by one. Long tasks always do, and so lose nothing when a neighbour fails.
 */
import type { TaskRef } from "./outcome.ts";

export interface Waiting {
  readonly ref: TaskRef;
}

/** How long the tasks of a group should take together: short against a lease, long against what is saved. */
const groupMs = 200;
/** Tasks of a group at most. */
const groupTasks = 32;
/** Weight of the newest group in a dataset's mean. */
const newest = 0.3;

export class Groups<Job extends Waiting> {
  #waiting: Job[] = [];
  readonly #lanes: number;
  readonly #groupable: (dataset: string) => boolean;
  /** Mean milliseconds of a task, by dataset. */
  readonly #taskMs = new Map<string, number>();
  #width = 1;

  /** `groupable` says of which datasets several tasks can share a transaction. */
  constructor(lanes: number, groupable: (dataset: string) => boolean) {
    this.#lanes = lanes;
    this.#groupable = groupable;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Tasks of a group of the dataset that was last learned of. */
  get width(): number {
    return this.#width;
  }

  add(job: Job): void {
    this.#waiting.push(job);
  }

  /**
   * The group of the job that waits longest; empty where nothing waits. It is no more than a lane's share of what waits,
   * so that groups get smaller towards the end, and all lanes end at about the same time.
   */
  take(): Job[] {
    const [first] = this.#waiting;
    if (first === undefined) return [];
    const neighbours = this.#waiting.filter(({ ref }) => areNeighbours(ref, first.ref));
    const share = Math.ceil(neighbours.length / this.#lanes);
    const group = neighbours.slice(0, Math.min(share, this.#sizeOf(first.ref.dataset)));
    this.#waiting = this.#waiting.filter((job) => !group.includes(job));
    return group;
  }

  /** All that waits, which waits no longer. */
  drain(): Job[] {
    const jobs = this.#waiting;
    this.#waiting = [];
    return jobs;
  }

  /** So long took so many tasks together. */
  learn(dataset: string, ms: number, tasks: number): void {
    const known = this.#taskMs.get(dataset);
    const mean = ms / tasks;
    this.#taskMs.set(dataset, known === undefined ? mean : known + newest * (mean - known));
    this.#width = this.#sizeOf(dataset);
  }

  #sizeOf(dataset: string): number {
    const taskMs = this.#taskMs.get(dataset);
    if (taskMs === undefined || !this.#groupable(dataset)) return 1;
    return Math.max(1, Math.min(groupTasks, Math.floor(groupMs / Math.max(taskMs, 0.1))));
  }
}

function areNeighbours(one: TaskRef, other: TaskRef): boolean {
  return one.dataset === other.dataset && one.backfill === other.backfill;
}
