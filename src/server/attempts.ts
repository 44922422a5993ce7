/**
 * Failed authentications by address, as one process sees them. A token cannot be guessed; the limit keeps whoever tries
 * from making work for Postgres.
 */
import type { Response } from "express";
import { HttpError } from "./problem.ts";

const windowMs = 60_000;
const mostFailures = 10;
/** Of addresses remembered; beyond it the oldest are forgotten, so that inventing addresses fills no memory. */
const mostAddresses = 10_000;

interface Failures {
  count: number;
  /** When the window began, in milliseconds. */
  readonly since: number;
}

export class FailedAttempts {
  readonly #failures = new Map<string, Failures>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Seconds until this address may try again; 0 where it may now. */
  waitOf(address: string): number {
    const failures = this.#current(address);
    if (failures === undefined || failures.count < mostFailures) return 0;
    return Math.ceil((failures.since + windowMs - this.#now()) / 1_000);
  }

  note(address: string): void {
    const failures = this.#current(address);
    if (failures !== undefined) {
      failures.count += 1;
      return;
    }
    const [oldest] = this.#failures.keys();
    if (this.#failures.size >= mostAddresses && oldest !== undefined) this.#failures.delete(oldest);
    this.#failures.set(address, { count: 1, since: this.#now() });
  }

  #current(address: string): Failures | undefined {
    const failures = this.#failures.get(address);
    if (failures === undefined || this.#now() - failures.since < windowMs) return failures;
    this.#failures.delete(address);
    return undefined;
  }
}

/** Throws 429 with Retry-After. */
export function tooMany(response: Response, seconds: number, message: string): never {
  response.setHeader("Retry-After", String(seconds));
  throw new HttpError("too_many_requests", `${message}; try again in ${seconds} s`, { seconds });
}
