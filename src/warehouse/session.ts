/**
 * One pinned connection of a task, over `pg` and its COPY streams.
 *
 * Every setting that can change the text or the value of a result is fixed when the session opens and belongs to the
 * plan; a server or pooler that does not take a setting is refused at once. The session neither begins nor commits:
 * the caller owns the transaction, so that data, stamp and fence commit together.
 */
import type { Readable, Writable } from "node:stream";
import pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import { RederiveError } from "../errors.ts";
import type { Tx } from "../tx.ts";

/** Settings that results depend on. They are part of every plan, so a change here is a change of every fingerprint. */
export const pins: Readonly<Record<string, string>> = Object.freeze({
  TimeZone: "UTC",
  DateStyle: "ISO, YMD",
  IntervalStyle: "postgres",
  bytea_output: "hex",
  extra_float_digits: "1",
  // pg_catalog is searched first by itself; temporary tables come last, so that none can stand in for a real one.
  search_path: "public, pg_temp",
  row_security: "off",
  standard_conforming_strings: "on",
  transform_null_equals: "off",
  xmloption: "content",
  // Two scans that share their work start in different places, and floating-point sums depend on the order.
  synchronize_seqscans: "off",
});

/**
 * Settings that change speed and never results. A task's statement runs once, so compiling it does not pay. What is
 * prepared (claim, finish) finds its rows by key whatever the values are, and planning it costs more than running it.
 */
const tuning: Readonly<Record<string, string>> = Object.freeze({ jit: "off", plan_cache_mode: "force_generic_plan" });

/** Statements that a session keeps prepared; later ones are planned each time. */
const preparedStatements = 32;

export interface SessionOptions {
  /** Seen in pg_stat_activity. */
  readonly applicationName: string;
  /** How long to wait for the connection. Default 10,000. */
  readonly connectTimeoutMs?: number;
}

/** A column of a statement's result: its name and the oid of its type. */
export interface ResultColumn {
  readonly name: string;
  readonly typeId: number;
}

export interface Session extends Tx {
  /** Runs several statements in one round trip; the rows of each, in order. The first that fails is the last that ran. */
  queryEach<Row = Record<string, unknown>>(text: string): Promise<Row[][]>;
  /** Process id of the backend, and when it started (an instant as text): together they name it for ever. */
  readonly pid: number;
  readonly startedAt: string;
  /** False once the connection is gone; every later statement is rejected. */
  readonly usable: boolean;
  /** The bytes of `copy (…) to stdout`. */
  copyOut(text: string): Readable;
  /** Takes the bytes for `copy … from stdin`; "finish" comes when the server has them all. */
  copyIn(text: string): Writable;
  /** Name and type of each column that a query gives, without running it to the end. */
  columnsOf(text: string): Promise<readonly ResultColumn[]>;
  /** Sets the longest time one statement may take. Call it between transactions: a rollback would undo it unseen. */
  limitStatements(timeoutMs: number): Promise<void>;
  /** Closes the connection; in the middle of a statement it is cut, and the server rolls back. Safe to repeat. */
  end(): Promise<void>;
}

/** Opens a connection, pins its settings and checks that they took effect. Errors of the server pass through as they are. */
export async function openSession(url: string, options: SessionOptions): Promise<Session> {
  const client = new pg.Client({
    connectionString: url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    keepAlive: true,
  });
  const session = new PgSession(client);
  await client.connect();
  try {
    await session.pin({ ...pins, ...tuning });
  } catch (error) {
    await session.end();
    throw error;
  }
  return session;
}

/** The id under which another session can see exactly what this transaction sees, while this transaction is open. */
export async function exportSnapshot(tx: Tx): Promise<string> {
  const [row] = await tx.query<{ snapshot: string }>("select pg_export_snapshot() as snapshot");
  return (row as { snapshot: string }).snapshot;
}

/** Begins a read-only transaction that sees what the exporting transaction sees. The caller ends it. */
export async function joinSnapshot(reader: Tx, snapshot: string): Promise<void> {
  const id = pg.escapeLiteral(snapshot);
  await reader.query(`begin isolation level repeatable read, read only; set transaction snapshot ${id}`);
}

