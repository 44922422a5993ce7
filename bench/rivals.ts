/**
 * What a good engineer would write instead of using rederive, at the best speed that we know how to reach.
 *
 * All of them use a pool of exactly `lanes` connections with prepared statements, write final rows by upsert (a
 * backfill is run more than once), and keep the BullMQ jobs small, added 1,000 a call and removed when done.
 */
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { type Job, Queue, Worker } from "bullmq";
import pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import type { ISql, Sql } from "postgres";
import { toFact } from "./fact.ts";
import type { Slice } from "./orders.ts";

/** One revenue statement per slice; `day` and `hour` differ in target and grain only. */
export type Grain = "day" | "hour";

export interface Redis {
  readonly host: string;
  readonly port: number;
}

/** What every rival is given: the same slices, and as many of them at a time. */
export interface Course {
  readonly sql: Sql;
  readonly redis: Redis;
  readonly grain: Grain;
  readonly slices: readonly Slice[];
  readonly lanes: number;
}

/** Bare SQL: a loop per lane over the slices, one upsert each. */
export async function bareLoop({ sql, grain, slices, lanes }: Course): Promise<void> {
  await inLanes(slices, lanes, async (slice) => {
    await upsertRevenue(sql, grain, slice);
  });
}

/** The same inside BullMQ: slices added in bulk, one worker with `lanes` jobs at a time. */
export async function bullmqLoop({ sql, redis, grain, slices, lanes }: Course): Promise<void> {
  await throughBullmq<Slice>(redis, slices, lanes, async ({ data }) => {
    await upsertRevenue(sql, grain, data);
  });
}

/** And with a ledger: the slice's row is set to running and to done in the transaction that does the work. */
export async function bullmqLedgerLoop({ sql, redis, grain, slices, lanes }: Course): Promise<void> {
  await sql`insert into ledger (id, state) select i, 'ready' from generate_series(0, ${slices.length - 1}::integer) i`;
  const jobs = slices.map((slice, id) => ({ ...slice, id }));
  await throughBullmq<Slice & { id: number }>(redis, jobs, lanes, async ({ data }) => {
    // Returning the queries lets postgres.js send them in one round trip.
    await sql.begin((tx) => [
      tx`update ledger set state = 'running', started_at = now() where id = ${data.id}`,
      upsertRevenue(tx, grain, data),
      tx`update ledger set state = 'done', finished_at = clock_timestamp() where id = ${data.id}`,
    ]);
  });
}

function upsertRevenue(sql: ISql, grain: Grain, { from, to }: Slice) {
  if (grain === "day") {
    return sql`
      insert into daily_revenue (day, currency, orders, cents)
      select (created_at at time zone 'UTC')::date, currency, count(*)::integer, sum(amount_cents)
      from orders where created_at >= ${from}::timestamptz and created_at < ${to}::timestamptz
      group by 1, 2
      on conflict (day, currency) do update set orders = excluded.orders, cents = excluded.cents`;
  }
  return sql`
    insert into hourly_revenue (hour, currency, orders, cents)
    select date_trunc('hour', created_at, 'UTC'), currency, count(*)::integer, sum(amount_cents)
    from orders where created_at >= ${from}::timestamptz and created_at < ${to}::timestamptz
    group by 1, 2
    on conflict (hour, currency) do update set orders = excluded.orders, cents = excluded.cents`;
}

/** Jobs that do nothing: the queue's own limit. */
export async function bullmqEmpty(redis: Redis, count: number, concurrency: number): Promise<void> {
  const jobs = Array.from({ length: count }, (_, id) => ({ id }));
  await throughBullmq(redis, jobs, concurrency, async () => {});
}

/** Adds one job per payload while the worker already runs; resolves when the last is done. */
async function throughBullmq<Data>(
  redis: Redis,
  payloads: readonly Data[],
  concurrency: number,
  process: (job: Job<Data>) => Promise<void>,
): Promise<void> {
  const connection = { ...redis, maxRetriesPerRequest: null };
  const queue = new Queue<Data>("rival", { connection });
  let left = payloads.length;
  let failure: Error | undefined;
  let settle: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const worker = new Worker<Data>("rival", process, { connection, concurrency, prefix: "bull" });
  worker.on("completed", () => {
    left -= 1;
    if (left === 0) settle();
  });
  worker.on("failed", (_job, error) => {
    failure = error;
    settle();
  });
  for (let i = 0; i < payloads.length; i += 1000) {
    const jobs = payloads.slice(i, i + 1000).map((data) => ({ name: "slice", data, opts }));
    await queue.addBulk(jobs as Parameters<typeof queue.addBulk>[0]);
  }
  await finished;
  await worker.close();
  await queue.close();
  if (failure) throw failure;
}

