/** Read-only questions about a backfill's progress that span several tables. */
import type { CheckEvidence } from "../report.ts";
import type { Tx } from "../tx.ts";

export interface CheckFailure {
  readonly dataset: string;
  readonly partition: number | null;
  readonly name: string;
  readonly severity: "error" | "warn";
  readonly failures: number;
  readonly evidence: CheckEvidence;
}

/** Rows in the candidates so far, by dataset. */
export async function rowsWritten(tx: Tx, backfill: string): Promise<Map<string, number>> {
  const rows = await tx.query<{ dataset: string; rows: number }>(
    `select dataset, sum(rows_written)::float8 as rows from rederive.stamp
     where backfill = $1::text group by dataset`,
    [backfill],
  );
  return new Map(rows.map((row) => [row.dataset, row.rows]));
}

/** Failed checks, newest first. */
export async function failedChecks(tx: Tx, backfill: string, limit: number): Promise<CheckFailure[]> {
  return tx.query<CheckFailure>(
    `select dataset, partition::float8 as partition, name, severity, failures::float8 as failures, evidence
     from rederive.check_result where backfill = $1::text and failures > 0
     order by id desc limit $2::int`,
    [backfill, limit],
  );
}

/** Tasks of backfills that are not over, by state; states without tasks are left out. */
export async function openTasksByState(tx: Tx): Promise<Record<string, number>> {
  const rows = await tx.query<{ state: string; count: number }>(
    `select t.state, count(*)::float8 as count
     from rederive.task t join rederive.backfill b on b.id = t.backfill
     where b.state in ('running', 'paused', 'held', 'verified', 'promoting')
     group by t.state`,
  );
  return Object.fromEntries(rows.map((row) => [row.state, row.count]));
}

/** Processes of a kind whose lease has not run out. */
export async function liveProcesses(tx: Tx, kind: string): Promise<number> {
  const [row] = await tx.query<{ count: number }>(
    "select count(*)::int as count from rederive.worker where kind = $1::text and lease_until > clock_timestamp()",
    [kind],
  );
  return row?.count ?? 0;
}

/** What earlier tasks of a dataset took, and the rows of its live partitions. */
export interface TaskSpeedRow {
  readonly mean: number;
  readonly quarter: number;
  readonly ninetieth: number;
  readonly rows: number;
  readonly liveRows?: number;
}

/** Seconds and rows of the 200 newest tasks of each of these datasets: what a forecast is made of. */
export async function taskSpeeds(tx: Tx, datasets: readonly string[]): Promise<Map<string, TaskSpeedRow>> {
  const rows = await tx.query<{ dataset: string; seconds: number[]; rows: number; liveRows: number | null }>(
    `select d.dataset, t.seconds, t.rows, l.rows as "liveRows"
     from unnest($1::text[]) as d (dataset)
     cross join lateral (
       select array_agg(seconds order by seconds) as seconds, avg(written)::float8 as rows from (
         select extract(epoch from s.finished_at - s.started_at)::float8 as seconds, s.rows_written as written
         from rederive.stamp s where s.dataset = d.dataset and s.adopted_from is null order by s.id desc limit 200) recent
     ) t
     left join lateral (select avg(rows)::float8 as rows from rederive.live where dataset = d.dataset) l on true
     where t.seconds is not null`,
    [datasets],
  );
  return new Map(rows.map((row) => [row.dataset, speedOf(row)]));
}

function speedOf({
  seconds,
  rows,
  liveRows,
}: {
  seconds: number[];
  rows: number;
  liveRows: number | null;
}): TaskSpeedRow {
  const at = (share: number) => seconds[Math.min(seconds.length - 1, Math.floor(share * seconds.length))] ?? 0;
  const mean = seconds.reduce((sum, each) => sum + each, 0) / seconds.length;
  return { mean, quarter: at(0.25), ninetieth: at(0.9), rows, ...(liveRows === null ? {} : { liveRows }) };
}
