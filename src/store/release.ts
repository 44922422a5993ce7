/** Table `task` as the delivery sees it: what is released, what may be, and what was delivered and is not worked on. */
import type { Tx } from "../tx.ts";
import type { ReadyTask } from "./edges.ts";
import { gateRank } from "./phases.ts";

/** A backfill that is at work, and what is held in it. */
export interface RunningBackfill {
  readonly id: string;
  readonly criticality: number;
  /** Milliseconds since the epoch; null where there is none. */
  readonly deadline: number | null;
  readonly traceparent: string | null;
  /** Every dataset of the backfill with its queue. */
  readonly queues: Readonly<Record<string, string>>;
  readonly held: readonly string[];
}

/** Running backfills: those that matter most first, then those that must be done first, then the oldest. */
export async function runningBackfills(tx: Tx): Promise<RunningBackfill[]> {
  return tx.query<RunningBackfill>(
    `select b.id, max(d.criticality) as criticality, b.traceparent,
       extract(epoch from (b.forecast #>> '{deadline,at}')::timestamptz)::float8 * 1000 as deadline,
       jsonb_object_agg(d.dataset, d.queue) as queues,
       coalesce(array_agg(d.dataset) filter (where d.held), '{}') as held
     from rederive.backfill b
     join rederive.backfill_dataset d on d.backfill = b.id
     where b.state = 'running'
     group by b.id
     order by criticality desc, deadline nulls last, b.started_at, b.id`,
  );
}

/** What of a backfill is released and unsettled: the window. */
export async function windowOf(
  tx: Tx,
  backfill: string,
): Promise<{ readonly waiting: number; readonly moving: number }> {
  const [row] = await tx.query<{ waiting: number; moving: number }>(
    `select count(*) filter (where state = 'waiting')::int as waiting,
       count(*) filter (where state <> 'waiting')::int as moving
     from rederive.task
     where backfill = $1::text and released_at is not null and state in ('waiting', 'ready', 'running')`,
    [backfill],
  );
  return row ?? { waiting: 0, moving: 0 };
}

export interface ReleasedTask {
  readonly id: string;
  readonly dataset: string;
  readonly state: "waiting" | "ready";
  /** Above 0 where it ran before: there may be an old job. */
  readonly epoch: number;
}

/**
 * Takes the next tasks by rank into the window, in order of rank. Marks them released before their jobs exist: a
 * crash in between leaves tasks without jobs, which the sweep finds, and never jobs that nobody counts. Rows that a
 * worker is just making ready are left for the next time. A prunable task waits outside: most of them never run. So does
 * what comes after a gate.
 */
export async function releaseTasks(
  tx: Tx,
  args: {
    readonly backfill: string;
    readonly limit: number;
    /** Datasets below a hold: their tasks could not start. */
    readonly blocked: readonly string[];
    readonly readyOnly: boolean;
  },
): Promise<ReleasedTask[]> {
  const rows = await tx.query<ReleasedTask & { rank: number }>(
    `with chosen as (
       select t.id from rederive.task t
       where t.backfill = $1::text and t.released_at is null
         and (t.state = 'ready' or t.state = 'waiting' and not t.prunable)
         and (not $4::bool or t.state = 'ready') and t.dataset <> all($3::text[])
         and t.rank < ${gateRank("$1::text")}
       order by t.rank limit $2::int
       for no key update skip locked
     )
     update rederive.task t set released_at = clock_timestamp() from chosen c
     where t.id = c.id
     returning t.id::text as id, t.dataset, t.state, t.epoch, t.rank::float8 as rank`,
    [args.backfill, args.limit, args.blocked, args.readyOnly],
  );
  return rows.sort((a, b) => a.rank - b.rank);
}

/** Of `tasks`, those that are ready now. The concatenation keeps the planner from scanning all ready tasks instead. */
export async function stillReady(tx: Tx, tasks: readonly string[]): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }>(
    `select id::text as id from rederive.task
     where id = any($1::int8[]) and state || '' = 'ready' and released_at is not null`,
    [tasks],
  );
  return new Set(rows.map((row) => row.id));
}

