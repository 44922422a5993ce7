/**
 * `npx tsx bench/compare.ts`: finding what a promotion would change, against the best SQL that one would write for it.
 *
 * Five million rows, 365 daily partitions, 1 % of them changed and 0.1 % missing on either side. The rivals count rows
 * added, removed, changed and unchanged and nothing else; rederive also says in which columns, and shows samples. Then
 * the same with changes in ten of the partitions alone, where the stamps prove the other 355 equal.
 *
 * Options: --quick (a tenth of the data, three rounds).
 */
import { parseArgs } from "node:util";
import postgres, { type Sql } from "postgres";
import { resolveSettings } from "../src/config.ts";
import { type DiffRequest, diff } from "../src/promotion/diff.ts";
import type { DatasetDiff } from "../src/report.ts";
import { migrate } from "../src/store/migrate.ts";
import { openDatabase } from "../src/store/postgres.ts";
import { recordWrites } from "../src/store/writes.ts";
import type { Database } from "../src/tx.ts";
import { candidateNames, createCandidate } from "../src/warehouse/candidate.ts";
import { liveColumns, ownedOf } from "../src/warehouse/columns.ts";
import { writeCounts } from "../src/warehouse/writes.ts";
import { catalog, facts } from "./catalog.ts";
import { interleave, othersCores, readCpu, type Timing } from "./measure.ts";
import { createOrders, firstDay, fullSize, type OrdersSize, quickSize } from "./orders.ts";
import { startServers } from "./servers.ts";

type Counts = Pick<DatasetDiff, "added" | "removed" | "changed" | "unchanged">;

const backfill = "bf_compare";
const { candidate } = candidateNames(facts.name, backfill);
const live = "public.order_facts";
const mostOfBest = 1.3;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  const size = values.quick ? quickSize : fullSize;
  const rounds = values.quick ? 3 : 5;
  await using servers = await startServers(resolveSettings({ catalog }).settings.searchPath);
  await migrate(servers.databaseUrl);
  const database = openDatabase(servers.databaseUrl, { max: 1 });
  const sql = postgres(servers.databaseUrl, { max: 1, onnotice: () => {} });
  try {
    await createOrders(sql, size);
    await fillTables(database, sql, size);
    const spread = await contest(database, sql, servers.pids, rounds, "changes in every partition", size);
    await gatherChanges(database, sql, size);
    const gathered = await contest(database, sql, servers.pids, rounds, "changes in ten partitions", size);
    for (const [what, timings] of [
      ["changes everywhere", spread],
      ["changes in ten partitions", gathered],
    ] as const) {
      judge(what, timings);
    }
  } finally {
    await sql.end();
    await database.close();
  }
}

/** Live rows, and a candidate made of them: of each thousand rows ten changed, one missing here and one missing there. */
async function fillTables(database: Database, sql: Sql, { rows }: OrdersSize): Promise<void> {
  await createCandidate(database, facts, ownedOf(facts, await liveColumns(database, facts)), candidate);
  await sql.unsafe(`
    insert into ${live} (order_id, day, hour, customer_id, cents, fee_cents, net_cents, currency, size)
    select id, (created_at at time zone 'UTC')::date, extract(hour from created_at at time zone 'UTC')::smallint, customer_id,
      amount_cents, amount_cents / 30, amount_cents - amount_cents / 30, currency,
      case when amount_cents < 2000 then 'small' when amount_cents < 10000 then 'medium' else 'large' end
    from orders where id % 1000 <> 999 order by id`);
  await fillCandidate(sql, "id % 100 = 7", "id % 1000 <> 998");
  await stageStamps(database, sql, rows);
}

async function fillCandidate(sql: Sql, changed: string, present: string): Promise<void> {
  await sql.unsafe(`truncate ${candidate}`);
  await sql.unsafe(`
    insert into ${candidate} (order_id, day, hour, customer_id, cents, fee_cents, net_cents, currency, size)
    select id, (created_at at time zone 'UTC')::date, extract(hour from created_at at time zone 'UTC')::smallint, customer_id,
      amount_cents, amount_cents / 30 + case when ${changed} then 1 else 0 end, amount_cents - amount_cents / 30, currency,
      case when amount_cents < 2000 then 'small' when amount_cents < 10000 then 'medium' else 'large' end
    from orders where ${present} order by id`);
  await sql.unsafe(`vacuum (analyze) ${candidate}`);
  await sql.unsafe(`vacuum (analyze) ${live}`);
}

