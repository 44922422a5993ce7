/** What the planner asks to decide whether a backfill is done, stuck, or without workers that could do it. */
import type { Tx } from "../tx.ts";
import { gateRank } from "./phases.ts";

export interface Progress {
  /** Something is not done yet. */
  readonly open: boolean;
  /** A task is at work, or may start. */
  readonly moving: boolean;
  /** All before the first waiting phase is settled; false where there is none. */
  readonly atGate: boolean;
}

const unsettled = "('waiting', 'ready', 'running', 'stale', 'failed', 'quarantined')";

/** Existence alone: a backfill may have a million tasks. `blocked` are the datasets below a hold. */
export async function progressOf(tx: Tx, backfill: string, blocked: readonly string[]): Promise<Progress> {
  const [row] = await tx.query<Progress>(
    `select
       exists (select from rederive.task where backfill = $1::text and state in ${unsettled}) as open,
       exists (select from rederive.task where backfill = $1::text and state = 'running')
         or exists (select from rederive.task where backfill = $1::text and state = 'ready'
           and dataset <> all($2::text[]) and rank < ${gateRank("$1::text")}) as moving,
       exists (select from rederive.phase where backfill = $1::text and state = 'waiting')
         and not exists (select from rederive.task where backfill = $1::text and state in ${unsettled}
           and rank < ${gateRank("$1::text")}) as "atGate"`,
    [backfill, blocked],
  );
  return row ?? { open: false, moving: false, atGate: false };
}

/**
 * Whether something is open and nothing of it is at work, may start, or waits for nothing, in one snapshot: between
 * `progressOf` and a look at the waiting tasks after it a worker may have made them ready, or ended the last one.
 */
export async function isStuck(tx: Tx, backfill: string, blocked: readonly string[]): Promise<boolean> {
  const [row] = await tx.query<{ stuck: boolean }>(
    `select exists (
       select from rederive.task where backfill = $1::text and state in ${unsettled}
     ) and not exists (
       select from rederive.task t where t.backfill = $1::text
         and (t.state = 'running'
           or t.dataset <> all($2::text[]) and t.rank < ${gateRank("$1::text")}
             and (t.state = 'ready' or t.state = 'waiting'
               and not exists (select from rederive.edge e where e.consumer = t.id and not e.done)))
     ) as stuck`,
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
