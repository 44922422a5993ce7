/** What becomes of an attempt: values that worker.ts translates for BullMQ. */
import type { Failure } from "./classify.ts";

/** What a job says; the claim compares all three with the task's row. */
export interface TaskRef {
  readonly task: string;
  readonly backfill: string;
  readonly dataset: string;
}

export type TaskOutcome =
  | { readonly kind: "done"; readonly rows: number; readonly held: boolean; readonly consumers: number }
  /** It was done before; only what follows the commit was left. */
  | { readonly kind: "settled" }
  | { readonly kind: "cancelled" }
  /** Nothing happened to the task, or nothing that counts: come back. */
  | { readonly kind: "later"; readonly why: Later; readonly delayMs: number }
  /** The attempt failed and the task is ready for another. */
  | { readonly kind: "retry"; readonly failure: Failure; readonly attempts: number }
  /** The task needs a person. */
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
      /** No plan of ours has such a task: somebody else put the job into the queue, and nothing was done for it. */
      readonly forged?: true;
    };

export type Later =
  | "not_ready"
  | "paused"
  | "held"
  | "busy"
  | "drift"
  | "suspect"
  | "lapsed"
  | "fenced"
  | "stopped"
  | "unavailable"
  | "unsettled";

/** Milliseconds until the job is looked at again. */
const delays: Readonly<Record<Later, number>> = {
  not_ready: 1_000,
  paused: 5_000,
  held: 5_000,
  busy: 1_000,
  drift: 2_000,
  suspect: 500,
  lapsed: 500,
  fenced: 1_000,
  stopped: 0,
  unavailable: 2_000,
  unsettled: 500,
};

export function later(why: Later): TaskOutcome {
  return { kind: "later", why, delayMs: delays[why] };
}

/** What to tell the queue about a task that is not this attempt's any more. */
export function standing(state: { readonly state: string } | undefined): TaskOutcome {
  return state?.state === "cancelled" ? { kind: "cancelled" } : later("fenced");
}

/** For logs: one line. */
export function describeOutcome(outcome: TaskOutcome): string {
  switch (outcome.kind) {
    case "later":
      return `later: ${outcome.why}`;
    case "retry":
      return `attempt ${outcome.attempts} failed (${outcome.failure.kind}): ${outcome.failure.message}`;
    case "failed":
      return `failed (${outcome.code}): ${outcome.message}`;
    case "done":
      return `done, ${outcome.rows} rows${outcome.held ? ", held" : ""}`;
    case "settled":
    case "cancelled":
      return outcome.kind;
  }
}
