/**
 * Scheduled looks at live data, made by the planner that leads, one after the other, beside its turns: a look may take
 * minutes, and nothing waits for it.
 *
 * Which looks are due is asked of Postgres, so it does not matter which planner makes them, nor when one of them dies.
 */
import type { Term } from "./settle.ts";

export interface WatchOptions {
  /** Datasets at which it is time to look, the longest waiting first. */
  readonly due: () => Promise<readonly string[]>;
  /** One look. Ends early where the signal is aborted or the term is over, and is due again soon. */
  readonly look: (dataset: string, term: Term, signal: AbortSignal) => Promise<void>;
}

export class Watcher {
  readonly #options: WatchOptions;
  readonly #onError: (message: string, error: unknown) => void;
  #looking: Promise<void> | undefined;
  #stop = new AbortController();

  constructor(options: WatchOptions, onError: (message: string, error: unknown) => void = () => {}) {
    this.#options = options;
    this.#onError = onError;
  }

  /** Begins what is due, unless looks are under way; does not wait for them. Returns how many were begun. */
  async begin(term: Term): Promise<number> {
    if (this.#looking !== undefined) return 0;
    const due = await this.#options.due();
    if (due.length === 0) return 0;
    this.#stop = new AbortController();
    this.#looking = this.#lookAt(due, term, this.#stop.signal).finally(() => {
      this.#looking = undefined;
    });
    return due.length;
  }

  /** Lets the partition under way finish, and begins no other. */
  async stop(): Promise<void> {
    this.leave();
    await this.#looking;
  }

  /** The same without waiting: another planner leads. */
  leave(): void {
    this.#stop.abort();
  }

  async #lookAt(due: readonly string[], term: Term, signal: AbortSignal): Promise<void> {
    for (const dataset of due) {
      if (signal.aborted) return;
      await this.#options.look(dataset, term, signal).catch((error: unknown) => {
        this.#onError(`a look at the live data of ${dataset} failed; it will be made again when it is due`, error);
      });
    }
  }
}
