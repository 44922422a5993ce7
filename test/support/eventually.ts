/** Waiting in tests: on a condition, for a bounded time, and with the words for what never came. */
import { setTimeout as pause } from "node:timers/promises";

export interface Patience {
  /** What is waited for, as the failure tells it: "the worker has claimed a task". */
  readonly what: string;
  /** Default 50,000: a little less than a test may take, so that this message is seen and not the runner's. */
  readonly withinMs?: number;
  /** Between two looks. Default 25. */
  readonly everyMs?: number;
  /** What makes it useless to wait on. */
  readonly doomed?: () => string | undefined;
}

/** Looks again until the condition holds; an outage of what is asked is no answer. Fails with what was seen last. */
export async function eventually<Value>(
  look: () => Value | Promise<Value>,
  holds: (value: Value) => boolean,
  { what, withinMs = 50_000, everyMs = 25, doomed = () => undefined }: Patience,
): Promise<Value> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const seen = await attempt(look);
    if ("value" in seen && holds(seen.value)) return seen.value;
    const doom = doomed();
    if (doom !== undefined) throw new Error(`waited for this: ${what}; ${doom}`);
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}; last seen ${textOf(seen)}`);
    await pause(everyMs);
  }
}

type Seen<Value> = { readonly value: Value } | { readonly error: unknown };

async function attempt<Value>(look: () => Value | Promise<Value>): Promise<Seen<Value>> {
  try {
    return { value: await look() };
  } catch (error) {
    return { error };
  }
}

function textOf(seen: Seen<unknown>): string {
  return "value" in seen ? JSON.stringify(seen.value) : String(seen.error);
}
