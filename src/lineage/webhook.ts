/**
 * Signed webhooks: POST of a JSON body with an HMAC-SHA256 over its time and itself, so that a receiver can tell that it
 * came from here, unchanged, and not long ago. Redirects are not followed, and inner addresses not called.
 */
import { createHmac } from "node:crypto";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { guardedLookup, mayCall, refusal } from "./addresses.ts";
import { refusedBecause } from "./answer.ts";

export interface WebhookCall {
  readonly url: string;
  readonly secret: string;
  readonly allowLoopback: boolean;
  /** The same for every attempt at one message. */
  readonly id: string;
  readonly body: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

const timeoutMs = 10_000;

/** `t=<unix seconds>,v1=<hex>` where the HMAC is over `<seconds>.<body>`. */
export function signatureOf(secret: string, seconds: number, body: string): string {
  return `t=${seconds},v1=${createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex")}`;
}

/** Resolves to why the receiver will never take it; to undefined after a 2xx. Rejects where it may take it later. */
export async function callWebhook(call: WebhookCall): Promise<string | undefined> {
  const url = new URL(call.url);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  // Names are judged when they are resolved; an address is not resolved any more.
  if (isIP(host) !== 0 && !mayCall(host, call.allowLoopback)) throw refusal(host);
  const response = await post(call, url);
  try {
    return await refusedBecause(`the webhook ${url.origin}`, { status: response.statusCode ?? 0, body: response });
  } finally {
    response.destroy();
  }
}

function post({ secret, allowLoopback, id, body, now }: WebhookCall, url: URL): Promise<IncomingMessage> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  const options = {
    method: "POST",
    lookup: guardedLookup(allowLoopback),
    // A connection that was opened for somebody else was judged by their rules.
    agent: false as const,
    signal: AbortSignal.timeout(timeoutMs),
    headers: {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "rederive-delivery": id,
      "rederive-signature": signatureOf(secret, Math.floor(now / 1_000), body),
    },
  };
  return new Promise((resolve, reject) => {
    const request = send(url, options, (response) => {
      response.on("error", () => {});
      resolve(response);
    });
    request.on("error", reject);
    request.end(body);
  });
}
