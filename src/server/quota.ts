/** How many requests of one kind a person has running at a time, as one process sees them. */
import type { RequestHandler } from "express";
import { personOf } from "../governance/roles.ts";
import { tooMany } from "./attempts.ts";
import { currentActor } from "./auth.ts";
import { closeOf } from "./closing.ts";

/**
 * Lets a person have so many of these requests at a time; the next is 429. `what` is made by them, in the plural. A place
 * is free again when its answer is sent and its work is over: who hangs up leaves the work behind.
 */
export function fewAtATime(most: number, what: string): (work: RequestHandler) => RequestHandler {
  const running = new Map<string, number>();
  const release = (person: string): void => {
    const left = (running.get(person) ?? 1) - 1;
    if (left === 0) running.delete(person);
    else running.set(person, left);
  };
  return (work) => async (request, response, next) => {
    const person = personOf(currentActor(response));
    const now = running.get(person) ?? 0;
    if (now >= most)
      tooMany(response, 1, `${person} has ${now} ${what} being made, and no more than ${most} are made at a time`);
    running.set(person, now + 1);
    const worked = (async () => work(request, response, next))();
    // Where the work fails, the answer is sent after it, by whoever catches the failure.
    void Promise.allSettled([worked, closeOf(response)]).then(() => release(person));
    await worked;
  };
}
