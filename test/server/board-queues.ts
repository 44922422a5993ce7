/** The queues of a board test: under a prefix of their own, and gone afterwards. */
import { randomBytes } from "node:crypto";
import { type ConnectionOptions, Queue } from "bullmq";
import { inject } from "vitest";

export interface BoardQueues {
  readonly connection: ConnectionOptions;
  readonly prefix: string;
  readonly backfill: Queue;
  /** In the order of the board. */
  readonly queues: Queue[];
  close(): Promise<void>;
}

export function openBoardQueues(): BoardQueues {
  const connection = { url: inject("redisUrl"), maxRetriesPerRequest: null };
  const prefix = `{t${randomBytes(4).toString("hex")}}`;
  const backfill = new Queue("backfill", { connection, prefix });
  const queues = [backfill, new Queue("gate", { connection, prefix })];
  return {
    connection,
    prefix,
    backfill,
    queues,
    close: async () => {
      for (const queue of queues) {
        await queue.obliterate({ force: true });
        await queue.close();
      }
    },
  };
}
