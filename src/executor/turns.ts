/**
 * Who may work in a process at the same time: any number together, or one alone.
 *
 * A partition that brings its process down takes the others that run there with it. One that was lost before runs
 * alone from then on, so that its neighbours are lost once at most and never quarantined for what it does.
 */

interface Waiting {
  readonly alone: boolean;
  readonly go: () => void;
}

/** First come, first served: nobody passes one who waits to be alone, or that one might wait for ever. */
export class Turns {
  #together = 0;
  #alone = false;
  readonly #waiting: Waiting[] = [];

  /** Beside others who do the same. */
  together<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#take(false, work);
  }

  /** After all who are at work have ended, and before anybody else begins. */
  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#take(true, work);
  }

  async #take<Result>(alone: boolean, work: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((go) => {
      this.#waiting.push({ alone, go });
      this.#next();
    });
    try {
      return await work();
    } finally {
      if (alone) this.#alone = false;
      else this.#together -= 1;
      this.#next();
    }
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#alone || (first.alone && this.#together > 0)) return;
      this.#waiting.shift();
      if (first.alone) this.#alone = true;
      else this.#together += 1;
      first.go();
    }
  }
}
