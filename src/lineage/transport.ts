/** Sends OpenLineage events: by HTTP, into a file or to stdout, one JSON object each. */
import { appendFile, writeFile } from "node:fs/promises";
import { RederiveError } from "../errors.ts";
import type { TransportSettings } from "./settings.ts";

/** Rejects where an event has not arrived. */
export type SendEvent = (body: string) => Promise<void>;

export function eventSender(settings: TransportSettings): SendEvent {
  switch (settings.type) {
    case "console":
      return async (body) => void process.stdout.write(`${body}\n`);
    case "file":
      return fileSender(settings.path, settings.append);
    case "http":
      return (body) => post(settings, body);
  }
}

/** Without `append` each event has a file of its own, named by the time, as with the project's own clients. */
function fileSender(path: string, append: boolean): SendEvent {
  if (append) return (body) => appendFile(path, `${body}\n`);
  let count = 0;
  return (body) => {
    count += 1;
    return writeFile(`${path}-${new Date().toISOString().replaceAll(/[^0-9]/g, "")}-${count}.json`, `${body}\n`);
  };
}

type Http = Extract<TransportSettings, { type: "http" }>;

/** A redirect is not followed: the key is for the address that was configured. */
async function post({ url, apiKey, timeoutMs }: Http, body: string): Promise<void> {
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
  await response.body?.cancel();
  if (response.ok) return;
  throw new RederiveError("unavailable", `the OpenLineage endpoint answered ${response.status}`, {
    details: { status: response.status },
  });
}
