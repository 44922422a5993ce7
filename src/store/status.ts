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

/** Seconds per task of earlier runs, by dataset: what a forecast is made of. */
export async function taskSpeeds(tx: Tx): Promise<Map<string, number>> {
  const rows = await tx.query<{ dataset: string; seconds: number }>(
    `select dataset, avg(extract(epoch from finished_at - started_at))::float8 as seconds
     from (select dataset, started_at, finished_at, row_number() over (partition by dataset order by id desc) as n
           from rederive.stamp) recent
     where n <= 200 group by dataset`,
  );
  return new Map(rows.map((row) => [row.dataset, row.seconds]));
}
