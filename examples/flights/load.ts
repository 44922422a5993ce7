/**
 * Loads the flights of vega-datasets into the table `flight`: real rows only, once.
 *
 * 1. Open flights-3m.parquet where npm installed it and read its metadata.
 * 2. Take one row group (about 273,000 rows) after another, so that memory stays bounded.
 * 3. Give each row its ordinal as id and COPY it.
 * 4. Build the index after the rows, analyse, and leave a marker, all in the transaction of the COPY.
 */

import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import type { ClientBase } from "pg";
import { from as copyFrom } from "pg-copy-streams";

export interface LoadOptions {
  /** The first rows only; the file is in order of time, so a few thousand rows are the first day. Default: all. */
  readonly rows?: number;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export interface LoadProgress {
  readonly rows: number;
  readonly total: number;
}

export interface LoadResult {
  readonly rows: number;
  /** True where an earlier run had loaded them. */
  readonly present: boolean;
}

/** The columns of one row group, as hyparquet decodes them. */
interface RowGroup {
  readonly date: ArrayLike<bigint>;
  readonly delay: ArrayLike<bigint>;
  readonly distance: ArrayLike<bigint>;
  readonly origin: ArrayLike<string>;
  readonly destination: ArrayLike<string>;
}

type Parquet = Awaited<ReturnType<typeof openParquet>>;

const columnNames = ["date", "delay", "distance", "origin", "destination"] as const;

/** Rows per write into the COPY stream: about 100 kB of text. */
const rowsPerWrite = 2000;

/** Loads `flight` unless it already holds exactly these rows. The table must exist. */
export async function loadFlights(client: ClientBase, options: LoadOptions = {}): Promise<LoadResult> {
  const parquet = await openParquet();
  const total = Math.min(options.rows ?? parquet.rows, parquet.rows);
  if (await isLoaded(client, total)) return { rows: total, present: true };
  await client.query("begin");
  try {
    // A table truncated in the same transaction needs no WAL for its rows where wal_level is minimal.
    await client.query("drop index if exists flight_departed_at");
    await client.query("truncate flight");
    await copyRows(client, parquet, total, options.onProgress);
    await client.query("create index flight_departed_at on flight (departed_at)");
    await client.query(`comment on table flight is '${marker(total)}'`);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  }
  // Outside the transaction, because VACUUM must be: it sets the visibility map that index-only counts need.
  await client.query("vacuum (analyze) flight");
  return { rows: total, present: false };
}

async function openParquet() {
  const path = fileURLToPath(new URL("../data/flights-3m.parquet", import.meta.resolve("vega-datasets")));
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  return { file, metadata, rows: Number(metadata.num_rows) };
}

function marker(rows: number): string {
  return `the first ${rows} rows of flights-3m.parquet`;
}

/** The marker says that a load was completed, the count that nobody has changed the table since. */
async function isLoaded(client: ClientBase, rows: number): Promise<boolean> {
  const { rows: found } = await client.query<{ complete: boolean }>(
    `select coalesce(obj_description('flight'::regclass, 'pg_class') = $1::text, false)
        and (select count(*) from flight) = $2::bigint as complete`,
    [marker(rows), rows],
  );
  return found[0]?.complete ?? false;
}

async function copyRows(
  client: ClientBase,
  parquet: Parquet,
  total: number,
  onProgress: LoadOptions["onProgress"],
): Promise<void> {
  const copy = client.query(copyFrom("copy flight (id, departed_at, delay, distance, origin, destination) from stdin"));
  try {
    let start = 0;
    for (const { num_rows } of parquet.metadata.row_groups) {
      const end = Math.min(start + Number(num_rows), total);
      if (start >= end) break;
      const group = await readRowGroup(parquet, start, end);
      for (let from = start; from < end; from += rowsPerWrite) {
        const to = Math.min(from + rowsPerWrite, end);
        await write(copy, copyText(group, start, from, to));
        onProgress?.({ rows: to, total });
      }
      start = end;
    }
    copy.end();
    await finished(copy);
  } catch (error) {
    // Ends the COPY with an error on the server too; otherwise the connection would stay in COPY mode.
    copy.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

async function readRowGroup(parquet: Parquet, rowStart: number, rowEnd: number): Promise<RowGroup> {
  const columns = new Map<string, ArrayLike<unknown>>();
  await parquetRead({
    file: parquet.file,
    metadata: parquet.metadata,
    compressors,
    rowStart,
    rowEnd,
    // The column is a wall-clock time without a zone: microseconds as they are, never a Date.
    parsers: { timestampFromMicroseconds: (micros) => micros },
    onChunk: (chunk) => {
      if (chunk.rowStart !== rowStart) throw new Error(`${chunk.columnName} came in more than one piece`);
      columns.set(chunk.columnName, chunk.columnData);
    },
  });
  for (const name of columnNames) {
    if ((columns.get(name)?.length ?? 0) < rowEnd - rowStart)
      throw new Error(`flights-3m.parquet lacks rows of ${name}`);
  }
  return Object.fromEntries(columns) as unknown as RowGroup;
}

/** The rows [from, to) of the file, of which `group` holds those from `start` on, in COPY's text format. */
function copyText(group: RowGroup, start: number, from: number, to: number): string {
  const lines: string[] = [];
  let micros: bigint | undefined;
  let departedAt = "";
  for (let id = from; id < to; id += 1) {
    const i = id - start;
    // Rows are in order of time, so that neighbours mostly share the minute and its text.
    if (group.date[i] !== micros) {
      micros = group.date[i] as bigint;
      departedAt = new Date(Number(micros / 1000n)).toISOString().slice(0, 19);
    }
    lines.push(
      `${id}\t${departedAt}\t${group.delay[i]}\t${group.distance[i]}\t${group.origin[i]}\t${group.destination[i]}\n`,
    );
  }
  return lines.join("");
}

/** Writes and waits until the stream wants more; rejects when Postgres has refused a row. */
function write(stream: Writable, chunk: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
