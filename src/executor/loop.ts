/**
 * The one anatomy of loops: `start()`, `runOnce()` that returns counts, an idempotent `stop()`, `wake()`.
 *
 * A turn never overlaps another one. After a busy turn the next one comes soon, after an idle one late, and `wake()`
 * makes it come at once. A turn that throws is reported and counts as idle: the loop outlives every outage.
 */

export interface LoopOptions<Counts> {
  /** For messages. */
  readonly name: string;
  readonly turn: () => Promise<Counts>;
  /** Whether the next turn should come soon. */
  readonly busy: (counts: Counts) => boolean;
  /** Pause after a busy turn. Default 250. */
  readonly activeMs?: number;
  /** Pause after an idle turn. Default 2,000. */
  readonly idleMs?: number;
  /** Default: silence. */
  readonly onError?: (message: string, error: unknown) => void;
  /** Told after each turn that did not throw. */
  readonly onTurn?: (counts: Counts) => void;
}

export class Loop<Counts> {
  readonly #options: LoopOptions<Counts>;
  #running = false;
  #woken = false;
  #endPause: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #finished: Promise<void> = Promise.resolve();

  constructor(options: LoopOptions<Counts>) {
    this.#options = options;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#finished = this.#finished.then(() => this.#run());
  }

  /** One turn, after the one that is under way. */
  runOnce(): Promise<Counts> {
    const turn = this.#turn.then(() => this.#options.turn());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Lets the turn under way finish. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#endPause?.();
    await this.#finished;
    await this.#turn;
  }

  /** The next turn comes at once; one more follows the turn that is under way. */
  wake(): void {
    this.#woken = true;
    this.#endPause?.();
  }

  async #run(): Promise<void> {
    while (this.#running) {
      this.#woken = false;
      let busy = false;
      try {
        const counts = await this.runOnce();
        busy = this.#options.busy(counts);
        this.#options.onTurn?.(counts);
      } catch (error) {
        this.#options.onError?.(`a turn of ${this.#options.name} failed`, error);
      }
      await this.#pause(busy ? (this.#options.activeMs ?? 250) : (this.#options.idleMs ?? 2_000));
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#woken || !this.#running) return;
    await new Promise<void>((done) => {
      const timer = setTimeout(done, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        done();
      };
    });
    this.#endPause = undefined;
  }
}
