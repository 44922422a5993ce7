/** What the planner asks to decide whether a backfill is done, stuck, or without workers that could do it. */
import type { Tx } from "../tx.ts";

export interface Progress {
  /** Something is not done yet. */
  readonly open: boolean;
  /** A task is at work, or may start. */
  readonly moving: boolean;
  /** All before the first waiting phase is settled; false where there is none. */
  readonly atGate: boolean;
}

const unsettled = "('waiting', 'ready', 'running', 'stale', 'failed', 'quarantined')";
const mayStart = "t.dataset <> all($2::text[])";
const waitsForNothing = "not exists (select from rederive.edge e where e.consumer = t.id and not e.done)";

/**
 * A task that is in the window, of which this is true; none of them lies behind the gate. They are counted, because for
 * the first one that comes Postgres would begin to read all of the backfill's tasks.
 */
function released(condition: string): string {
  return `(select count(*) from rederive.task t where t.backfill = $1::text
    and t.released_at is not null and t.state in ('waiting', 'ready', 'running') and ${condition}) > 0`;
}

/** The states of a task outside of the window, each in words for which there is an index by rank. */
const outside = {
  ready: "t.state = 'ready'",
  waiting: "t.state = 'waiting' and not t.prunable",
  undecided: "t.state = 'waiting' and t.prunable",
} as const;

/**
 * A task that is not, before the gate. Looked for by rank, and told so by the order, because there may be a million behind
 * the gate, and reading those first takes a second: so each state is a look of its own at the index that is made for it.
 */
function unreleased(state: keyof typeof outside, condition = "true"): string {
  return `coalesce((select true from rederive.task t where t.backfill = $1::text
    and t.released_at is null and ${outside[state]} and t.rank < gate.rank and ${condition}
    order by t.rank limit 1), false)`;
}

const withGate = `with gate as materialized (
  select min(first_rank) as rank from rederive.phase where backfill = $1::text and state = 'waiting')`;

/** Something is not settled before the gate, or at all where there is none. */
const leftBeforeGate = `case when gate.rank is null
    then exists (select from rederive.task where backfill = $1::text and state in ${unsettled})
    else ${released("true")} or ${unreleased("ready")} or ${unreleased("waiting")} or ${unreleased("undecided")}
      or exists (select from rederive.task where backfill = $1::text and state in ('stale', 'failed', 'quarantined'))
    end`;

/** Existence alone: a backfill may have a million tasks. `blocked` are the datasets below a hold. */
export async function progressOf(tx: Tx, backfill: string, blocked: readonly string[]): Promise<Progress> {
  const readyToStart = `t.state = 'ready' and ${mayStart}`;
  const [row] = await tx.query<Progress>(
    `${withGate}
     select
       exists (select from rederive.task where backfill = $1::text and state in ${unsettled}) as open,
       exists (select from rederive.task where backfill = $1::text and state = 'running')
         or case when gate.rank is null
           then exists (select from rederive.task t where t.backfill = $1::text and ${readyToStart})
           else ${released(readyToStart)} or ${unreleased("ready", mayStart)} end as moving,
       gate.rank is not null and not ${leftBeforeGate} as "atGate"
     from gate`,
    [backfill, blocked],
  );
  return row ?? { open: false, moving: false, atGate: false };
}

/**
 * Whether something is open before the gate and nothing of it is at work, may start, or waits for nothing, in one snapshot:
 * between `progressOf` and a look at the waiting tasks after it a worker may have made them ready, or ended the last one.
 */
export async function isStuck(tx: Tx, backfill: string, blocked: readonly string[]): Promise<boolean> {
  const free = `${mayStart} and ${waitsForNothing}`;
  const possible = `${mayStart} and (t.state = 'ready' or t.state = 'waiting' and ${waitsForNothing})`;
  const [row] = await tx.query<{ stuck: boolean }>(
    `${withGate}
     select ${leftBeforeGate}
       and not exists (select from rederive.task where backfill = $1::text and state = 'running')
       and not case when gate.rank is null
         then exists (select from rederive.task t where t.backfill = $1::text and ${possible})
         else ${released(possible)} or ${unreleased("ready", mayStart)} or ${unreleased("waiting", free)}
           or ${unreleased("undecided", free)} end as stuck
     from gate`,
    [backfill, blocked],
  );
  return row?.stuck ?? false;
}

/** Why a backfill cannot go on, dataset by dataset in plan order. */
export interface Obstacle {
  readonly dataset: string;
  readonly failed: number;
  readonly quarantined: number;
  readonly held: boolean;
  readonly holdReason: string | null;
}

export async function obstaclesOf(tx: Tx, backfill: string): Promise<Obstacle[]> {
  return tx.query<Obstacle>(
    `select d.dataset, d.held, d.hold_reason as "holdReason",
       coalesce(t.failed, 0) as failed, coalesce(t.quarantined, 0) as quarantined
     from rederive.backfill_dataset d
     left join (
       select dataset, count(*) filter (where state = 'failed')::int as failed,
         count(*) filter (where state = 'quarantined')::int as quarantined
       from rederive.task where backfill = $1::text and state in ('failed', 'quarantined')
       group by dataset
     ) t using (dataset)
     where d.backfill = $1::text and (d.held or t.dataset is not null)
     order by d.ordinal`,
    [backfill],
  );
}

/**
 * Datasets of running backfills whose definition no live worker has, although there are live workers: a fleet that is
 * merely absent is being restarted, and will have it. Notes when that began, and returns those it has lasted for.
 */
export async function driftedDatasets(tx: Tx, forMs: number): Promise<{ backfill: string; dataset: string }[]> {
  return tx.query(
    `with fleet as materialized (
       select definitions from rederive.worker
       where kind = 'worker' and not draining and lease_until > clock_timestamp()
     ), judged as materialized (
       select d.backfill, d.dataset, d.drifted_at,
         case
           when not exists (select from fleet) then false
           when exists (select from fleet f where f.definitions ->> d.dataset = d.definition) then false
           else exists (select from rederive.task t where t.backfill = d.backfill and t.dataset = d.dataset
             and t.state in ('waiting', 'ready', 'running'))
         end as drifted
       from rederive.backfill_dataset d join rederive.backfill b on b.id = d.backfill
       where b.state = 'running'
     ), marked as (
       update rederive.backfill_dataset d
       set drifted_at = case when j.drifted then clock_timestamp() end
       from judged j
       where d.backfill = j.backfill and d.dataset = j.dataset and (d.drifted_at is not null) <> j.drifted
     )
     select backfill, dataset from judged
     where drifted and drifted_at <= clock_timestamp() - $1::int * interval '1 millisecond'
     order by backfill, dataset`,
    [forMs],
  );
}
