/** What becomes of a message by the answer of its receiver. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { Messenger } from "../../src/executor/messenger.ts";
import { callWebhook } from "../../src/lineage/webhook.ts";
import { addMessage, undeliveredMessages, waitingMessages } from "../../src/store/messages.ts";
import { openDatabase } from "../../src/store/postgres.ts";
import { withDatabase } from "../support/postgres.ts";

/** Answers with what `answer` gives for a body. */
async function withReceiver(
  answer: (body: string) => { readonly status: number; readonly body?: string },
  work: (url: string) => Promise<void>,
): Promise<void> {
  const server = createServer((request, response) => {
    let heard = "";
    request.on("data", (chunk: Buffer) => {
      heard += chunk.toString("utf8");
    });
    request.on("end", () => {
      const { status, body = "" } = answer(heard);
      response.writeHead(status).end(body);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}/a-secret-path`);
  } finally {
    await new Promise((closed) => server.close(closed));
  }
}

it("puts aside what is refused for good and goes on; what may be taken later holds back what follows it", () =>
  withDatabase(async (databaseUrl) => {
    const database = openDatabase(databaseUrl, { max: 2 });
    const answers: Record<string, { status: number; body?: string }> = {
      refused: { status: 422, body: `no such field\u0000\n${"x".repeat(100_000)}` },
      limited: { status: 429 },
    };
    const heard: string[] = [];
    try {
      await withReceiver(
        (body) => {
          heard.push(body);
          return answers[body] ?? { status: 204 };
        },
        async (url) => {
          for (const body of ["first", "refused", "second", "limited", "third"]) {
            await addMessage(database, "webhook", url, body);
          }
          const told: string[] = [];
          const send = ({ id, target, body }: { id: string; target: string; body: string }) =>
            callWebhook({ url: target, secret: "s", allowLoopback: true, id, body, now: Date.now() });
          const messenger = new Messenger({
            database,
            correspondences: [{ channel: "webhook", tell: async () => 0, send }],
            onError: (message) => told.push(message),
          });
          const round = () => messenger.runOnce({ name: "planner", holder: "test", term: "1" });
          expect(await round()).toEqual({ told: 0, delivered: 2 });
          expect(heard).toEqual(["first", "refused", "second", "limited"]);
          expect(await waitingMessages(database, "webhook")).toBe(2);
          const { origin } = new URL(url);
          const error = expect.stringMatching(new RegExp(`^the webhook ${origin} answered 422: no such field x+$`));
          expect(await undeliveredMessages(database)).toEqual([
            { channel: "webhook", target: url, waiting: 1, refused: 1, error },
          ]);
          expect(told).toEqual([
            expect.stringContaining("was refused and is given up"),
            expect.stringContaining("has not arrived"),
          ]);
          // Neither is tried again now; nor is the refused one later.
          expect(await round()).toEqual({ told: 0, delivered: 0 });
          await database.query("update rederive.message set next_at = clock_timestamp()");
          answers["limited"] = { status: 200 };
          expect(await round()).toEqual({ told: 0, delivered: 2 });
          expect(heard.slice(4)).toEqual(["limited", "third"]);
        },
      );
    } finally {
      await database.close();
    }
  }));
