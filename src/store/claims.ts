/**
 * The life of an attempt at a task, or at several of a dataset together, one statement each: claim, finish, record a failure, give back.
 *
 * Every write names the task's epoch, so an attempt that another one has replaced changes nothing. `finishTasks` is the
 * last statement of the work transaction; the others commit by themselves.
 */
import { sqlState } from "../errors.ts";
import type { Tx } from "../tx.ts";
import type { StampedCheck } from "./checks.ts";

export interface ClaimArgs {
  /** Of one dataset of one backfill. */
  readonly tasks: readonly string[];
  readonly backfill: string;
  readonly dataset: string;
  readonly worker: string;
  /** The connection that will do the work: a later attempt ends its backend before it takes over. */
  readonly backendPid: number;
  readonly backendStart: string;
  /** Hash that the worker computed from the plan it holds. */
  readonly planHash: string;
  /** The worker's own definition of the dataset; null where it has none. */
  readonly definition: string | null;
  /** Everything upstream of the dataset, near and far: a hold on any of them stops it. */
  readonly upstreams: readonly string[];
  readonly maxLosses: number;
  /** Nothing else runs in the worker's process: only then may it have a task whose worker was lost before. */
  readonly alone: boolean;
}

export type ClaimOutcome =
  | "claimed"
  | "settled" // done or unchanged: only what follows the commit is left to do
  | "cancelled"
  | "failed"
  | "quarantined"
  | "not_ready" // an upstream is undone, or nobody made it ready yet
  | "paused"
  | "held"
  | "suspect" // its worker was lost before: claim it again when nothing else runs in this process
  | "busy" // another attempt is alive
  | "lost" // the attempt's worker is gone, its backend may live: end that, then claim again
  | "contended" // the row changed while we looked: look again
  | "lapsed" // our own lease has run out
  | "drift" // the worker has another definition than the plan
  | "forged"; // no such task, or not under this backfill, dataset or plan