/** Changes in the first ten days alone, as many as there were: all rows of the others are those that are live. */
async function gatherChanges(database: Database, sql: Sql, { rows, days }: OrdersSize): Promise<void> {
  const tenDays = Math.floor((rows / days) * 10);
  await fillCandidate(sql, `id < ${tenDays} and id % 3 = 1`, `id % 1000 <> 999`);
  await stageStamps(database, sql, rows);
}

/** A verified backfill over an earlier one, with the stamps and hashes that their tasks would have written. */
async function stageStamps(database: Database, sql: Sql, rows: number): Promise<void> {
  await sql.unsafe(`
    delete from rederive.live; delete from rederive.stamp; delete from rederive.task;
    delete from rederive.backfill_dataset; delete from rederive.backfill;
    insert into rederive.backfill (id, plan_hash, decision, reason, environment, requested_by, state)
    values ('${backfill}', '', '{}', 'bench', 'bench', 'bench', 'verified');
    insert into rederive.backfill_dataset (backfill, dataset, ordinal, partitions, fingerprint, definition, queue, candidate, restore_point)
    values ('${backfill}', '${facts.name}', 0, '{}', '', '', '', '', '');
    insert into rederive.task (backfill, dataset, partition, rank, state)
    select '${backfill}', '${facts.name}', day - date '1970-01-01', 0, 'done' from (select distinct day from ${candidate}) d;
    insert into rederive.stamp (task, backfill, dataset, partition, epoch, fingerprint, definition, inputs, snapshot,
      rows_written, hash_algorithm, output_hash, checks, worker, started_at, finished_at)
    select t.id, t.backfill, t.dataset, t.partition, 1, '', '', '[]', '', c.rows, 'bench', c.hash, '[]', '', now(), now()
    from rederive.task t join (
      select day - date '1970-01-01' as partition, count(*) as rows, sum(hash_record_extended(c, 0))::text as hash
      from ${candidate} c group by 1) c on c.partition = t.partition;
    insert into rederive.live (dataset, partition, stamp, backfill, fingerprint, output_hash, rows)
    select s.dataset, s.partition, s.id, 'before', '', l.hash, l.rows
    from rederive.stamp s join (
      select day - date '1970-01-01' as partition, count(*) as rows, sum(hash_record_extended(l, 0))::text as hash
      from ${live} l group by 1) l on l.partition = s.partition;
    analyze`);
  await database.transaction(async (tx) =>
    recordWrites(tx, { dataset: facts.name, ...(await writeCounts(tx, facts)) }),
  );
  const [row] = await sql<{ count: number }[]>`select count(*)::int as count from rederive.stamp`;
  if (row?.count === 0) throw new Error(`no stamps for ${rows} rows`);
}

async function contest(
  database: Database,
  sql: Sql,
  pids: readonly number[],
  rounds: number,
  title: string,
  size: OrdersSize,
): Promise<Timing[]> {
  const seen = new Map<string, Counts>();
  const none = async (): Promise<void> => {};
  const before = readCpu(pids);
  const rival = (name: string, run: () => Promise<Counts>) => ({
    name,
    prepare: none,
    run: async () => void seen.set(name, await run()),
  });
  const timings = await interleave(
    [
      rival("SQL: one merge join", () => oneJoin(sql)),
      rival("SQL: merge join per day", () => joinPerDay(sql, size)),
      rival("SQL: the same, lists of changes", () => joinPerDay(sql, size, true)),
      rival("rederive diff", () => ours(database)),
    ],
    rounds,
    pids,
  );
  const distinct = new Set(
    [...seen.values()].map(({ added, removed, changed, unchanged }) => [added, removed, changed, unchanged].join()),
  );
  if (distinct.size !== 1) throw new Error(`the contenders disagree: ${JSON.stringify([...seen])}`);
  const others = othersCores(before, readCpu(pids));
  print(
    `\n${size.rows} rows, ${title} (${rounds} rounds; others used ${others.toFixed(2)} cores; counts ${[...distinct][0]})`,
  );
  for (const { name, medianMs, medianCpuMs, roundsMs } of timings) {
    const spread = `${Math.round(Math.min(...roundsMs))} to ${Math.round(Math.max(...roundsMs))}`;
    print(
      `  ${name.padEnd(34)}${`${Math.round(medianMs)} ms`.padStart(10)}${`${Math.round(medianCpuMs)} ms of CPU`.padStart(18)}   ${spread}`,
    );
  }
  return timings;
}

