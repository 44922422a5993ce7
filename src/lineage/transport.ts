/** Sends OpenLineage events: by HTTP, into a file or to stdout, one JSON object each. */
import { appendFile, writeFile } from "node:fs/promises";
import { refusedBecause } from "./answer.ts";
import type { TransportSettings } from "./settings.ts";

/** Resolves to why an event will never be taken; to undefined where it has arrived. Rejects where it has not, yet. */
export type SendEvent = (body: string) => Promise<string | undefined>;

export function eventSender(settings: TransportSettings): SendEvent {
  switch (settings.type) {
    case "console":
      return async (body) => {
        process.stdout.write(`${body}\n`);
        return undefined;
      };
    case "file":
      return fileSender(settings.path, settings.append);
    case "http":
      return (body) => post(settings, body);
  }
}

/** Without `append` each event has a file of its own, named by the time, as with the project's own clients. */
function fileSender(path: string, append: boolean): SendEvent {
  if (append) return (body) => written(appendFile(path, `${body}\n`));
  let count = 0;
  return (body) => {
    count += 1;
    const name = `${path}-${new Date().toISOString().replaceAll(/[^0-9]/g, "")}-${count}.json`;
    return written(writeFile(name, `${body}\n`));
  };
}

async function written(writing: Promise<void>): Promise<undefined> {
  await writing;
}

type Http = Extract<TransportSettings, { type: "http" }>;

/** A redirect is not followed: the key is for the address that was configured. */
async function post({ url, apiKey, timeoutMs }: Http, body: string): Promise<string | undefined> {
  const response = await fetch(url, {
    method: "POST",
    body,
    redirect: "manual",
    headers: {
      "content-type": "application/json",
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
    },
    signal: AbortSignal.timeout(timeoutMs),
  });
  try {
    return await refusedBecause("the OpenLineage endpoint", response);
  } finally {
    await response.body?.cancel().catch(() => {});
  }
}