export interface ClaimRow {
  readonly task: string;
  readonly outcome: ClaimOutcome;
  readonly state: string;
  readonly epoch: number;
  readonly attempts: number;
  readonly partition: string;
  readonly candidate: string;
  readonly fingerprint: string;
  /** There was an earlier attempt, whose rows may be in the candidate. */
  readonly replace: boolean;
  /** The backend of the attempt that holds the task, for `busy` and `lost`. */
  readonly backendPid: number | null;
  readonly backendStart: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/**
 * One statement of its own: ready → running, or running → running after a loss, with epoch + 1, each task for itself.
 *
 * The verdict is formed on a plain read; the row lock is taken with `skip locked`, because a frozen worker may hold it
 * between its last statement and its commit, and the claim must not wait for that. Where the locked row is not the one
 * that was read, the verdict is void (`contended`). The commit need not reach the disk: a crash of Postgres ends every
 * attempt anyway, and the commit of the work flushes this one with it.
 */
const claimStatement = `
with seen as (
  select t.id, t.state, t.epoch, t.attempts, t.losses, t.partition, t.backend_pid, t.backend_start, t.error,
    -- A restart of Postgres ends every attempt; that says nothing about the task.
    t.state = 'running' and t.claimed_at >= pg_postmaster_start_time() as lost,
    b.state as backfill_state, d.candidate, d.fingerprint,
    case
      when t.backfill <> $2::text or t.dataset <> $3::text then 'forged'
      when t.state in ('done', 'unchanged') then 'settled'
      when t.state = 'cancelled' or b.state in ('cancelled', 'failed') then 'cancelled'
      when t.state in ('failed', 'quarantined') then t.state
      when b.plan_hash <> $7::text then 'forged'
      when d.definition is distinct from $8::text then 'drift'
      when not exists (select from rederive.worker w where w.id = $4::text and w.lease_until > clock_timestamp()) then 'lapsed'
      when t.state in ('waiting', 'stale') then 'not_ready'
      when b.state in ('paused', 'held') then b.state
      when b.state <> 'running' then 'not_ready'
      when exists (select from rederive.edge e where e.consumer = t.id and not e.done) then 'not_ready'
      when exists (
        select from rederive.backfill_dataset u
        where u.backfill = t.backfill and u.held and u.dataset = any($9::text[])
      ) then 'held'
      when t.state = 'ready' then 'claimed'
      -- From here on an earlier attempt is running. A backend whose start we may not see counts as alive.
      when not exists (
        select from pg_stat_activity a
        where a.pid = t.backend_pid and (a.backend_start is null or a.backend_start = t.backend_start::timestamptz)
      ) then 'claimed'
      when exists (select from rederive.worker w where w.id = t.worker and w.lease_until > clock_timestamp()) then 'busy'
      else 'lost'
    end as verdict
  from rederive.task t
  join rederive.backfill b on b.id = t.backfill
  join rederive.backfill_dataset d on d.backfill = t.backfill and d.dataset = t.dataset
  where t.id = any($1::int8[])
), locked as (
  select t.id, t.epoch, t.state from rederive.task t
  where t.id = any($1::int8[]) and t.id in (select id from seen where verdict = 'claimed')
  for no key update skip locked
), judged as (
  select s.*,
    s.lost and s.losses + 1 >= $10::int4 as poison,
    case
      when s.verdict <> 'claimed' then s.verdict
      when l.id is null then 'contended'
      when (s.lost or s.losses > 0) and not $11::bool then 'suspect'
      else 'claimed'
    end as outcome
  from seen s left join locked l on l.id = s.id and l.epoch = s.epoch and l.state = s.state
), taken as (
  update rederive.task t
  set state = case when j.poison then 'quarantined' else 'running' end,
    epoch = t.epoch + 1,
    losses = t.losses + j.lost::int4,
    worker = $4::text, backend_pid = $5::int4, backend_start = $6::text, claimed_at = clock_timestamp(),
    error = case when j.poison then jsonb_build_object('code', 'worker_lost', 'message',
      format('%s workers were lost while they ran this partition; see what it does to them, then retry it', t.losses + 1))
      else t.error end
  from judged j
  where t.id = j.id and j.outcome = 'claimed'
  returning t.id, t.state, t.epoch, t.error
), told as (
  insert into rederive.audit (actor, act, backfill, dataset, reason, plan_hash, details)
  select 'worker', 'task.quarantine', $2::text, $3::text, error ->> 'message', $7::text,
    jsonb_build_object('task', id::text, 'epoch', epoch)
  from taken where state = 'quarantined'
)
select
  j.id::text as task,
  case when taken.state = 'quarantined' then 'quarantined' else j.outcome end as outcome,
  coalesce(taken.state, j.state) as state,
  coalesce(taken.epoch, j.epoch) as epoch,
  j.attempts, j.partition::text as partition, j.candidate, j.fingerprint,
  j.epoch > 0 as replace,
  j.backend_pid as "backendPid", j.backend_start as "backendStart", coalesce(taken.error, j.error) as error,
  set_config('synchronous_commit', 'off', true) as durability
from judged j left join taken on taken.id = j.id`;

/** Claims what it can, looking again where a row changed meanwhile. A row for each task that there is, in any order. */
export async function claimTasks(tx: Tx, args: ClaimArgs): Promise<ClaimRow[]> {
  const decided: ClaimRow[] = [];
  let open = args.tasks;
  for (let look = 1; open.length > 0; look += 1) {
    const rows = await tx.query<ClaimRow>(claimStatement, claimParams({ ...args, tasks: open }));
    const again = look < 3 ? rows.filter((row) => row.outcome === "contended") : [];
    decided.push(...rows.filter((row) => !again.includes(row)));
    open = again.map((row) => row.task);
  }
  return decided;
}

function claimParams(args: ClaimArgs): unknown[] {
  return [
    args.tasks,
    args.backfill,
    args.dataset,
    args.worker,
    args.backendPid,
    args.backendStart,
    args.planHash,
    args.definition,
    args.upstreams,
    args.maxLosses,
    args.alone,
  ];
}

/**
 * Ends a backend if it is still the one that was seen, and waits for its end. False where it outlived the wait, and where
 * it is another login's that this one may not end. One that this login may not look into counts as alive and is let be:
 * its process id may belong to somebody else by now. See `grantSessionRights` in roles.ts.
 */
export async function terminateBackend(
  tx: Tx,
  args: { readonly pid: number; readonly start: string; readonly waitMs?: number },
): Promise<boolean> {
  try {
    const [row] = await tx.query<{ gone: boolean }>(
      `select coalesce(bool_and(case when a.backend_start is null then false
         else pg_terminate_backend(a.pid, $3::int8) end), true) as gone
       from pg_stat_activity a
       where a.pid = $1::int4 and (a.backend_start is null or a.backend_start = $2::text::timestamptz)`,
      [args.pid, args.start, args.waitMs ?? 5_000],
    );
    return row?.gone ?? true;
  } catch (error) {
    if (sqlState(error) === "42501") return false;
    throw error;
  }
}

export interface FinishArgs {
  readonly planHash: string;
  readonly worker: string;
  readonly fingerprint: string;
  readonly definition: string;
  readonly hashAlgorithm: string;
  readonly traceId: string | null;
  /** Of one dataset of one backfill. */
  readonly tasks: readonly FinishedWork[];
}

/** What one task did. */
export interface FinishedWork {
  readonly task: string;
  readonly epoch: number;
  /** See `stamp.inputs` in schema/content.ts. */
  readonly inputs: readonly StampInput[];
  readonly rowsRead: number | null;
  readonly rowsWritten: number;
  readonly outputHash: string;
  /** Every check that ran, with how many rows failed it. */
  readonly checks: readonly StampedCheck[];
  /** Instants of Postgres as text; null for the start of the transaction. */
  readonly startedAt: string | null;
  readonly finishedAt: string;
  /** The stamp of those who computed the rows, where they were taken over. */
  readonly adoptedFrom: string | null;
}

export interface StampInput {
  readonly input: string;
  readonly dataset: string;
  readonly recomputed: readonly (readonly [number, number])[];
  readonly live: readonly (readonly [number, number])[];
  /** A source that was read as a whole. */
  readonly everything?: true;
}

/**
 * The last statement of the work transaction: everything hangs on the update of the task, which matches only while the
 * epoch is ours and nobody cancelled it. The backfill's state is the snapshot's; a cancellation since then changed the
 * task row itself, which gives 40001 here.
 */
const finishStatement = `
with given as materialized (
  select * from jsonb_to_recordset($2::text::jsonb) as g (task int8, epoch int4, inputs jsonb, "rowsRead" int8,
    "rowsWritten" int8, "outputHash" text, checks jsonb, "startedAt" timestamptz, "finishedAt" timestamptz,
    "adoptedFrom" int8)
), mine as (
  update rederive.task t
  set state = 'done', finished_at = clock_timestamp(), error = null
  from given g, rederive.backfill b, rederive.backfill_dataset d
  where t.id = any($1::int8[]) and t.id = g.task and t.epoch = g.epoch and t.state = 'running'
    and b.id = t.backfill and b.plan_hash = $3::text and b.state in ('running', 'paused', 'held')
    and d.backfill = t.backfill and d.dataset = t.dataset and d.definition = $6::text and d.fingerprint = $5::text
  returning t.id, t.backfill, t.dataset, t.partition, t.epoch
), stamped as (
  insert into rederive.stamp (task, backfill, dataset, partition, epoch, fingerprint, definition, inputs, snapshot,
    rows_read, rows_written, hash_algorithm, output_hash, checks, worker, trace_id, started_at, finished_at, adopted_from)
  select m.id, m.backfill, m.dataset, m.partition, m.epoch, $5::text, $6::text, g.inputs, pg_current_snapshot()::text,
    g."rowsRead", g."rowsWritten", $7::text, g."outputHash", g.checks, $4::text, $8::text,
    coalesce(g."startedAt", now()), g."finishedAt", g."adoptedFrom"
  from mine m join given g on g.task = m.id
  on conflict (task) do update set
    epoch = excluded.epoch, fingerprint = excluded.fingerprint, definition = excluded.definition,
    inputs = excluded.inputs, snapshot = excluded.snapshot, rows_read = excluded.rows_read,
    rows_written = excluded.rows_written, hash_algorithm = excluded.hash_algorithm,
    output_hash = excluded.output_hash, checks = excluded.checks, worker = excluded.worker,
    trace_id = excluded.trace_id, started_at = excluded.started_at, finished_at = excluded.finished_at,
    adopted_from = excluded.adopted_from
  returning id, task
), marked as (
  update rederive.edge e set done = true from mine where e.producer = mine.id and not e.done
  returning e.producer
)
select s.task::text as task, s.id::text as stamp,
  (select count(*)::int4 from marked where producer = s.task) as consumers
from stamped s`;

export interface Finished {
  readonly task: string;
  readonly stamp: string;
  /** Tasks that read this one's output. */
  readonly consumers: number;
}

/**
 * Commits nothing by itself. A task without a row in the answer is fenced: another attempt owns it, or it may not
 * finish any more. The caller then rolls back.
 */
export async function finishTasks(tx: Tx, args: FinishArgs): Promise<Finished[]> {
  return tx.query<Finished>(finishStatement, [
    args.tasks.map(({ task }) => task),
    JSON.stringify(args.tasks),
    args.planHash,
    args.worker,
    args.fingerprint,
    args.definition,
    args.hashAlgorithm,
    args.traceId,
  ]);
}

export interface TaskFailure {
  readonly task: string;
  readonly epoch: number;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly sqlstate?: string;
    readonly kind: string;
  };
  /** Attempts that may end in an error, this one included. */
  readonly maxAttempts: number;
  /** Attempts that may end in an error of this kind one after the other, this one included. */
  readonly maxOfKind: number;
}

