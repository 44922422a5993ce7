/** Bounded waiting for a database that may be away. */
import { setTimeout as sleep } from "node:timers/promises";
import { classify } from "./classify.ts";

/** How long an outcome is tried to be recorded while Postgres cannot be reached; then the lease decides. */
const recordMs = 20_000;

/** Tries again while Postgres cannot be reached, within a bound. */
export async function persistently<Result>(act: () => Promise<Result>): Promise<Result> {
  const until = Date.now() + recordMs;
  for (let wait = 100; ; wait = Math.min(2_000, wait * 2)) {
    try {
      return await act();
    } catch (error) {
      const { kind } = classify(error);
      const passing = kind === "transient" || kind === "exhausted";
      if (!passing || Date.now() + wait > until) throw error;
      await sleep(wait);
    }
  }
}

const deadline = Symbol("deadline");

/** Rejects when `work` has not settled in time; it goes on by itself. */
export async function withDeadline<Result>(work: Promise<Result>, ms: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(`no reply within ${ms} ms`), { [deadline]: true })), ms);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}

export function isDeadline(error: unknown): boolean {
  return typeof error === "object" && error !== null && deadline in error;
}
