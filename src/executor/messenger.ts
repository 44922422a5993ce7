/**
 * What the leading planner sends to others: it writes down what is to be told, and delivers what waits, apart from its
 * turns, so that a slow receiver delays nothing but messages.
 *
 * A message is deleted after it has arrived, so it comes at least once and in order for each target. One that does not
 * arrive is tried again ever later, at most every ten minutes, and given up after a week. One that its receiver refuses
 * for good is put aside at once, and the next one is sent.
 */
import { messageOf } from "../errors.ts";
import {
  type Channel,
  dropOldMessages,
  dueMessages,
  failMessage,
  type Message,
  postponeMessage,
  removeMessage,
} from "../store/messages.ts";
import type { Database } from "../tx.ts";
import type { Term } from "./settle.ts";

export interface Correspondence {
  readonly channel: Channel;
  /** Writes down what is to be told; under the leader's term, so that no two planners tell the same. */
  readonly tell: (term: Term) => Promise<number>;
  /** Resolves to why the receiver will never take it; to undefined where it has arrived. Rejects where it has not, yet. */
  readonly send: (message: Message) => Promise<string | undefined>;
}

export interface MessengerOptions {
  readonly database: Database;
  readonly correspondences: readonly Correspondence[];
  readonly onError?: ((message: string, error: unknown) => void) | undefined;
}

const batch = 50;
const firstPauseMs = 1_000;
const longestPauseMs = 600_000;
const weekMs = 7 * 24 * 3_600_000;

export class Messenger {
  readonly #options: MessengerOptions;
  #round: Promise<void> | undefined;

  constructor(options: MessengerOptions) {
    this.#options = options;
  }

  /** Begins a round, unless one is under way. Does not wait for it. */
  begin(term: Term): void {
    this.#round ??= this.runOnce(term).then(
      () => {
        this.#round = undefined;
      },
      () => {
        this.#round = undefined;
      },
    );
  }

  /** One round: tells and delivers, each correspondence by itself. */
  async runOnce(term: Term): Promise<{ told: number; delivered: number }> {
    const counts = { told: 0, delivered: 0 };
    for (const correspondence of this.#options.correspondences) {
      try {
        counts.told += await correspondence.tell(term);
        counts.delivered += await this.#deliver(correspondence);
      } catch (error) {
        this.#options.onError?.(`${correspondence.channel} messages: a round failed; it will be tried again`, error);
      }
    }
    return counts;
  }

  /** Lets the round under way finish. */
  async stop(): Promise<void> {
    await this.#round;
  }

  async #deliver({ channel, send }: Correspondence): Promise<number> {
    const { database, onError } = this.#options;
    const dropped = await dropOldMessages(database, channel, weekMs);
    if (dropped > 0)
      onError?.(`${dropped} ${channel} messages could not be delivered for a week and were given up`, undefined);
    const stuck = new Set<string>();
    let delivered = 0;
    for (const message of await dueMessages(database, channel, batch)) {
      if (stuck.has(message.target)) continue;
      let refused: string | undefined;
      try {
        refused = await send(message);
      } catch (error) {
        stuck.add(message.target);
        const delayMs = Math.min(longestPauseMs, firstPauseMs * 2 ** message.attempts);
        await postponeMessage(database, message.id, { error: messageOf(error), delayMs });
        // Once when it begins; the rest is in the table.
        if (message.attempts === 0) onError?.(`a ${channel} message has not arrived; it will be tried again`, error);
        continue;
      }
      if (refused === undefined) {
        await removeMessage(database, message.id);
        delivered += 1;
      } else {
        await failMessage(database, message.id, refused);
        onError?.(`a ${channel} message was refused and is given up: ${refused}`, undefined);
      }
    }
    return delivered;
  }
}
