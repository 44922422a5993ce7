/**
 * Bull Board, for looking at queues: reading only, by our own guard (its own lets some writes answer 200), and
 * complete without the internet. It shows jobs; what may be done to backfills goes through the API, where it is
 * authorised and audited.
 */
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { ExpressAdapter } from "@bull-board/express";
import type { Queue } from "bullmq";
import type { RequestHandler } from "express";

/** A handler to mount behind authentication and the method guard, at any path. */
export function queueBoard(queues: readonly Queue[], options: { readonly logout: boolean }): RequestHandler {
  const adapter = new OfflineAdapter();
  createBullBoard({
    queues: queues.map(readOnlyQueue),
    serverAdapter: adapter,
    options: {
      uiConfig: {
        boardTitle: "rederive queues",
        // The language pack is then not asked of the browser's cache or guessed, and nothing is polled too often.
        pollingInterval: { forceInterval: 5, showSetting: false },
        environment: { label: "read only", color: "#5b6b7c" },
        ...(options.logout && { miscLinks: [{ text: "Log out", url: "../logout" }] }),
      },
    },
  });
  return adapter.getRouter() as RequestHandler;
}

function readOnlyQueue(queue: Queue): BullMQAdapter {
  const adapter = new BullMQAdapter(queue, { readOnlyMode: true, allowRetries: false });
  adapter.setFormatter("data", idsOnly);
  return adapter;
}

/** Our jobs carry ids alone. Should anything else get into one, it is not shown. */
function idsOnly(data: unknown): Record<string, string | number> {
  if (typeof data !== "object" || data === null) return {};
  const short = (value: unknown): value is string | number =>
    typeof value === "number" || (typeof value === "string" && value.length <= 64);
  return Object.fromEntries(
    Object.entries(data).filter((entry): entry is [string, string | number] => short(entry[1])),
  );
}

type EntryRoute = Parameters<ExpressAdapter["setEntryRoute"]>[0];

/** Serves the board's page cleaned, and with the path at which it is really mounted. */
class OfflineAdapter extends ExpressAdapter {
  override setEntryRoute(route: EntryRoute): ExpressAdapter {
    this.app.disable("x-powered-by");
    this.app.get(route.route, (request, response, next) => {
      const page = route.handler({ basePath: request.baseUrl, uiConfig: this.uiConfig });
      response.render(page.name, page.params, (error: Error | null, html?: string) => {
        if (error || html === undefined) next(error ?? new Error("the queue board's page is empty"));
        else response.type("html").send(offlinePage(html));
      });
    });
    return this;
  }
}

/** Without links to other hosts, and without the inline styles of the loading text, which our policy would block. */
function offlinePage(html: string): string {
  return html
    .replace(/<link\b[^>]*\bhref="https?:\/\/[^>]*>/gi, "")
    .replace(/<div id="root">[\s\S]*?(?=<script\b)/i, '<div id="root">Loading…</div>\n');
}
