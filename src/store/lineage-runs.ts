/** Table `lineage_run`, and what its events are made of: how far each dataset of a backfill is. */
import { fromMultirange, type Ranges } from "../catalog/ranges.ts";
import type { BackfillState } from "../states.ts";
import type { Tx } from "../tx.ts";

/** One dataset of a backfill; instants in milliseconds since the epoch. */
export interface DatasetProgress {
  readonly backfill: string;
  readonly dataset: string;
  readonly partitions: Ranges;
  readonly fingerprint: string;
  readonly total: number;
  readonly done: number;
  readonly unchanged: number;
  /** Failed and quarantined. */
  readonly failed: number;
  readonly rows: number;
  readonly held: boolean;
  /** Why it is held, or why the backfill ended. */
  readonly because: string | null;
  readonly error: string | null;
  /** When its first task was claimed; of the backfill, when it was started. */
  readonly beganAt: number | null;
  /** When its newest task ended. */
  readonly endedAt: number | null;
}

export interface BackfillProgress {
  readonly id: string;
  readonly state: BackfillState;
  readonly stateReason: string | null;
  readonly planHash: string;
  readonly reason: string;
  readonly requestedBy: string;
  readonly datasets: readonly string[];
  readonly startedAt: number;
  readonly now: number;
}

export interface RunRow {
  readonly backfill: string;
  readonly dataset: string;
  readonly attempt: number;
  readonly ended: string | null;
  readonly toldAt: number;
}

const ms = (expression: string) => `extract(epoch from ${expression})::float8 * 1000`;

/**
 * Backfills of which something may be to tell: those that go on, those whose runs have not ended, and those that came and
 * went since yesterday without anybody telling of them.
 */
export async function backfillsToTell(tx: Tx): Promise<BackfillProgress[]> {
  return tx.query<BackfillProgress>(
    `select b.id, b.state, b.state_reason as "stateReason", b.plan_hash as "planHash", b.reason,
       b.requested_by as "requestedBy", ${ms("b.started_at")} as "startedAt", ${ms("clock_timestamp()")} as now,
       array(select d.dataset from rederive.backfill_dataset d where d.backfill = b.id) as datasets
     from rederive.backfill b
     where b.started_at is not null and (
       b.state in ('running', 'paused', 'held')
       or exists (
         select from rederive.lineage_run r where r.backfill = b.id and r.ended is null
           -- Of a dataset that is in no catalog any more nobody tells the end.
           and r.told_at > clock_timestamp() - interval '7 days')
       or exists (
         select from rederive.lineage_run r where r.backfill = b.id and r.dataset = '' and r.ended = 'FAIL'
           and b.state in ('verified', 'promoting', 'promoted', 'cancelled')
           and not exists (select from rederive.lineage_run n
             where n.backfill = b.id and n.dataset = '' and n.attempt > r.attempt))
       or (b.started_at > clock_timestamp() - interval '1 day'
         and not exists (select from rederive.lineage_run r where r.backfill = b.id)))
     order by b.started_at, b.id`,
  );
}

/** Of these datasets of a backfill, those of which a task was ever claimed. */
export async function begunDatasets(tx: Tx, backfill: string, datasets: readonly string[]): Promise<Set<string>> {
  const rows = await tx.query<{ dataset: string }>(
    `select w.dataset from unnest($2::text[]) as w (dataset)
     where exists (select from rederive.task t
       where t.backfill = $1::text and t.dataset = w.dataset and t.claimed_at is not null)`,
    [backfill, datasets],
  );
  return new Set(rows.map(({ dataset }) => dataset));
}

/** Counts every task of these backfills: seconds where there are many. */
export async function datasetProgress(tx: Tx, backfills: readonly string[]): Promise<DatasetProgress[]> {
  const rows = await tx.query<Omit<DatasetProgress, "partitions"> & { partitions: string }>(
    `select d.backfill, d.dataset, d.partitions::text as partitions, d.fingerprint, d.held, d.hold_reason as because,
       t.total, t.done, t.unchanged, t.failed, t.error, ${ms("t.began")} as "beganAt", ${ms("t.ended")} as "endedAt",
       coalesce((select sum(s.rows_written) from rederive.stamp s
         join rederive.task k on k.id = s.task and k.state = 'done'
         where k.backfill = d.backfill and k.dataset = d.dataset), 0)::float8 as rows
     from rederive.backfill_dataset d
     cross join lateral (
       select count(*)::float8 as total, (count(*) filter (where state = 'done'))::float8 as done,
         (count(*) filter (where state = 'unchanged'))::float8 as unchanged,
         (count(*) filter (where state in ('failed', 'quarantined')))::float8 as failed,
         min(error ->> 'message') filter (where state in ('failed', 'quarantined')) as error,
         min(claimed_at) as began, max(finished_at) as ended
       from rederive.task where backfill = d.backfill and dataset = d.dataset
     ) t
     where d.backfill = any($1::text[]) order by d.backfill, d.ordinal`,
    [backfills],
  );
  return rows.map((row) => ({ ...row, partitions: fromMultirange(row.partitions) }));
}

/** The newest run of each dataset of these backfills, and of the backfills themselves. */
export async function newestRuns(tx: Tx, backfills: readonly string[]): Promise<RunRow[]> {
  return tx.query<RunRow>(
    `select distinct on (backfill, dataset) backfill, dataset, attempt, ended, ${ms("told_at")} as "toldAt"
     from rederive.lineage_run where backfill = any($1::text[]) order by backfill, dataset, attempt desc`,
    [backfills],
  );
}

/** Writes down that an event was told: `ended` is null for one that ends nothing. */
export async function recordRun(
  tx: Tx,
  row: { backfill: string; dataset: string; attempt: number; run: string; ended: string | null },
): Promise<void> {
  await tx.query(
    `insert into rederive.lineage_run (backfill, dataset, attempt, run, began_at, told_at, ended)
     values ($1::text, $2::text, $3::int, $4::text, clock_timestamp(), clock_timestamp(), $5::text)
     on conflict (backfill, dataset, attempt) do update set told_at = excluded.told_at, ended = excluded.ended`,
    [row.backfill, row.dataset, row.attempt, row.run, row.ended],
  );
}

/** Names of checks of severity error or warn that failed in a backfill, by dataset. */
export async function failedCheckNames(tx: Tx, backfill: string): Promise<Map<string, Set<string>>> {
  const rows = await tx.query<{ dataset: string; names: string[] }>(
    `select dataset, array_agg(distinct name) as names from rederive.check_result
     where backfill = $1::text and failures > 0 group by dataset`,
    [backfill],
  );
  return new Map(rows.map(({ dataset, names }) => [dataset, new Set(names)]));
}
