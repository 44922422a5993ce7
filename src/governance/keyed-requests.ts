/**
 * Requests that come with a key of their own are carried out once: whoever sends one again because the answer was lost gets
 * the first answer. Only what was done is kept. A refusal has changed nothing, so its key is free again; where it is not
 * known how the first request ended, the key stays taken, and somebody has to look at what it did.
 */
import * as store from "../store/keyed-requests.ts";
import type { Tx } from "../tx.ts";

export type { KeptAnswer, KeyedRequest } from "../store/keyed-requests.ts";

export type Claim =
  | { readonly kind: "first" }
  | { readonly kind: "answered"; readonly answer: store.KeptAnswer }
  /** The key belongs to a request with another method, path, query or body, or with other rights. */
  | { readonly kind: "other" }
  /** The first request has not ended, or its end is not known. */
  | { readonly kind: "unsettled" };

export interface KeyedRequests {
  claim(request: store.KeyedRequest): Promise<Claim>;
  keep(request: store.KeyedRequest, answer: store.KeptAnswer): Promise<void>;
  release(request: store.KeyedRequest): Promise<void>;
}

export function keyedRequestsIn(database: Tx): KeyedRequests {
  return {
    claim: async (request) => {
      if (await store.claimKey(database, request)) return { kind: "first" };
      const row = await store.readKeyedRequest(database, request);
      if (row === undefined) return { kind: "unsettled" };
      if (row.hash !== request.hash) return { kind: "other" };
      return row.answer === null ? { kind: "unsettled" } : { kind: "answered", answer: row.answer };
    },
    keep: (request, answer) => store.keepAnswer(database, request, answer),
    release: (request) => store.releaseKey(database, request),
  };
}
