/**
 * Table `worker`: the processes of the fleet, their leases and the definitions that they run.
 *
 * The lease of a task is that of its worker. It is kept here and not in the task's row, because an update of that row
 * during the work would make the work transaction fail with 40001.
 */
import type { Tx } from "../tx.ts";
import { codeLevel } from "./migrate.ts";

export interface WorkerRegistration {
  readonly id: string;
  /** A planner is of the fleet too, so that people see it; it runs no tasks and has no definitions. */
  readonly kind: "worker" | "planner";
  readonly host: string;
  readonly pid: number;
  readonly concurrency: number;
  /** { dataset: definition hash } */
  readonly definitions: Readonly<Record<string, string>>;
  readonly leaseMs: number;
}

/** Enters the fleet, or enters it again after the lease ran out. Rows of workers dead for a day go. */
export async function registerWorker(tx: Tx, worker: WorkerRegistration): Promise<void> {
  await tx.query("delete from rederive.worker where lease_until < clock_timestamp() - interval '1 day'");
  await tx.query(
    `insert into rederive.worker (id, kind, host, pid, concurrency, code_level, definitions, lease_until)
     values ($1::text, $2::text, $3::text, $4::int4, $5::int4, $6::int4, $7::text::jsonb,
       clock_timestamp() + $8::float8 * interval '1 millisecond')
     on conflict (id) do update set lease_until = excluded.lease_until`,
    [
      worker.id,
      worker.kind,
      worker.host,
      worker.pid,
      worker.concurrency,
      codeLevel,
      JSON.stringify(worker.definitions),
      worker.leaseMs,
    ],
  );
}

export interface Renewal {
  /** False where the lease had already run out: others may have taken over what this worker runs. */
  readonly renewed: boolean;
  /** The code level that the control schema asks for. */
  readonly requiredLevel: number;
  /** Tasks among those asked for that are not this worker's any more: cancelled or claimed by another. */
  readonly gone: readonly string[];
}

/** One round trip for the whole heartbeat. A lease that ran out is not renewed; the worker has to register again. */
export async function renewLease(
  tx: Tx,
  args: {
    readonly worker: string;
    readonly leaseMs: number;
    readonly running: readonly { readonly task: string; readonly epoch: number }[];
  },
): Promise<Renewal> {
  const [row] = await tx.query<Renewal>(
    `with renewed as (
       update rederive.worker set lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
       where id = $1::text and lease_until > clock_timestamp()
       returning id
     )
     select exists (select from renewed) as renewed,
       coalesce((select value::int4 from rederive.meta where key = 'requires_code'), 0) as "requiredLevel",
       coalesce((
         select json_agg(m.task::text)
         from json_to_recordset($3::text::json) as m (task int8, epoch int4)
         left join rederive.task t on t.id = m.task
         where t.epoch is distinct from m.epoch or t.state not in ('running', 'done')
       ), '[]') as gone`,
    [args.worker, args.leaseMs, JSON.stringify(args.running)],
  );
  return row as Renewal;
}

/** A draining worker takes no new task; it no longer counts as one that has a definition. */
export async function markDraining(tx: Tx, worker: string): Promise<void> {
  await tx.query("update rederive.worker set draining = true where id = $1::text", [worker]);
}

/** Leaves the fleet. A task that still names this worker counts as lost at once. */
export async function deregisterWorker(tx: Tx, worker: string): Promise<void> {
  await tx.query("delete from rederive.worker where id = $1::text", [worker]);
}

export interface LiveDefinition {
  readonly dataset: string;
  readonly definition: string;
}

/** Every definition that some live worker can run. */
export async function liveDefinitions(tx: Tx): Promise<LiveDefinition[]> {
  return tx.query<LiveDefinition>(
    `select distinct d.key as dataset, d.value as definition
     from rederive.worker w cross join lateral jsonb_each_text(w.definitions) d
     where w.lease_until > clock_timestamp() and not w.draining`,
  );
}