/**
 * The attempt ended in an error: running → ready for another try, or → failed once it has had its tries.
 * Undefined where the task was not this attempt's any more.
 */
export async function failTask(
  tx: Tx,
  args: TaskFailure,
): Promise<{ readonly state: "ready" | "failed"; readonly attempts: number } | undefined> {
  const [row] = await tx.query<{ state: "ready" | "failed"; attempts: number }>(
    `with verdict as (
       select t.id, run.length,
         t.attempts + 1 >= $4::int4 or run.length >= $5::int4 as final
       from rederive.task t
       cross join lateral (
         select 1 + case when t.error ->> 'kind' = $3::text::jsonb ->> 'kind'
           then coalesce((t.error ->> 'run')::int4, 1) else 0 end as length
       ) run
       where t.id = $1::int8
     )
     update rederive.task t
     set state = case when v.final then 'failed' else 'ready' end,
       attempts = t.attempts + 1,
       error = $3::text::jsonb || jsonb_build_object('run', v.length),
       worker = null, backend_pid = null, backend_start = null
     from verdict v
     where t.id = v.id and t.epoch = $2::int4 and t.state = 'running'
     returning t.state, t.attempts`,
    [args.task, args.epoch, JSON.stringify(args.error), args.maxAttempts, args.maxOfKind],
  );
  return row;
}

/** Running → ready without counting anything: the worker is stopping, or was stopped by something outside the task. */
export async function giveBackTask(tx: Tx, args: { readonly task: string; readonly epoch: number }): Promise<boolean> {
  const rows = await tx.query(
    `update rederive.task set state = 'ready', worker = null, backend_pid = null, backend_start = null
     where id = $1::int8 and epoch = $2::int4 and state = 'running' returning id`,
    [args.task, args.epoch],
  );
  return rows.length > 0;
}

/** Where a task stands now. Undefined where there is no such task. */
export async function taskState(
  tx: Tx,
  task: string,
): Promise<{ readonly state: string; readonly epoch: number } | undefined> {
  const [row] = await tx.query<{ state: string; epoch: number }>(
    "select state, epoch from rederive.task where id = $1::int8",
    [task],
  );
  return row;
}

/** Undefined where there is no such task. */
export async function datasetOf(tx: Tx, task: string): Promise<string | undefined> {
  const [row] = await tx.query<{ dataset: string }>("select dataset from rederive.task where id = $1::int8", [task]);
  return row?.dataset;
}