const columns = ["hour", "customer_id", "cents", "fee_cents", "net_cents", "currency", "size"];
// None of them can be null, so that the cheapest comparison is right.
const differs = `(${columns.map((name) => `l.${name}`).join(", ")}) <> (${columns.map((name) => `c.${name}`).join(", ")})`;

/** Both indexes give the order of the key, so nothing is sorted. */
function oneJoin(sql: Sql): Promise<Counts> {
  return inMergeMode(sql, async (tx) =>
    countsOf(await tx.unsafe<Counts[]>(joinOf("", "l.day is distinct from c.day or "))),
  );
}

function joinPerDay(sql: Sql, { days }: OrdersSize, listing = false): Promise<Counts> {
  return inMergeMode(sql, async (tx) => {
    const total = { added: 0, removed: 0, changed: 0, unchanged: 0 };
    if (listing) await tx`create temp table found (kind text, order_id bigint) on commit drop`;
    for (let day = 0; day < days; day += 1) {
      const at = new Date(Date.parse(firstDay) + day * 86_400_000).toISOString().slice(0, 10);
      if (listing) await tx.unsafe(listOf(`where day = '${at}'`));
      const counts = listing ? total : countsOf(await tx.unsafe<Counts[]>(joinOf(`where day = '${at}'`, "")));
      if (!listing) for (const key of ["added", "removed", "changed", "unchanged"] as const) total[key] += counts[key];
    }
    if (!listing) return total;
    const [row] = await tx<Counts[]>`
      select count(*) filter (where kind = 'added')::int as added, count(*) filter (where kind = 'removed')::int as removed,
        count(*) filter (where kind = 'changed')::int as changed, 0 as unchanged from found`;
    const found = row as Counts;
    const [rows] = await tx.unsafe<{ count: number }[]>(
      `select sum(rows_written)::float8 as count from rederive.stamp`,
    );
    return { ...found, unchanged: (rows?.count ?? 0) - found.added - found.changed };
  });
}

function joinOf(where: string, more: string): string {
  return `select count(*) filter (where l.order_id is null)::int as added, count(*) filter (where c.order_id is null)::int as removed,
      count(*) filter (where l.order_id = c.order_id and (${more}${differs}))::int as changed,
      count(*) filter (where l.order_id = c.order_id and not (${more}${differs}))::int as unchanged
    from (select * from ${live} ${where}) l full join (select * from ${candidate} ${where}) c on l.order_id = c.order_id`;
}

function listOf(where: string): string {
  return `insert into found select case when l.order_id is null then 'added' when c.order_id is null then 'removed' else 'changed' end,
      coalesce(l.order_id, c.order_id)
    from (select * from ${live} ${where}) l full join (select * from ${candidate} ${where}) c on l.order_id = c.order_id
    where l.order_id is null or c.order_id is null or ${differs}`;
}

function inMergeMode(sql: Sql, work: (tx: postgres.TransactionSql) => Promise<Counts>): Promise<Counts> {
  return sql.begin("isolation level repeatable read", async (tx) => {
    await tx`set local enable_hashjoin = off`;
    return work(tx);
  }) as Promise<Counts>;
}

function countsOf(rows: readonly Counts[]): Counts {
  return { ...(rows[0] as Counts) };
}

async function ours(database: Database): Promise<Counts> {
  const request: DiffRequest = { backfill, datasets: [{ derived: facts, candidate }] };
  const { datasets } = await diff(database, request);
  return datasets[0] as DatasetDiff;
}

function judge(what: string, timings: readonly Timing[]): void {
  const rivals = timings.slice(0, -1);
  const mine = timings.at(-1) as Timing;
  const best = Math.min(...rivals.map(({ medianMs }) => medianMs));
  const bestCpu = Math.min(...rivals.map(({ medianCpuMs }) => medianCpuMs));
  const [time, cpu] = [mine.medianMs / best, mine.medianCpuMs / bestCpu];
  const holds = time <= mostOfBest && cpu <= mostOfBest;
  print(
    `${holds ? "ok  " : "OFF "} ${what}: ${time.toFixed(2)} in time, ${cpu.toFixed(2)} in CPU of the best SQL (at most ${mostOfBest})`,
  );
  if (!holds) process.exitCode = 1;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
