import { FlowProducer } from "bullmq";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, lacks } from "../support/require.ts";
import { type BoardQueues, openBoardQueues } from "./board-queues.ts";
import { type Harness, startHarness } from "./support.ts";

describe.skipIf(lacks("redis", "chromium"))("the queue board in a browser", () => {
  let harness: Harness;
  let browser: Browser;
  let board: BoardQueues;
  let flows: FlowProducer;

  beforeAll(async () => {
    board = openBoardQueues();
    flows = new FlowProducer({ connection: board.connection, prefix: board.prefix });
    const node = (name: string, queueName: string, id: string) => ({
      name,
      queueName,
      data: { t: id },
      opts: { jobId: `bf_7k3m9x2q4d~${id}` },
    });
    await flows.add({
      ...node("month", "backfill", "1"),
      children: [node("day", "backfill", "2"), node("gate", "gate", "1")],
    });
    harness = await startHarness({ queues: board.queues });
    browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--disable-gpu"] });
  });

  afterAll(async () => {
    await browser?.close();
    await harness?.close();
    await flows?.close();
    await board?.close();
  });

  it("shows a flow to a viewer, complete without the internet and within the content policy", async () => {
    const context = await browser.newContext({ httpCredentials: { username: "ada", password: harness.tokens.viewer } });
    const page = await context.newPage();
    const complaints: string[] = [];
    const hosts = new Set<string>();
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => hosts.add(new URL(request.url()).host));
    await page.goto(`${harness.url}/queues/queue/backfill/bf_7k3m9x2q4d~1`);
    const flow = page.locator(".react-flow");
    await flow.getByText("month").first().waitFor();
    await flow.getByText("day").first().waitFor();
    await flow.getByText("gate").first().waitFor();
    expect([...hosts]).toEqual([new URL(harness.url).host]);
    // The browser itself reports the first answer, 401, which asked for the password.
    expect(complaints.filter((text) => !text.includes("401"))).toEqual([]);
    await context.close();
  });
});