/** One page, by id, of a running backfill's tasks that are released and ready, and have been released for a while. */
export async function readyReleased(
  tx: Tx,
  args: { readonly backfill: string; readonly after: string; readonly limit: number; readonly graceMs: number },
): Promise<ReadyTask[]> {
  return tx.query<ReadyTask>(
    `select t.id::text as id, t.backfill, t.dataset, d.queue, b.traceparent, true as settled
     from rederive.task t
     join rederive.backfill b on b.id = t.backfill
     join rederive.backfill_dataset d on d.backfill = t.backfill and d.dataset = t.dataset
     where t.backfill = $1::text and t.state = 'ready' and t.id > $2::int8
       and t.released_at < clock_timestamp() - $4::int * interval '1 millisecond'
     order by t.id limit $3::int`,
    [args.backfill, args.after, args.limit, args.graceMs],
  );
}

/** A running task whose attempt cannot go on, or was silent past its lease. */
export interface LostTask extends ReadyTask {
  readonly epoch: number;
  readonly backendPid: number | null;
  readonly backendStart: string | null;
  /** Its backend still exists: the worker is frozen or cut off, not dead. */
  readonly alive: boolean;
  /** Its worker's lease has run out. */
  readonly expired: boolean;
  /** Postgres itself was restarted meanwhile, which is nothing that the task did. */
  readonly restarted: boolean;
}

export async function lostTasks(tx: Tx): Promise<LostTask[]> {
  return tx.query<LostTask>(
    `select t.id::text as id, t.backfill, t.dataset, d.queue, b.traceparent, true as settled, t.epoch,
       t.backend_pid as "backendPid", t.backend_start as "backendStart",
       a.pid is not null as alive,
       coalesce(w.lease_until <= clock_timestamp(), true) as expired,
       t.claimed_at < pg_postmaster_start_time() as restarted
     from rederive.task t
     join rederive.backfill b on b.id = t.backfill
     join rederive.backfill_dataset d on d.backfill = t.backfill and d.dataset = t.dataset
     left join rederive.worker w on w.id = t.worker
     -- A backend whose start we may not see counts as alive.
     left join pg_stat_activity a
       on a.pid = t.backend_pid and (a.backend_start is null or a.backend_start = t.backend_start::timestamptz)
     where t.state = 'running' and (a.pid is null or coalesce(w.lease_until <= clock_timestamp(), true))
     order by t.id`,
  );
}

export interface Loss {
  readonly id: string;
  readonly epoch: number;
  /** It counts against the task. */
  readonly loss: boolean;
  readonly maxLosses: number;
  /** How long to wait for whoever holds the task's row. */
  readonly lockTimeoutMs: number;
}

/**
 * In a transaction of its own: running → ready after a loss, or → quarantined after too many. Undefined where the attempt
 * is not the same any more. Throws 55P03 where somebody holds the row for too long.
 */
export async function returnLost(tx: Tx, args: Loss): Promise<"ready" | "quarantined" | undefined> {
  await tx.query("select set_config('lock_timeout', $1::text, true)", [`${args.lockTimeoutMs}ms`]);
  const [row] = await tx.query<{ state: "ready" | "quarantined" }>(
    `update rederive.task t
     set state = case when t.losses + $3::int4 >= $4::int4 then 'quarantined' else 'ready' end,
       losses = t.losses + $3::int4,
       worker = null, backend_pid = null, backend_start = null,
       error = case when t.losses + $3::int4 >= $4::int4 then jsonb_build_object('code', 'worker_lost', 'message',
         format('%s workers were lost while they ran this partition; see what it does to them, then retry it', t.losses + $3::int4))
         else t.error end
     where t.id = $1::int8 and t.epoch = $2::int4 and t.state = 'running'
     returning t.state`,
    [args.id, args.epoch, args.loss ? 1 : 0, args.maxLosses],
  );
  return row?.state;
}

/** A random id of this control database, made once: Redis carries it as the sign that it still holds our jobs. */
export async function deploymentId(tx: Tx): Promise<string> {
  const read = () => tx.query<{ value: string }>("select value from rederive.meta where key = 'deployment'");
  const [known] = await read();
  if (known !== undefined) return known.value;
  await tx.query(
    `insert into rederive.meta (key, value) values ('deployment', gen_random_uuid()::text) on conflict (key) do nothing`,
  );
  const [made] = await read();
  return made?.value ?? "";
}
