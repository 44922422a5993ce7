/** The header Idempotency-Key: a request that is sent again is answered again, and carried out once. */
import type { Request } from "express";
import { RederiveError } from "../errors.ts";
import type { KeptAnswer, KeyedRequest } from "../governance/keyed-requests.ts";
import { type Actor, personOf } from "../governance/roles.ts";
import { hashOf } from "../hash.ts";
import type { RederivePort } from "./port.ts";
import { HttpError, problemOf } from "./problem.ts";

export const keyHeader = "Idempotency-Key";

export type Answered = KeptAnswer & { readonly replayed: boolean };

/** Carries the request out, or gives what was answered when it came with the same key before. */
export async function once(
  rederive: Pick<RederivePort, "keyedRequests">,
  request: Request,
  actor: Actor,
  carryOut: () => Promise<KeptAnswer>,
): Promise<Answered> {
  const keyed = keyedRequestOf(request, actor);
  if (keyed === undefined) return { ...(await carryOut()), replayed: false };
  const { keyedRequests } = rederive;
  const claim = await keyedRequests.claim(keyed);
  switch (claim.kind) {
    case "answered":
      return { ...claim.answer, replayed: true };
    case "other":
      throw new HttpError(
        "idempotency_mismatch",
        `${keyHeader} ${keyed.key} belongs to another request, or to one with another role or other groups; use a new key`,
      );
    case "unsettled":
      throw new HttpError(
        "idempotency_unsettled",
        `the first request with ${keyHeader} ${keyed.key} has not ended, or nobody knows how; look at what it did, then use a new key`,
      );
    case "first":
      break;
  }
  let answer: KeptAnswer;
  try {
    answer = await carryOut();
  } catch (error) {
    // Where the failure is ours, a commit may have happened whose reply was lost.
    if (problemOf(error, "").status < 500) await keyedRequests.release(keyed);
    throw error;
  }
  await keyedRequests.keep(keyed, answer);
  return { ...answer, replayed: false };
}

function keyedRequestOf(request: Request, actor: Actor): KeyedRequest | undefined {
  const key = request.get(keyHeader);
  if (key === undefined || request.method === "GET" || request.method === "HEAD") return undefined;
  if (!/^[\x21-\x7e]{1,200}$/.test(key)) {
    throw new RederiveError("usage", `${keyHeader} is 1 to 200 printable ASCII characters without spaces`);
  }
  const { method, originalUrl } = request;
  const body = (request.body as unknown) ?? {};
  // The rights belong to it: what somebody was answered is not for them to see once they may see less.
  const rights = { role: actor.role, groups: actor.groups?.toSorted() ?? null };
  return { person: personOf(actor), key, hash: hashOf({ method, originalUrl, body, rights }) };
}
