/**
 * The connections of one task at a time: a writer, which claims and works, and for `map` a reader. Both are opened when
 * they are first needed, and anew after they broke.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { terminateBackend } from "../store/claims.ts";
import { traceQueries } from "../telemetry/sql.ts";
import type { Database } from "../tx.ts";
import { openSession, type Session } from "../warehouse/session.ts";

export interface LaneOptions {
  readonly databaseUrl: string;
  /** Control connections, for ending a backend from outside. */
  readonly database: Database;
  /** Seen in pg_stat_activity. */
  readonly applicationName: string;
}

/** How long closing a connection may take before its socket is left to the system. */
const endMs = 2_000;

export class Lane {
  readonly #options: LaneOptions;
  #writer: Session | undefined;
  #reader: Session | undefined;
  #cutting: Promise<boolean> | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  async writer(): Promise<Session> {
    await this.#cutting;
    if (this.#writer?.usable !== true) this.#writer = await this.#open("writer");
    return this.#writer;
  }

  async reader(): Promise<Session> {
    if (this.#reader?.usable !== true) this.#reader = await this.#open("reader");
    return this.#reader;
  }

  /**
   * Ends both connections on the server, whatever they do, and waits until the backends are gone: from then on it is
   * decided whether a commit that was under way took place. False where the server could not be asked, or did not obey.
   */
  cut(): Promise<boolean> {
    // Whoever asks while it goes on waits for the same end: an abort and the error that it causes both come here.
    this.#cutting ??= this.#cut().finally(() => {
      this.#cutting = undefined;
    });
    return this.#cutting;
  }

  async #cut(): Promise<boolean> {
    const sessions = this.#take();
    const ended = await Promise.all(
      sessions.map(({ pid, startedAt }) => terminateBackend(this.#options.database, { pid, start: startedAt })),
    ).then(
      (gone) => gone.every(Boolean),
      () => false,
    );
    await endAll(sessions);
    return ended;
  }

  async close(): Promise<void> {
    await endAll(this.#take());
  }

  #take(): Session[] {
    const sessions = [this.#writer, this.#reader].filter((session) => session !== undefined);
    this.#writer = undefined;
    this.#reader = undefined;
    return sessions;
  }

  async #open(part: string): Promise<Session> {
    const session = await openSession(this.#options.databaseUrl, {
      applicationName: `${this.#options.applicationName} ${part}`,
    });
    // An acknowledged commit must survive a crash, whatever the server's default is; stronger settings stay.
    await session.query(
      "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') in ('off', 'local')",
    );
    return traceQueries(session);
  }
}

async function endAll(sessions: readonly Session[]): Promise<void> {
  const ending = Promise.allSettled(sessions.map((session) => session.end()));
  await Promise.race([ending, sleep(endMs, undefined, { ref: false })]);
}