class PgSession implements Session {
  pid = 0;
  startedAt = "";
  #client: pg.Client;
  #usable = true;
  #timeoutMs: number | undefined;
  readonly #names = new Map<string, string>();

  constructor(client: pg.Client) {
    this.#client = client;
    // A connection may break between two statements. The next statement reports it; here it must only not be fatal.
    client.on("error", () => {
      this.#usable = false;
    });
    client.on("end", () => {
      this.#usable = false;
    });
  }

  get usable(): boolean {
    return this.#usable;
  }

  async pin(settings: Readonly<Record<string, string>>): Promise<void> {
    const names = Object.keys(settings);
    const calls = names.map((_, index) => `set_config($${2 * index + 1}, $${2 * index + 2}, false)`);
    const result = await this.#client.query<string[]>({
      text: `select ${calls.join(", ")}, pg_backend_pid(),
               (select (backend_start at time zone 'UTC')::text || '+00' from pg_stat_activity where pid = pg_backend_pid())`,
      values: Object.entries(settings).flat(),
      rowMode: "array",
    });
    const effective = result.rows[0] ?? [];
    for (const [index, name] of names.entries()) requirePin(name, settings[name] as string, effective[index]);
    this.pid = Number(effective[names.length]);
    this.startedAt = String(effective[names.length + 1]);
  }

  /** Of several statements in one text, the rows are those of the last one. */
  async query<Row>(text: string, params?: readonly unknown[]): Promise<Row[]> {
    const results = await this.#send(
      params === undefined ? { text } : { ...this.#prepared(text), text, values: [...params] },
    );
    return (results.at(-1)?.rows ?? []) as Row[];
  }

  async queryEach<Row>(text: string): Promise<Row[][]> {
    return (await this.#send({ text })).map((result) => result.rows as Row[]);
  }

  async #send(query: pg.QueryConfig): Promise<pg.QueryResult[]> {
    try {
      const result: pg.QueryResult | pg.QueryResult[] = await this.#client.query(query);
      return Array.isArray(result) ? result : [result];
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  /** The server says why it ends a connection before it closes it: from that word on nothing can be sent. */
  #note(error: unknown): void {
    const severity = (error as { severity?: unknown } | null)?.severity;
    if (severity === "FATAL" || severity === "PANIC") this.#usable = false;
  }

  /** A session runs the same few statements with parameters for task after task; planning them once saves most of it. */
  #prepared(text: string): { name?: string } {
    let name = this.#names.get(text);
    if (name === undefined && this.#names.size < preparedStatements) {
      name = `rederive_${this.#names.size}`;
      this.#names.set(text, name);
    }
    return name === undefined ? {} : { name };
  }

  copyOut(text: string): Readable {
    return this.#client.query(copyTo(text)).on("error", (error) => this.#note(error));
  }

  copyIn(text: string): Writable {
    return this.#client.query(copyFrom(text)).on("error", (error) => this.#note(error));
  }

  async columnsOf(text: string): Promise<readonly ResultColumn[]> {
    const result = await this.#client.query(`select * from (${text}\n) as r limit 0`);
    return result.fields.map((field) => ({ name: field.name, typeId: field.dataTypeID }));
  }

  async limitStatements(timeoutMs: number): Promise<void> {
    if (this.#timeoutMs === timeoutMs) return;
    await this.#client.query("select set_config('statement_timeout', $1, false)", [String(timeoutMs)]);
    this.#timeoutMs = timeoutMs;
  }

  async end(): Promise<void> {
    this.#usable = false;
    await this.#client.end();
  }
}

function requirePin(name: string, wanted: string, found: string | undefined): void {
  if (found === wanted) return;
  throw new RederiveError(
    "configuration",
    `the server did not take the session setting ${name} = ${wanted} (it says ${found ?? "nothing"}); ` +
      "connect to Postgres itself or to a pooler in session mode",
    { details: { setting: name, wanted, found: found ?? null } },
  );
}
