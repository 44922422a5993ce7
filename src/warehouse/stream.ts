/**
 * A `map` task: rows stream out of Postgres by COPY, through the user's pure function, and back in by COPY.
 *
 * 1. the reader joins the work transaction's snapshot, so both see the same database
 * 2. COPY OUT on the reader → decode → map → encode → COPY IN on the work session, one chunk at a time
 * 3. the partition just written is counted, hashed and checked in one statement
 *
 * Only as much is in memory as one chunk of the reader and what the server has not yet taken. Whatever fails first
 * (either connection, the function, an abort) settles both streams; then the reader is closed, because a COPY OUT
 * cannot be left half-way, and the work session is in a failed transaction that its caller rolls back.
 */
import { once } from "node:events";
import { addAbortSignal, type Readable, type Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { MapContext, MapTransform } from "../catalog/dataset.ts";
import { labelOf } from "../catalog/label.ts";
import { RederiveError, sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";
import { bindInputs } from "./bind.ts";
import { type RowDecoder, rowDecoder } from "./decode.ts";
import { type RowEncoder, rowEncoder } from "./encode.ts";
import {
  type Measured,
  type MeasuredRow,
  measuredOf,
  measurement,
  ownedList,
  partitionOf,
  type TaskSpec,
} from "./measure.ts";
import { exportSnapshot, joinSnapshot, type Session } from "./session.ts";

/** Streams one partition of a `map` dataset into its candidate. On any error the reader has been closed. */
export async function computeMap(
  session: Session,
  reader: Session,
  spec: TaskSpec,
  signal: AbortSignal,
): Promise<Measured> {
  const { transform } = spec.derived;
  if (transform.kind !== "map") {
    throw new RederiveError("internal", `${spec.derived.name} is a ${transform.kind} dataset, not a map`);
  }
  try {
    signal.throwIfAborted();
    await joinSnapshot(reader, await exportSnapshot(session));
    const statement = readStatement(spec, transform);
    const decoder = rowDecoder(transform.fields, await reader.columnsOf(statement));
    const lines = new Lines(spec, transform, decoder, rowEncoder(spec.derived));
    if (spec.replace) await session.query(`delete from ${spec.candidate} where ${partitionOf(spec)}`);
    await pump(reader.copyOut(`copy (${statement}\n) to stdout`), session, spec, lines, signal);
    await reader.query("commit");
    return await measureMap(session, spec, decoder.rows, lines.written);
  } catch (error) {
    await reader.end();
    throw error;
  }
}

/** The user's read statement over its bound handles. */
function readStatement(spec: TaskSpec, transform: MapTransform): string {
  const inputs = bindInputs(spec.derived, spec.bindings);
  return `${inputs === "" ? "" : `with ${inputs}\n`}select * from (\n${transform.statement}\n) as r`;
}

function contextOf({ derived, ordinal }: TaskSpec): MapContext {
  return { dataset: derived.name, partition: labelOf(derived.partitions, ordinal), ordinal };
}

/** Turns a chunk of COPY OUT into a chunk of COPY IN. */
class Lines {
  written = 0;
  #text = "";
  #spec: TaskSpec;
  #map: MapTransform["map"];
  #context: MapContext;
  #decoder: RowDecoder;
  #encode: RowEncoder;

  constructor(spec: TaskSpec, transform: MapTransform, decoder: RowDecoder, encode: RowEncoder) {
    this.#spec = spec;
    this.#map = transform.map;
    this.#context = contextOf(spec);
    this.#decoder = decoder;
    this.#encode = encode;
  }

  translate(chunk: Buffer): string {
    this.#text = "";
    this.#decoder.decode(chunk, this.#onRow);
    return this.#text;
  }

  readonly #onRow = (row: Record<string, unknown>): void => {
    const result = this.#call(row);
    if (result === null || result === undefined) return;
    if (Array.isArray(result)) for (const each of result) this.#append(each);
    else this.#append(result as Readonly<Record<string, unknown>>);
  };

  #call(row: Record<string, unknown>): unknown {
    try {
      return this.#map(row, this.#context);
    } catch (error) {
      throw thrownByMap(this.#spec.derived.name, error);
    }
  }

  #append(row: unknown): void {
    if (typeof row !== "object" || row === null || row instanceof Promise) throw noRow(this.#spec.derived.name, row);
    this.#text += this.#encode(row as Readonly<Record<string, unknown>>);
    this.written += 1;
  }
}

/** Moves everything from one connection to the other; when it settles, neither stream is in flight any more. */
async function pump(
  source: Readable,
  session: Session,
  spec: TaskSpec,
  lines: Lines,
  signal: AbortSignal,
): Promise<void> {
  const target = session.copyIn(`copy ${spec.candidate} (${ownedList(spec)}) from stdin`);
  const stop = new AbortController();
  let targetFailed = false;
  // The first failure wakes whatever the transfer waits for. The listeners stay: a stream may fail again while it closes.
  source.on("error", (error) => stop.abort(error));
  target.on("error", (error) => {
    targetFailed = true;
    stop.abort(refusedByPostgres(spec, error));
  });
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await transfer(source, target, lines, stop);
  } catch (error) {
    source.destroy();
    if (!targetFailed) await giveUp(target);
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** A map may take long over each row: so long may rows be mapped before others in the process have a turn. */
const longestTurnMs = 20;
/** What a turn can overrun by. A chunk of COPY OUT is up to 64 KiB, some thousand rows. */
const sliceBytes = 8_192;

function* slicesOf(chunk: Buffer): Generator<Buffer> {
  for (let start = 0; start < chunk.length; start += sliceBytes) yield chunk.subarray(start, start + sliceBytes);
}

async function transfer(source: Readable, target: Writable, lines: Lines, stop: AbortController): Promise<void> {
  const { signal } = stop;
  let turnedAt = performance.now();
  for await (const chunk of addAbortSignal(signal, source)) {
    for (const slice of slicesOf(chunk as Buffer)) {
      const text = translated(lines, slice, stop);
      if (text !== "" && !target.write(text)) await once(target, "drain", { signal });
      // Postgres sends faster than rows are mapped, so without a pause here timers (the lease!) would wait for seconds.
      if (performance.now() - turnedAt > longestTurnMs) {
        await nextTurn();
        turnedAt = performance.now();
      }
      signal.throwIfAborted();
    }
  }
  target.end();
  await finished(target, { signal });
}

/** Leaving the loop destroys the source, which then reports an error of its own; this one must be the first. */
function translated(lines: Lines, chunk: Buffer, stop: AbortController): string {
  try {
    return lines.translate(chunk);
  } catch (error) {
    stop.abort(error);
    throw error;
  }
}

/** Ends a COPY IN without its rows, and waits until the server has agreed, so that the session takes a rollback next. */
async function giveUp(target: Writable): Promise<void> {
  if (target.closed) return;
  const closed = once(target, "close");
  // The text goes to the server's log, so it says nothing about rows.
  target.destroy(new Error("the task gave up"));
  await closed.catch(() => undefined);
}

/** Counts, hashes and checks what is in the partition now. What was sent and is not there lies outside of it. */
async function measureMap(session: Session, spec: TaskSpec, read: number, written: number): Promise<Measured> {
  const measured = await measureCandidate(session, spec, read);
  const outside = written - measured.rowsWritten;
  if (outside < 0) {
    throw new RederiveError(
      "internal",
      `the candidate holds ${-outside} rows of this partition of ${spec.derived.name} that this task did not write`,
      { details: { dataset: spec.derived.name, partition: spec.ordinal } },
    );
  }
  const strays = outside > 0 ? spec.probes.filter((probe) => probe.kind === "outside") : [];
  const failures = [...strays.map((probe) => ({ probe, count: outside })), ...measured.failures];
  return { ...measured, rowsWritten: written, failures };
}

/** Where it happened and what kind of error it was; its text may quote the row, so it stays in the cause. */
function thrownByMap(dataset: string, error: unknown): RederiveError {
  if (error instanceof RederiveError) return error;
  const kind = error instanceof Error ? error.name : typeof error;
  const at = error instanceof Error ? /^\s+at (.+)$/m.exec(error.stack ?? "")?.[1] : undefined;
  return new RederiveError(
    "transform_failed",
    `map of ${dataset} threw ${kind}${at === undefined ? "" : ` at ${at}`}`,
    {
      details: { dataset, error: kind },
      cause: error,
    },
  );
}

function noRow(dataset: string, value: unknown): RederiveError {
  const kind = value instanceof Promise ? "a promise; it must be synchronous" : `a ${typeof value} where a row belongs`;
  return new RederiveError("transform_failed", `map of ${dataset} returned ${kind}`, { details: { dataset } });
}

/** Postgres says which column it would not read, and quotes the value: keep the first, drop the second. */
function refusedByPostgres(spec: TaskSpec, error: unknown): unknown {
  const state = sqlState(error);
  if (state === undefined || !/^2[23]/.test(state)) return error;
  const { where = "" } = error as { where?: string };
  const column = spec.columns.find(
    ({ name }) => where.includes(`, column ${name}: `) || where.endsWith(`, column ${name}`),
  );
  const dataset = spec.derived.name;
  const what = column === undefined ? "a row" : `a value for ${column.name} (${column.type})`;
  return new RederiveError("transform_failed", `map of ${dataset} returned ${what} that Postgres refuses (${state})`, {
    details: { dataset, column: column?.name ?? null, sqlState: state },
  });
}

/** Counts, hashes and checks what the candidate has in the task's partition. */
export async function measureCandidate(tx: Tx, spec: TaskSpec, rowsRead: number | null): Promise<Measured> {
  const inputs = bindInputs(spec.derived, spec.bindings);
  const parts = [
    ...(inputs === "" ? [] : [inputs]),
    `candidate as not materialized (select ${ownedList(spec)} from ${spec.candidate} where ${partitionOf(spec)})`,
  ];
  const [row] = await tx.query<MeasuredRow>(`with ${parts.join(",\n")}\n${measurement(spec)}`);
  return measuredOf(spec, row as MeasuredRow, rowsRead);
}
