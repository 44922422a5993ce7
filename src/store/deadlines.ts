/** Deadlines of running backfills: what a warning is judged by, and the one time that it is given. */
import type { Forecast } from "../plan.ts";
import type { Lateness } from "../report.ts";
import type { Tx } from "../tx.ts";

/** A running backfill with a deadline that nobody was warned of. Instants in milliseconds since the epoch. */
export interface DueBackfill {
  readonly id: string;
  readonly forecast: Forecast;
  /** When it was started, resumed or retried last. */
  readonly since: number;
  readonly now: number;
}

export async function dueBackfills(tx: Tx): Promise<DueBackfill[]> {
  return tx.query<DueBackfill>(
    `select b.id, b.forecast, extract(epoch from clock_timestamp())::float8 * 1000 as now,
       extract(epoch from greatest(b.started_at, (
         select max(a.at) from rederive.audit a
         where a.backfill = b.id and a.act in ('backfill.resume', 'backfill.retry'))))::float8 * 1000 as since
     from rederive.backfill b
     where b.state = 'running' and b.forecast #> '{deadline,at}' is not null and b.forecast #> '{deadline,late}' is null
     order by b.id`,
  );
}

export interface SettledTasks {
  readonly dataset: string;
  readonly settled: number;
  readonly open: number;
}

/** By dataset: tasks that were settled since an instant (milliseconds since the epoch), and those that are not yet. */
export async function settledSince(tx: Tx, backfill: string, since: number): Promise<SettledTasks[]> {
  return tx.query<SettledTasks>(
    `select dataset,
       (count(*) filter (where state in ('done', 'unchanged')
         and finished_at >= to_timestamp($2::float8 / 1000)))::int as settled,
       (count(*) filter (where state not in ('done', 'unchanged', 'cancelled')))::int as open
     from rederive.task where backfill = $1::text group by dataset order by dataset`,
    [backfill, since],
  );
}

/** False where it was written before, or the backfill does not run any more. */
export async function noteLateness(tx: Tx, backfill: string, late: Lateness): Promise<boolean> {
  const rows = await tx.query(
    `update rederive.backfill set forecast = jsonb_set(forecast, '{deadline,late}', $2::text::jsonb)
     where id = $1::text and state = 'running' and forecast #> '{deadline,late}' is null
     returning id`,
    [backfill, JSON.stringify(late)],
  );
  return rows.length === 1;
}
