/**
 * Applies migrations beside a fleet that works.
 *
 * Each has a transaction of its own, and waits for a lock shorter than Postgres lets anybody look for a deadlock: whoever
 * stands behind it waits no longer than that, and where a session that it waits for comes to wait for it, it gives way
 * first. Then it is tried again, after a pause in which those behind it get through.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { MigrationMeta } from "drizzle-orm/migrator";
import type postgres from "postgres";
import { RederiveError, sqlState } from "../errors.ts";

/** Times in milliseconds. */
export interface MigrationWaits {
  /** For one lock; default 500. More than `deadlock_timeout` of Postgres (1 s) may end the session that is waited for. */
  readonly lockTimeoutMs?: number;
  /** For all the locks of one migration, over its attempts; default 120,000. */
  readonly patienceMs?: number;
}

interface Holder {
  readonly pid: number;
  readonly application: string;
  readonly tables: string;
  /** Seconds; null where Postgres does not show it to this role. */
  readonly seconds: number | null;
}

/** A lock that was not to be had, and a deadlock. */
const contended = new Set(["55P03", "40P01"]);

/**
 * Applies what is missing, in order; gives how many. Throws `migrate_deferred` where others held the locks of one for too
 * long: what came before it stays applied, and the next call goes on there.
 */
export async function applyMigrations(
  sql: postgres.Sql,
  migrations: readonly MigrationMeta[],
  { lockTimeoutMs = 500, patienceMs = 120_000, ...rest }: MigrationWaits & { readonly lockKey: number },
): Promise<number> {
  await sql`create table if not exists rederive.migration (id serial primary key, hash text not null, created_at bigint)`;
  let applied = 0;
  let giveUpAt = performance.now() + patienceMs;
  for (;;) {
    try {
      if (!(await applyNext(sql, migrations, { lockTimeoutMs, ...rest }))) return applied;
      applied += 1;
      giveUpAt = performance.now() + patienceMs;
    } catch (error) {
      if (!contended.has(sqlState(error) ?? "")) throw error;
      const holders = await holdersOf(sql, lockTimeoutMs);
      if (performance.now() > giveUpAt) throw deferred(error, holders, patienceMs);
      await pause(lockTimeoutMs * (1 + Math.random()));
    }
  }
}

/** False where nothing is missing. The lock is had already, unless the connection was lost in between and made anew. */
async function applyNext(
  sql: postgres.Sql,
  migrations: readonly MigrationMeta[],
  { lockTimeoutMs, lockKey }: { readonly lockTimeoutMs: number; readonly lockKey: number },
): Promise<boolean> {
  return sql.begin(async (tx) => {
    await tx`select set_config('lock_timeout', ${`${lockTimeoutMs}ms`}, true), pg_advisory_xact_lock(${lockKey})`;
    const [last] = await tx<{ at: string | null }[]>`select max(created_at)::text as at from rederive.migration`;
    const next = migrations.find(({ folderMillis }) => folderMillis > Number(last?.at ?? 0));
    if (next === undefined) return false;
    for (const statement of next.sql) await tx.unsafe(statement);
    await tx`insert into rederive.migration (hash, created_at) values (${next.hash}, ${next.folderMillis})`;
    return true;
  });
}

/**
 * Others whose transactions hold locks on our tables and are older than the wait that has just ended, which they must be
 * to have kept us from one. The oldest five.
 */
async function holdersOf(sql: postgres.Sql, lockTimeoutMs: number): Promise<Holder[]> {
  return sql<Holder[]>`
    select l.pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown') as application,
      string_agg(distinct c.relname, ', ') as tables,
      round(extract(epoch from clock_timestamp() - a.xact_start))::int4 as seconds
    from pg_locks l
    join pg_class c on c.oid = l.relation and c.relkind = 'r'
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'rederive'
    left join pg_stat_activity a on a.pid = l.pid
    where l.granted and l.database = (select oid from pg_database where datname = current_database())
      and l.pid is distinct from pg_backend_pid()
      and (a.xact_start is null or a.xact_start < clock_timestamp() - ${lockTimeoutMs}::float8 * interval '1 millisecond')
    group by l.pid, a.application_name, a.backend_type, a.xact_start
    order by a.xact_start limit 5`;
}

function deferred(cause: unknown, holders: readonly Holder[], patienceMs: number): RederiveError {
  const who = holders.map(
    ({ pid, application, tables, seconds }) =>
      `pid ${pid} (${application}${seconds === null ? "" : `, for ${seconds} s`}: ${tables})`,
  );
  return new RederiveError(
    "migrate_deferred",
    `other sessions held locks on the control schema for ${Math.round(patienceMs / 1_000)} s` +
      `${who.length === 0 ? "" : `, at last ${who.join("; ")}`}; what was applied before stays; let the promotions that run ` +
      `end, or end these sessions, then run "rederive migrate" again`,
    { cause, details: { holders } },
  );
}
