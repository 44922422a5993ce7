/**
 * `npx tsx bench/governance.ts`: what approvals, their triggers and the audit chain cost the aggregate of `npm run bench`.
 *
 * The same 365 daily partitions in two databases of one server, in turns. Governed: asked for by one person, approved by two,
 * started by a fourth, the trail chained by the planner. Bare: one administrator, no triggers in the control schema, and no
 * entry of the trail is kept, so that nothing is chained. Exit code 1 where the governed runs take more than 3 % longer by the
 * median of the pairs' ratios.
 *
 * Options: --quick (a tenth of the data), --rounds N (default 15).
 */
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import postgres, { type Sql } from "postgres";
import { type Acting, createRederive, type Rederive } from "rederive";
import { resolveSettings } from "../src/config.ts";
import { updateLockFile } from "../src/lock-file.ts";
import { migrate } from "../src/store/migrate.ts";
import { catalog, revenueByDay } from "./catalog.ts";
import { type Contender, interleave, median, othersCores, readCpu } from "./measure.ts";
import { createOrders, fullSize, type OrdersSize, quickSize } from "./orders.ts";
import { type Servers, startServers } from "./servers.ts";

const lanes = 4;
const mostOfBare = 1.03;
const lockFile = join(tmpdir(), `rederive-governance-${process.pid}.lock.json`);

interface Side extends AsyncDisposable {
  readonly contender: Contender;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { quick: { type: "boolean", default: false }, rounds: { type: "string", default: "15" } },
  });
  const size = values.quick ? quickSize : fullSize;
  await using servers = await startServers(resolveSettings({ catalog }).settings.searchPath);
  await updateLockFile(lockFile, catalog, fileURLToPath(new URL("catalog.ts", import.meta.url)));
  try {
    await using bare = await openBare(servers, size);
    await using governed = await openGoverned(servers, size);
    const pids = [...servers.pids, process.pid];
    const before = readCpu(pids);
    const timings = await interleave([bare.contender, governed.contender], Number(values.rounds), pids);
    report(timings, othersCores(before, readCpu(pids)));
  } finally {
    await rm(lockFile, { force: true });
  }
}

type Timings = Awaited<ReturnType<typeof interleave>>;

function report([bare, governed]: Timings, others: number): void {
  if (bare === undefined || governed === undefined) throw new Error("two contenders give two timings");
  const ratio = median(governed.roundsMs.map((ms, round) => ms / (bare.roundsMs[round] ?? Number.NaN)));
  for (const { name, medianMs, medianCpuMs, roundsMs } of [bare, governed]) {
    const [least, most] = [Math.min(...roundsMs), Math.max(...roundsMs)].map((ms) => ms.toFixed(0));
    print(`${name.padEnd(10)} ${medianMs.toFixed(0)} ms  ${medianCpuMs.toFixed(0)} ms of CPU  ${least} to ${most}`);
  }
  const verdict = ratio <= mostOfBare ? "ok  " : "OFF ";
  const cpu = governed.medianCpuMs / bare.medianCpuMs;
  print(`${verdict} governed to bare: ${ratio.toFixed(3)} by pairs, ${cpu.toFixed(3)} in CPU (at most ${mostOfBare})`);
  print(`${bare.roundsMs.length} rounds; others used ${others.toFixed(2)} cores`);
  if (ratio > mostOfBare) process.exitCode = 1;
}

async function openBare(servers: Servers, size: OrdersSize): Promise<Side> {
  const { url, sql } = await database(servers, "bare", size);
  await sql.unsafe(withoutTriggers);
  await sql.unsafe(withoutTrail);
  const rederive = await open(servers, url, {});
  const admin = rederive.as({ name: "bench", role: "admin" });
  return side("bare", { rederive, sql }, async () => {
    const backfill = await admin.plan({ datasets: [revenueByDay], reason: "bench" });
    await backfill.start();
    return backfill.id;
  });
}

async function openGoverned(servers: Servers, size: OrdersSize): Promise<Side> {
  const { url, sql } = await database(servers, "governed", size);
  const rederive = await open(servers, url, { startApprovals: 2, promotionApprovals: 1 });
  const engineer = rederive.as({ name: "engineer", role: "operator" });
  const approvers = ["owner", "reviewer"].map((name) => rederive.as({ name, role: "approver" }));
  const operator = rederive.as({ name: "operator", role: "operator" });
  return side("governed", { rederive, sql }, async () => {
    const { id } = await engineer.plan({ datasets: [revenueByDay], reason: "bench" });
    for (const approver of approvers) await (await approver.backfill(id)).approve({ comment: "as discussed" });
    await (await operator.backfill(id)).start();
    return id;
  });
}

/** Triggers that keep the foreign keys stay. */
const withoutTriggers = `do $$ declare t record; begin
  for t in select c.oid::regclass as name from pg_class c
    where c.relnamespace = 'rederive'::regnamespace and c.relkind = 'r' and c.relhastriggers
  loop execute format('alter table %s disable trigger user', t.name); end loop;
end $$`;

const withoutTrail = `
  create function public.nothing() returns trigger language plpgsql as 'begin return null; end';
  create trigger nothing before insert on rederive.audit for each row execute function public.nothing()`;

async function database(servers: Servers, name: string, size: OrdersSize): Promise<{ url: string; sql: Sql }> {
  const admin = postgres(servers.databaseUrl, { max: 1 });
  await admin.unsafe(`create database ${name}`);
  await admin.end();
  const url = new URL(servers.databaseUrl);
  url.pathname = `/${name}`;
  const sql = postgres(url.toString(), { max: 1, onnotice: () => {} });
  await createOrders(sql, size);
  await migrate(url.toString());
  return { url: url.toString(), sql };
}

type Governance = NonNullable<Parameters<typeof createRederive>[0]["governance"]>;

function open(servers: Servers, databaseUrl: string, governance: Governance): Promise<Rederive> {
  const { redisUrl } = servers;
  const prefix = `{${new URL(databaseUrl).pathname.slice(1)}}`;
  const shared = { catalog, databaseUrl, redisUrl, prefix, lockFile, governance, concurrency: lanes };
  return createRederive({ ...shared, environment: "development" });
}

/** Starts a planner and a worker. A round lasts from the plan until it is verified. */
async function side(
  name: string,
  { rederive, sql }: { readonly rederive: Rederive; readonly sql: Sql },
  begin: () => Promise<string>,
): Promise<Side> {
  rederive.startPlanner();
  await rederive.startWorker();
  const admin: Acting = rederive.as({ name: "bench", role: "admin" });
  let last: string | undefined;
  const prepare = async (): Promise<void> => {
    if (last !== undefined) await (await admin.backfill(last)).cancel({ reason: "the next round" });
    last = undefined;
    await sql`checkpoint`;
  };
  const run = async (): Promise<void> => {
    last = await begin();
    const { state, stateReason } = await (await admin.backfill(last)).finished();
    if (state !== "verified") throw new Error(`${name} ended ${state}: ${stateReason}`);
  };
  return {
    contender: { name, prepare, run },
    [Symbol.asyncDispose]: async () => {
      await rederive.close();
      await sql.end();
    },
  };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

await main();
