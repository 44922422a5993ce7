/**
 * Table `watch`: the last scheduled look at the live data of each dataset. Times are those of Postgres, so planners need not
 * agree on a clock.
 */
import type { Tx } from "../tx.ts";
import type { Leadership } from "./leaders.ts";
import type { CheckFailure } from "./status.ts";

export interface Schedule {
  readonly dataset: string;
  readonly everyMs: number;
}

export interface WatchRow {
  readonly dataset: string;
  /** ISO instants. */
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly failing: number | null;
  readonly checked: number | null;
  readonly error: string | null;
  readonly seen: string | null;
}

const columns = `w.dataset, to_char(w.started_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "startedAt",
  to_char(w.finished_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "finishedAt", w.failing, w.checked, w.error, w.seen`;

/** A look that did not come to its end (its process died) is made again soon, but not at once: it may have been the cause. */
const againMs = 60_000;

const isDue = (everyMs: string) => `w.started_at + interval '1 millisecond' *
  case when w.finished_at is null then least(${everyMs}, ${againMs}) else ${everyMs} end <= clock_timestamp()`;

/** Datasets with live content at which it is time to look, the longest waiting first. */
export async function dueLooks(tx: Tx, schedules: readonly Schedule[]): Promise<string[]> {
  const rows = await tx.query<{ dataset: string }>(
    `select s.dataset from unnest($1::text[], $2::float8[]) as s (dataset, every)
     left join rederive.watch w using (dataset)
     where (w.dataset is null or ${isDue("s.every")})
       and exists (select from rederive.live l where l.dataset = s.dataset)
     order by w.started_at nulls first, s.dataset`,
    [schedules.map(({ dataset }) => dataset), schedules.map(({ everyMs }) => everyMs)],
  );
  return rows.map(({ dataset }) => dataset);
}

/** Begins a look and gives what is known of the one before; undefined where it is not due any more. */
export async function beginLook(tx: Tx, { dataset, everyMs }: Schedule): Promise<WatchRow | undefined> {
  const [row] = await tx.query<WatchRow>(
    `insert into rederive.watch as w (dataset, started_at) values ($1::text, clock_timestamp())
     on conflict (dataset) do update set started_at = clock_timestamp(), finished_at = null
     where ${isDue("$2::float8")}
     returning ${columns}`,
    [dataset, everyMs],
  );
  return row;
}

export async function endLook(
  tx: Tx,
  { dataset, ...found }: Pick<WatchRow, "dataset" | "failing" | "checked" | "error" | "seen">,
): Promise<void> {
  await tx.query(
    `update rederive.watch set finished_at = clock_timestamp(), failing = coalesce($2::int, failing), checked = $3::int, error = $4::text,
       seen = $5::text
     where dataset = $1::text`,
    [dataset, found.failing, found.checked, found.error, found.seen],
  );
}

export async function looks(tx: Tx): Promise<WatchRow[]> {
  return tx.query<WatchRow>(`select ${columns} from rederive.watch w order by w.dataset`);
}

/** Why a look may not go on with the next partition. */
export interface LookGuard {
  /** The term is not over. */
  readonly leads: boolean;
  /** No other process is at the same dataset; held until the transaction ends. */
  readonly alone: boolean;
}

/**
 * In a transaction, first: so that two processes never look at a dataset at once, not even where one of them has not noticed
 * yet that it leads no more. The leader's row is not locked, because a look may last longer than a lease.
 */
export async function guardLook(
  tx: Tx,
  { dataset, term }: { readonly dataset: string; readonly term: Leadership & { readonly term: string } },
): Promise<LookGuard> {
  const [row] = await tx.query<LookGuard>(
    `select pg_try_advisory_xact_lock(hashtextextended('rederive look at ' || $4::text, 0)) as alone,
       exists (select from rederive.leader
               where name = $1::text and holder = $2::text and term = $3::int8 and lease_until > clock_timestamp()) as leads`,
    [term.name, term.holder, term.term, dataset],
  );
  return row as LookGuard;
}

/** The backfill under which rules about the whole of `c.dataset` are kept: the newest one with live content. */
const keeper = `(select s.backfill from rederive.live l join rederive.stamp s on s.id = l.stamp
  where l.dataset = c.dataset order by s.id desc limit 1)`;

const isLive = `c.failures > 0 and case when c.partition is null
  then c.evidence ? 'rule' and c.backfill = ${keeper}
  else exists (select from rederive.live l join rederive.stamp s on s.id = l.stamp
    where l.dataset = c.dataset and l.partition = c.partition and s.backfill = c.backfill) end`;

/** Checks that are known to fail on what is live of a dataset, those of severity error first. */
export async function liveFailures(tx: Tx, dataset: string, limit: number): Promise<CheckFailure[]> {
  return tx.query<CheckFailure>(
    `select c.dataset, c.partition::float8 as partition, c.name, c.severity, c.failures::float8 as failures, c.evidence
     from rederive.check_result c where c.dataset = $1::text and ${isLive}
     order by c.severity, c.partition nulls first, c.id limit $2::int`,
    [dataset, limit],
  );
}

export async function countLiveFailures(tx: Tx, dataset: string): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    `select count(*)::int as count from rederive.check_result c where c.dataset = $1::text and ${isLive}`,
    [dataset],
  );
  return row?.count ?? 0;
}

/**
 * Corrects what the last look at a dataset found, by what is known to fail now; nothing where there never was a look.
 * For datasets that have no schedule any more: nobody else would.
 */
export async function recountFailures(tx: Tx, dataset: string): Promise<void> {
  await tx.query(
    `update rederive.watch w
     set failing = (select count(*)::int from rederive.check_result c where c.dataset = w.dataset and ${isLive})
     where w.dataset = $1::text and w.failing is not null`,
    [dataset],
  );
}