const opts = { removeOnComplete: true, removeOnFail: true, attempts: 1 };

/** The naive row pipeline: a cursor of 1,000 rows, a function call each, one INSERT of 1,000 rows. */
export async function naiveMap(sql: Sql, slices: readonly Slice[], lanes: number): Promise<void> {
  await inLanes(slices, lanes, async ({ from, to }) => {
    const cursor = sql<RawOrder[]>`
      select id, created_at, customer_id, amount_cents, currency from orders
      where created_at >= ${from}::timestamptz and created_at < ${to}::timestamptz`.cursor(1000);
    for await (const rows of cursor) {
      const facts = rows.map((row) =>
        toFact({
          id: Number(row.id),
          createdMs: row.created_at.getTime(),
          customerId: row.customer_id,
          cents: row.amount_cents,
          currency: row.currency,
        }),
      );
      await sql`insert into order_facts ${sql(facts)}`;
    }
  });
}

interface RawOrder {
  readonly id: string;
  readonly created_at: Date;
  readonly customer_id: number;
  readonly amount_cents: number;
  readonly currency: string;
}

/** COPY out, a function call a row, COPY in: as little as a pipe through JavaScript can do. Two connections a lane. */
export async function copyPipe(url: string, slices: readonly Slice[], lanes: number): Promise<void> {
  const pairs = await Promise.all(Array.from({ length: lanes }, () => openPair(url)));
  const free = [...pairs];
  try {
    await inLanes(slices, lanes, async (slice) => {
      const pair = free.pop();
      if (!pair) throw new Error("more lanes than connections");
      await pipeSlice(pair, slice);
      free.push(pair);
    });
  } finally {
    await Promise.all(pairs.flatMap(({ reader, writer }) => [reader.end(), writer.end()]));
  }
}

interface Pair {
  readonly reader: pg.Client;
  readonly writer: pg.Client;
}

async function openPair(url: string): Promise<Pair> {
  const pair = { reader: new pg.Client(url), writer: new pg.Client(url) };
  await Promise.all([pair.reader.connect(), pair.writer.connect()]);
  return pair;
}

async function pipeSlice({ reader, writer }: Pair, { from, to }: Slice): Promise<void> {
  const source: Readable = reader.query(
    copyTo(`copy (
      select id, (extract(epoch from created_at) * 1000)::bigint, customer_id, amount_cents, currency from orders
      where created_at >= '${from}' and created_at < '${to}') to stdout`),
  );
  const target: Writable = writer.query(copyFrom("copy order_facts from stdin"));
  let rest = "";
  for await (const chunk of source as AsyncIterable<Buffer>) {
    const lines = (rest + chunk.toString("utf8")).split("\n");
    rest = lines.pop() ?? "";
    let text = "";
    for (const line of lines) text += factLine(line);
    if (!target.write(text)) await once(target, "drain");
  }
  target.end();
  await once(target, "finish");
}

/** These five columns hold no character that COPY escapes, so that a split is a parse. */
function factLine(line: string): string {
  const [id, createdMs, customerId, cents, currency = ""] = line.split("\t");
  const fact = toFact({
    id: Number(id),
    createdMs: Number(createdMs),
    customerId: Number(customerId),
    cents: Number(cents),
    currency,
  });
  return `${fact.order_id}\t${fact.day}\t${fact.hour}\t${fact.customer_id}\t${fact.cents}\t${fact.fee_cents}\t${fact.net_cents}\t${fact.currency}\t${fact.size}\n`;
}

/** Runs `work` on every item, `lanes` at a time, in order. */
async function inLanes<Item>(
  items: readonly Item[],
  lanes: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const pending = items.values();
  const lane = async (): Promise<void> => {
    // The lanes share one iterator, so that each takes the next item.
    for (const item of pending) await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
